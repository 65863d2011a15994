"""Images by name and id, and Docker's rules for taking names and images away."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.images.analysis import ImageAnalyzer
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database

pytestmark = pytest.mark.root
Make = Callable[..., Image]
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def make(images: ImageStore, layers: LayerStore, upper: Callable[[dict[str, str]], str]) -> Make:
    """An image with one layer for each text, the first of which may be shared."""

    def make(*texts: str, tags: tuple[str, ...] = (), **values: Any) -> Image:
        chain: list[str] = []
        diffs: list[str] = []
        for text in texts:
            directory = upper({text: text})
            import os

            os.utime(f"{directory}/{text}", (1, 1))
            record = layers.adopt(directory, chain[-1] if chain else "")
            chain.append(record.chain_id)
            diffs.append(record.diff_id)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diffs},
            "history": [{"created_by": text} for text in texts],
            **values,
        }
        image = images.put(json.dumps(config).encode(), chain)
        for tag in tags:
            images.tag(image.id, tag)
        return images.resolve(image.id)

    return make


def unordered(*lines: str) -> set[str]:
    return set(lines)


# --- finding ----------------------------------------------------------------------------------


def test_an_image_is_found_by_tag_id_and_prefix(images: ImageStore, make: Make) -> None:
    image = make("a", tags=("httpd", "localhost:5000/x:1"))
    for name in (
        "httpd",
        "httpd:latest",
        "docker.io/library/httpd",
        "localhost:5000/x:1",
        image.id,
        image.id[7:],
        image.id[7:19],
        image.id[:12],
        image.id[7:8],
    ):
        assert images.resolve(name) == image, name
    assert image.tags == ("httpd:latest", "localhost:5000/x:1")


def test_a_tag_wins_over_a_prefix(images: ImageStore, make: Make) -> None:
    item, two = make("a"), make("b")
    prefix = item.short_id
    images.tag(two.id, prefix)
    assert images.resolve(prefix).id == two.id
    assert images.resolve(item.id[7:]).id == item.id


def test_unknown_names_are_told_as_docker_does_with_similar_ones(
    images: ImageStore, make: Make
) -> None:
    make("a", tags=("httpd:alpine", "mysql:5.7"))
    for asked, message, hint in (
        ("htpd:alpine", "No such image: htpd:alpine", "similar: httpd:alpine"),
        ("mysql", "No such image: mysql:latest", "similar: mysql:5.7"),
        ("zzz", "No such image: zzz:latest", "'docker images' lists those that are here"),
        ("abc", "No such image: abc:latest", ""),
        ("c" * 64, f"No such image: {'c' * 64}", ""),
        (DIGEST, f"No such image: {DIGEST}", ""),
        ("x.y/httpd", "No such image: x.y/httpd:latest", "similar: httpd:alpine"),
    ):
        with pytest.raises(NotFound) as caught:
            images.resolve(asked)
        assert (caught.value.message, caught.value.hint) == (message, hint)


def test_malformed_names_and_ambiguous_prefixes_are_refused(images: ImageStore, make: Make) -> None:
    with pytest.raises(InvalidInput, match="must be lowercase"):
        images.resolve("Httpd")
    ids = [make(f"layer{n}").id[7:] for n in range(17)]
    first = next(image_id for image_id in ids if sum(other[0] == image_id[0] for other in ids) > 1)
    with pytest.raises(InvalidInput, match="multiple IDs"):
        images.resolve(first[0])


def test_a_digest_name_ignores_the_tag(images: ImageStore, make: Make) -> None:
    image = make("a", tags=("httpd",))
    images.note_digest(image.id, f"httpd:latest@{DIGEST}")
    assert images.resolve(f"httpd@{DIGEST}").id == image.id
    assert images.resolve(f"httpd:other@{DIGEST}").id == image.id
    assert images.resolve("httpd").tags == ("httpd:latest",)
    with pytest.raises(NotFound):
        images.resolve(f"nginx@{DIGEST}")
    with pytest.raises(InvalidInput, match="digest reference"):
        images.tag(image.id, f"httpd@{DIGEST}")
    with pytest.raises(InvalidInput, match="no digest"):
        images.note_digest(image.id, "httpd")


def test_moving_a_tag_leaves_the_old_image_without_it(images: ImageStore, make: Make) -> None:
    old = make("a", tags=("web",))
    new = make("b", tags=("web",))
    assert images.resolve("web").id == new.id
    assert images.resolve(old.id).tags == ()
    assert images.untag("web")
    assert not images.untag("web")
    assert images.resolve(new.id).tags == ()


def test_what_another_process_did_is_seen(
    data_root: DataRoot, images: ImageStore, layers: LayerStore, make: Make
) -> None:
    image = make("a", tags=("web",))
    assert images.resolve("web").tags == ("web:latest",)
    database = Database(data_root.database)
    try:
        other = ImageStore(data_root, database, LayerStore(data_root, database))
        other.tag(image.id, "more")
        assert images.resolve("web").tags == ("more:latest", "web:latest")
        other.remove(image.id, force=True)
    finally:
        database.close()
    with pytest.raises(NotFound):
        images.resolve(image.id)


# --- keeping ----------------------------------------------------------------------------------


def test_the_config_is_kept_byte_for_byte(images: ImageStore, make: Make) -> None:
    image = make("a", unknown={"z": [1.50, None]})
    data = images.config_bytes(image.id)
    assert b'"unknown": {"z": [1.5, null]}' in data
    assert images.config(image.id)["unknown"] == {"z": [1.5, None]}
    assert images.put(data, image.chain_ids) == image
    assert len(images.list()) == 1


def test_a_config_of_other_or_missing_layers_is_refused(images: ImageStore, make: Make) -> None:
    image = make("a", "b")
    data = images.config_bytes(image.id)
    with pytest.raises(InvalidInput, match="does not name the layers"):
        images.put(data, image.chain_ids[:1])
    config = {"rootfs": {"type": "layers", "diff_ids": [DIGEST]}}
    with pytest.raises(NotFound, match="a layer of the image"):
        images.put(json.dumps(config).encode(), [DIGEST])
    with pytest.raises(NotFound, match="No such image"):
        images.tag(DIGEST, "web")
    with pytest.raises(NotFound, match="No such image"):
        images.config(DIGEST)
    assert len(images.list()) == 1


def test_images_are_listed_newest_first(images: ImageStore, make: Make) -> None:
    old = make("a", created="2020-01-01T00:00:00Z", tags=("old",))
    new = make("b", created="2024-01-01T00:00:00Z")
    middle = make("c", created="2022-01-01T00:00:00Z")
    assert [image.id for image in images.list()] == [new.id, middle.id, old.id]


def test_security_8_an_image_that_goes_while_they_are_listed_is_left_out(
    data_root: DataRoot, images: ImageStore, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by `image prune` in another process, beside twenty builds."""
    kept, gone = make("kept", tags=("kept:1",)), make("gone", tags=("gone:1",))
    other = Database(data_root.database)
    slow = ImageStore(data_root, other, LayerStore(data_root, other))
    rows = other.rows

    def read(query: str, *values: Any) -> list[Any]:
        result = rows(query, *values)
        if query.startswith("SELECT id FROM images"):
            images.remove("gone:1")
        return result

    monkeypatch.setattr(other, "rows", read)
    assert [image.id for image in slow.list(all=True)] == [kept.id]
    assert not any(image.id == gone.id for image in images.list(all=True))
    other.close()


def test_nameless_images_that_others_are_built_on_are_hidden(
    images: ImageStore, make: Make
) -> None:
    base, top = make("a"), make("a", "b")
    assert images.list() == (top,)
    assert {image.id for image in images.list(all=True)} == {base.id, top.id}
    images.tag(base.id, "base")
    assert len(images.list()) == 2


# --- looking inside ---------------------------------------------------------------------------


def test_layers_know_their_instruction_files_and_who_shares_them(
    images: ImageStore, layers: LayerStore, make: Make
) -> None:
    history = [
        {"created_by": "FROM"},
        {"created_by": "ENV", "empty_layer": True},
        {"created_by": "RUN"},
    ]
    item = make("a", "b", history=history, tags=("one",))
    make("a", "c", tags=("two", "more"))
    bottom, top = ImageAnalyzer(images, layers).layers(item)
    assert (bottom.created_by, top.created_by) == ("FROM", "RUN")
    assert [(f.kind, f.path, f.size) for f in top.files] == [("A", "/b", 1)]
    assert (bottom.shared_with, top.shared_with) == (("more:latest", "two:latest"), ())
    assert [row.created_by for row in images.history(item)] == ["RUN", "ENV", "FROM"]
    assert [row.size for row in images.history(item)] == [1, 0, 1]
    assert item.size == 2


def test_inspect_has_dockers_keys(images: ImageStore, layers: LayerStore, make: Make) -> None:
    image = make(
        "a",
        "b",
        created="2024-01-02T03:04:05.678Z",
        author="me",
        variant="v8",
        config={"Cmd": ["x"], "Unknown": 1},
    )
    shown = images.inspect(image)
    assert shown["RepoTags"] == shown["RepoDigests"] == []
    assert shown["Metadata"] == {"LastTagTime": "0001-01-01T00:00:00Z"}
    images.tag(image.id, "web")
    images.note_digest(image.id, f"web@{DIGEST}")
    shown = images.inspect(images.resolve("web"))
    assert shown["Id"] == image.id
    assert (shown["RepoTags"], shown["RepoDigests"]) == (["web:latest"], [f"web@{DIGEST}"])
    assert (shown["Created"], shown["Author"]) == ("2024-01-02T03:04:05.678Z", "me")
    assert shown["Config"] == {"Cmd": ["x"], "Unknown": 1}
    assert (shown["Os"], shown["Architecture"], shown["Variant"]) == ("linux", "amd64", "v8")
    assert shown["RootFS"] == {"Type": "layers", "Layers": list(image.diff_ids)}
    assert shown["Size"] == 2
    data = shown["GraphDriver"]["Data"]
    assert data == {
        "UpperDir": layers.path(image.chain_ids[1]),
        "LowerDir": layers.path(image.chain_ids[0]),
    }
    assert shown["Metadata"]["LastTagTime"].startswith("20")
    json.dumps(shown)


# --- removing ---------------------------------------------------------------------------------


def refused(
    images: ImageStore,
    name: str,
    *,
    force: bool = False,
    used_by: Mapping[str, str] | None = None,
    alive: tuple[str, ...] = (),
) -> str:
    before = images.list(all=True)
    with pytest.raises(Conflict) as caught:
        images.remove(name, force=force, used_by=used_by, alive=alive)
    assert images.list(all=True) == before
    return caught.value.message


def test_one_of_several_names_is_only_taken_away(images: ImageStore, make: Make) -> None:
    image = make("a", tags=("one", "two"))
    users = {image.id: "c" * 64}
    assert images.remove("one", used_by=users, alive=[image.id]) == ("Untagged: one:latest",)
    assert images.resolve(image.id).tags == ("two:latest",)


def test_the_last_name_takes_the_image_and_its_layers_top_first(
    data_root: DataRoot, images: ImageStore, make: Make
) -> None:
    image = make("a", "b", tags=("one",))
    images.note_digest(image.id, f"one@{DIGEST}")
    lines = images.remove("one")
    assert unordered(*lines[:2]) == {"Untagged: one:latest", f"Untagged: one@{DIGEST}"}
    assert lines[2:] == (
        f"Deleted: {image.id}",
        f"Deleted: {image.chain_ids[1]}",
        f"Deleted: {image.chain_ids[0]}",
    )
    assert images.list(all=True) == ()
    assert list(data_root.layers.iterdir()) == []


def test_shared_layers_stay(images: ImageStore, layers: LayerStore, make: Make) -> None:
    item, two = make("a", "b", tags=("one",)), make("a", "c", tags=("two",))
    lines = images.remove("one")
    assert lines == (
        "Untagged: one:latest",
        f"Deleted: {item.id}",
        f"Deleted: {item.chain_ids[1]}",
    )
    assert layers.has(two.chain_ids[0])


def test_by_id_with_several_names_needs_force(images: ImageStore, make: Make) -> None:
    image = make("a", tags=("one", "two"))
    assert refused(images, image.short_id) == (
        f"conflict: unable to delete {image.short_id} (must be forced) - "
        "image is referenced in multiple repositories"
    )
    lines = images.remove(image.short_id, force=True)
    assert unordered(*lines[:2]) == {"Untagged: one:latest", "Untagged: two:latest"}
    assert f"Deleted: {image.id}" in lines


def test_a_stopped_container_needs_force(images: ImageStore, make: Make) -> None:
    image = make("a", tags=("one",))
    users = {image.id: "c0ffee" * 10 + "c0ff"}
    assert refused(images, "one", used_by=users) == (
        'conflict: unable to remove repository reference "one" (must force) - '
        f"container c0ffeec0ffee is using its referenced image {image.short_id}"
    )
    assert refused(images, image.id, used_by=users) == (
        f"conflict: unable to delete {image.short_id} (must be forced) - "
        "image is being used by stopped container c0ffeec0ffee"
    )
    assert f"Deleted: {image.id}" in images.remove(image.id, force=True, used_by=users)


def test_a_running_container_keeps_the_image_even_from_force(
    images: ImageStore, make: Make
) -> None:
    image = make("a", tags=("one",))
    users, alive = {image.id: "c0ffee" * 10 + "c0ff"}, (image.id,)
    for force in (False, True):
        assert refused(images, image.id, force=force, used_by=users, alive=alive) == (
            f"conflict: unable to delete {image.short_id} (cannot be forced) - "
            "image is being used by running container c0ffeec0ffee"
        )
    assert "must force" in refused(images, "one", used_by=users, alive=alive)
    lines = images.remove("one", force=True, used_by=users, alive=alive)
    assert lines == ("Untagged: one:latest",)
    assert images.resolve(image.id).tags == ()


def test_layers_of_a_stopped_containers_image_stay_on_disk(
    images: ImageStore, layers: LayerStore, database: Database, make: Make
) -> None:
    image = make("a", tags=("one",))
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO containers VALUES ('c', 'n', ?, 0, ?)",
            (image.id, json.dumps({"layers": list(image.chain_ids)})),
        )
    lines = images.remove("one", force=True, used_by={image.id: "c"})
    assert lines == ("Untagged: one:latest", f"Deleted: {image.id}")
    assert layers.has(image.chain_ids[0])


def test_removing_what_is_not_there_is_told(images: ImageStore) -> None:
    with pytest.raises(NotFound, match="No such image: one:latest"):
        images.remove("one", force=True)
