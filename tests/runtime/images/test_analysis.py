"""Images taken apart: what layers waste, what images share, and where a file comes from."""

from __future__ import annotations

import io
import json
import os
import resource
import tarfile
from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.images import file_history as origins
from dockmagic_runtime.images.analysis import ImageAnalyzer
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.analysis import FileOrigin
from dockmagic_runtime.model.image import Image

pytestmark = pytest.mark.root

Members = Sequence[tuple[str, bytes | str | None]]  # a link's target is a str, a directory None
Make = Callable[..., Image]


def layer(members: Members) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, contents in members:
            member = tarfile.TarInfo(name)
            member.mtime, member.mode = 1, 0o644
            if contents is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(contents, str):
                hard = contents.startswith("hard:")
                member.type = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
                member.linkname = contents.removeprefix("hard:")
            else:
                member.size = len(contents)
            data = contents if isinstance(contents, bytes) else b""
            archive.addfile(member, io.BytesIO(data))
    out.seek(0)
    return out


@pytest.fixture
def make(images: ImageStore, layers: LayerStore) -> Make:
    def make(*contents: Members) -> Image:
        chain, diffs = [""], []
        for members in contents:
            record = layers.add(layer(members), chain[-1])
            chain.append(record.chain_id)
            diffs.append(record.diff_id)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diffs},
            "history": [{"created_by": f"step {n}"} for n in range(1, len(diffs) + 1)],
        }
        return images.put(json.dumps(config).encode(), chain[1:])

    return make


@pytest.fixture
def anatomist(images: ImageStore, layers: LayerStore) -> ImageAnalyzer:
    return ImageAnalyzer(images, layers)


def wasted(anatomist: ImageAnalyzer, image: Image) -> list[tuple[str, int, int, int, bool]]:
    result = anatomist.anatomy(image).wasted
    return [(item.path, item.size, item.layer, item.hidden_by, item.is_removed) for item in result]


# --- waste ------------------------------------------------------------------------------------


def test_what_is_replaced_or_removed_later_is_wasted(anatomist: ImageAnalyzer, make: Make) -> None:
    image = make(
        [("a", b"1234"), ("b", b"123"), ("kept", b"12345")],
        [("a", b"12"), ("empty", b"")],
        [(".wh.b", b""), ("a", b"1")],
    )
    assert wasted(anatomist, image) == [
        ("/a", 4, 1, 2, False),
        ("/b", 3, 1, 3, True),
        ("/a", 2, 2, 3, False),
    ]
    result = anatomist.anatomy(image)
    assert (result.size, result.wasted_bytes, result.wasted_files) == (15, 9, 3)
    assert result.efficiency == pytest.approx(0.4)


def test_a_directory_that_goes_takes_its_tree_along(anatomist: ImageAnalyzer, make: Make) -> None:
    image = make([("d", None), ("d/e", None), ("d/e/f", b"1"), ("g", b"22")], [(".wh.d", b"")])
    assert wasted(anatomist, image) == [("/d/e/f", 1, 1, 2, True)]


def test_a_directory_that_only_has_more_in_it_hides_nothing(
    anatomist: ImageAnalyzer, make: Make
) -> None:
    image = make([("d", None), ("d/f", b"1")], [("d", None), ("d/g", b"1")])
    assert wasted(anatomist, image) == []
    assert anatomist.anatomy(image).efficiency == 1


def test_an_opaque_directory_hides_what_is_below_but_not_its_own(
    anatomist: ImageAnalyzer, make: Make
) -> None:
    image = make(
        [("d", None), ("d/e", None), ("d/e/f", b"1")],
        [("d", None), ("d/.wh..wh..opq", b""), ("d/e", None), ("d/e/g", b"22")],
        [("d", None), ("d/h", b"3")],
    )
    assert wasted(anatomist, image) == [("/d/e/f", 1, 1, 2, False)]


def test_a_file_with_links_is_wasted_with_its_last_link(
    anatomist: ImageAnalyzer, make: Make
) -> None:
    below: Members = [("a", b"12345"), ("b", "hard:a")]
    assert wasted(anatomist, make(below, [(".wh.a", b"")])) == []
    both = make(below, [(".wh.a", b"")], [("b", b"")])
    assert [(size, layer) for _, size, layer, _, _ in wasted(anatomist, both)] == [(5, 1)]


def test_an_image_without_bytes_wastes_none(anatomist: ImageAnalyzer, make: Make) -> None:
    assert anatomist.anatomy(make([("d", None)])).efficiency == 1


def test_no_more_paths_are_kept_than_may_be_but_all_are_counted(
    images: ImageStore, layers: LayerStore, make: Make
) -> None:
    image = make([(f"f{n}", b"1") for n in range(9)], [("f1", b"22"), ("g", b"3")])
    lower, upper = ImageAnalyzer(images, layers, most_files=10).layers(image)
    assert (len(lower.files), lower.added) == (9, 9)
    assert (len(upper.files), upper.added, upper.changed, upper.removed) == (1, 1, 1, 0)


def test_row31_a_tree_that_is_deeper_than_descriptors_go_is_looked_through(
    anatomist: ImageAnalyzer, make: Make
) -> None:
    deep = "/".join("d" * 250)
    image = make([(deep, b"12")], [(deep, b"3")])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 160, hard))
    try:
        result = anatomist.anatomy(image)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (result.wasted_bytes, result.layers[0].added) == (2, 250)


NAMES = st.sampled_from(["a", "b", "c"])
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    st.sampled_from([b"1", b"22", b"333", None]),
    max_size=6,
)


def _consistent(tree: dict[str, bytes | None]) -> Members:
    """Parents are directories, and come first."""
    whole: dict[str, bytes | None] = {}
    for path, contents in tree.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            whole["/".join(parts[:depth])] = None
        whole.setdefault(path, contents)
    return sorted(whole.items())


@given(trees=st.lists(TREES, min_size=1, max_size=4))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_not_wasted_is_what_is_seen(
    trees: list[dict[str, bytes | None]], anatomist: ImageAnalyzer, make: Make
) -> None:
    seen: dict[str, bytes | None] = {}
    for tree in trees:
        for path, contents in _consistent(tree):
            assert not isinstance(contents, str)
            if contents is not None:
                below = [request for request in seen if request.startswith(f"{path}/")]
                for item in below:
                    del seen[item]
                seen[path] = contents
            elif seen.get(path) is not None:
                seen[path] = None
            else:
                seen.setdefault(path, None)
    result = anatomist.anatomy(make(*map(_consistent, trees)))
    visible = sum(len(contents) for contents in seen.values() if contents)
    assert result.size - result.wasted_bytes == visible


# --- sharing ----------------------------------------------------------------------------------


def test_two_images_share_what_is_below_the_first_difference(
    anatomist: ImageAnalyzer, make: Make
) -> None:
    base, same = [("a", b"1")], [("z", b"22")]
    sharing = anatomist.sharing(make(base, [("b", b"333")], same), make(base, same))
    assert [layer.created_by for layer in sharing.common] == ["step 1"]
    assert sharing.shared_bytes == 1
    assert [layer.size for layer in sharing.only_first] == [3, 2]
    assert [layer.size for layer in sharing.only_second] == [2]


# --- where a file comes from ------------------------------------------------------------------


def told(result: FileOrigin) -> list[str]:
    return [f"{version.layer}{version.kind}" for version in result.versions]


def test_each_version_of_a_file_and_the_difference(anatomist: ImageAnalyzer, make: Make) -> None:
    image = make(
        [("etc", None), ("etc/motd", b"one\ntwo\n")],
        [("other", b"")],
        [("etc/motd", b"one\n2\n")],
        [("etc/.wh.motd", b"")],
        [("etc/motd", b"\0\1")],
    )
    result = anatomist.origin(image, "/etc/motd")
    assert told(result) == ["1A", "3C", "4D", "5A"]
    first, second, removed, last = result.versions
    assert (first.type, first.mode, first.size, first.diff) == ("file", 0o644, 8, ())
    assert first.digest.removeprefix("sha256:") == sha256(b"one\ntwo\n").hexdigest()
    assert second.diff == ("@@ -1,2 +1,2 @@", " one", "-two", "+2")
    assert (second.created_by, removed.type, last.diff) == ("step 3", "", ())
    assert result.visible == last
    assert anatomist.origin(make([("a", b"1")], [(".wh.a", b"")]), "a").visible is None


def test_a_missing_end_of_line_is_a_difference(anatomist: ImageAnalyzer, make: Make) -> None:
    image = make([("a", b"one\n"), ("b", b"")], [("a", b"one"), ("b", b"new\n")])
    end = "\\ No newline at end of file"
    assert anatomist.origin(image, "a").versions[1].diff == ("@@ -1 +1,2 @@", " one", f"+{end}")
    assert anatomist.origin(image, "b").versions[1].diff == ("@@ -0,0 +1 @@", "+new")


def test_a_path_goes_with_the_directory_it_is_in(anatomist: ImageAnalyzer, make: Make) -> None:
    image = make(
        [("d", None), ("d/e", None), ("d/e/f", b"1")],
        [("d", None), ("d/.wh..wh..opq", b"")],
        [("d", None), ("d/e", None), ("d/e/f", b"2")],
        [("d", b"no directory now")],
    )
    assert told(anatomist.origin(image, "d/e/f")) == ["1A", "2D", "3A", "4D"]
    assert told(anatomist.origin(image, "d")) == ["1A", "4C"]


def test_links_on_the_way_are_followed_inside_the_image(
    anatomist: ImageAnalyzer, make: Make
) -> None:
    image = make(
        [("usr", None), ("usr/bin", None), ("usr/bin/sh", b"1"), ("bin", "usr/bin")],
        [("sbin", "/../bin/./"), ("out", "/etc")],
        [("usr/bin/sh", b"2")],
    )
    for path in ("/bin/sh", "sbin/sh", "/sbin/../bin/sh", "/usr/bin/sh"):
        result = anatomist.origin(image, path)
        assert (result.path, result.real_path, told(result)) == (path, "/usr/bin/sh", ["1A", "3C"])
    assert anatomist.origin(image, "/bin").versions[0].target == "usr/bin"
    assert os.path.exists("/etc/passwd")
    with pytest.raises(NotFound, match="no layer of the image has /out/passwd"):
        anatomist.origin(image, "/out/passwd")


def test_what_is_no_path_in_the_image_is_said(anatomist: ImageAnalyzer, make: Make) -> None:
    image = make([("x", "y"), ("y", "x"), ("f", b"1")])
    with pytest.raises(InvalidInput, match="too many levels of symbolic links: /x/f"):
        anatomist.origin(image, "/x/f")
    for path in ("", "a\0b"):
        with pytest.raises(InvalidInput, match="invalid path"):
            anatomist.origin(image, path)
    for path in ("/f/below", "/nothing", "/" + "n" * 300):
        with pytest.raises(NotFound):
            anatomist.origin(image, path)
    assert told(anatomist.origin(image, "/")) == ["1A"]


def test_row31_what_is_read_and_told_of_a_file_is_bounded(
    anatomist: ImageAnalyzer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(b"%d\n" % n for n in range(1900))
    wide, large = b"x" * 100_000, b"y\n" * 200_000
    image = make(
        [("a", lines), ("b", wide), ("c", large)], [("a", lines[::-1]), ("b", wide + b"1")]
    )
    diff = anatomist.origin(image, "a").versions[1].diff
    assert len(diff) == 401
    assert diff[-1].endswith("more lines")
    assert max(map(len, anatomist.origin(image, "b").versions[1].diff)) == 400
    monkeypatch.setattr(origins, "HASHED", 1000)
    (version,) = anatomist.origin(image, "c").versions
    assert (version.size, version.digest) == (400_000, "")
