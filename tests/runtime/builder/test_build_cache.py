"""What a build takes from the cache, what it does again, and the reason that it gives."""

from __future__ import annotations

import json

import pytest

from dockmagic_runtime.errors import InvalidInput, ProcessFailed
from dockmagic_runtime.model.usage import CacheBounds

from .conftest import SITE, Site, cached, forget_layers, reasons

pytestmark = pytest.mark.root


def test_the_same_build_again_is_all_cached_and_the_same_image(mysite: Site) -> None:
    first = mysite.build(SITE)
    again = mysite.build(SITE)
    assert again.id == first.id
    assert cached(mysite, SITE) == [True] * 2
    assert len(mysite.runner.processes) == 1
    assert len(mysite.images.list(all=True)) == 1


def test_an_all_cached_build_writes_nothing(mysite: Site) -> None:
    mysite.build(SITE, tags=("mysite",))
    before = (
        mysite.database.rows("PRAGMA data_version"),
        mysite.data_root.database.stat().st_mtime_ns,
    )
    changes = mysite.database.rows("SELECT total_changes()")
    mysite.build(SITE, tags=("mysite",))
    assert mysite.database.rows("SELECT total_changes()") == changes
    after = (
        mysite.database.rows("PRAGMA data_version"),
        mysite.data_root.database.stat().st_mtime_ns,
    )
    assert after == before


def test_a_changed_file_is_named_and_later_steps_are_done_anew(mysite: Site) -> None:
    mysite.build(SITE)
    mysite.write("index.html", "changed")
    steps = mysite.steps(SITE)
    assert [step.cached for step in steps] == [False, False]
    assert steps[0].reason == "changed: index.html"
    assert steps[1].reason == f"step {steps[0].number} was built anew"


def test_new_and_removed_files_are_named(site: Site) -> None:
    site.write("d/a")
    site.write("d/b")
    dockerfile = "FROM scratch\nCOPY d /"
    site.build(dockerfile)
    (site.context / "d/a").unlink()
    site.write("d/c")
    assert reasons(site, dockerfile)[0] == "new: d/c; gone: d/a"


def test_a_touched_file_is_no_change_but_a_changed_mode_is(mysite: Site) -> None:
    mysite.build(SITE)
    mysite.write("index.html", "hello")  # the same contents, a new time
    assert all(cached(mysite, SITE))
    (mysite.context / "index.html").chmod(0o600)
    assert cached(mysite, SITE)[0] is False


def test_an_ignored_file_is_no_change(mysite: Site) -> None:
    mysite.write(".dockerignore", "*.log\n.dockerignore\n")
    dockerfile = "FROM scratch\nCOPY . /"
    mysite.build(dockerfile)
    mysite.write("build.log", "noise")
    assert all(cached(mysite, dockerfile))


def test_a_changed_instruction_is_told(mysite: Site) -> None:
    mysite.build(SITE)
    changed = SITE.replace("RUN touch", "RUN touch again")
    assert cached(mysite, changed) == [True, False]
    assert reasons(mysite, SITE.replace("RUN touch", "RUN other"))[1] == "changed: the command"


def test_no_cache_does_everything_and_says_so(mysite: Site) -> None:
    mysite.build(SITE)
    steps = mysite.steps(SITE, no_cache=True)
    assert [step.cached for step in steps] == [False, False]
    assert steps[0].reason == "--no-cache"
    assert len(mysite.runner.processes) == 2


def test_the_steps_of_some_stages_may_be_done_anew(mysite: Site) -> None:
    text = (
        SITE.replace("FROM scratch", "FROM scratch AS one")
        + "FROM scratch\nCOPY --from=one /made /"
    )
    mysite.build(text)
    reasons_ = reasons(mysite, text, no_cache_stages=("one",))
    assert reasons_ == ["--no-cache", "--no-cache", ""]
    with pytest.raises(InvalidInput, match='no-cache-filter stage "tow" could not be found'):
        mysite.build(text, no_cache_stages=("tow",))


def test_an_argument_in_scope_belongs_to_the_key_of_a_run(mysite: Site) -> None:
    dockerfile = "FROM scratch\nCOPY . /\nARG WHO=me\nRUN touch"
    mysite.build(dockerfile)
    assert all(cached(mysite, dockerfile, build_args={"WHO": "me"}))
    assert cached(mysite, dockerfile, build_args={"WHO": "you"}) == [True, False]


def test_an_undeclared_or_proxy_argument_does_not(mysite: Site) -> None:
    dockerfile = "FROM scratch\nCOPY . /\nRUN touch"
    mysite.build(dockerfile)
    assert all(cached(mysite, dockerfile, build_args={"OTHER": "x"}))
    assert all(cached(mysite, dockerfile, build_args={"http_proxy": "http://proxy"}))
    assert cached(mysite, dockerfile, build_args={"http_proxy": "p"}, no_cache=True)[1] is False
    assert "http_proxy=p" in mysite.runner.processes[-1].env


def test_the_requests_network_does_not_but_the_instructions_does(mysite: Site) -> None:
    dockerfile = "FROM scratch\nCOPY . /\nRUN touch"
    mysite.build(dockerfile)
    assert all(cached(mysite, dockerfile, network="host"))
    changed = dockerfile.replace("RUN", "RUN --network=none")
    assert cached(mysite, changed) == [True, False]


def test_cve_2024_24557_the_base_image_belongs_to_every_key(site: Site) -> None:
    site.write("file")
    for name in ("one", "two"):
        text = f"FROM scratch\nCOPY <<EOF /name\n{name}\nEOF"
        site.images.tag(site.build(text).id, name)
    site.build("FROM one\nCOPY file /")
    assert cached(site, "FROM two\nCOPY file /") == [False]


def test_a_result_whose_layer_is_gone_is_made_again(mysite: Site) -> None:
    mysite.build(SITE)
    forget_layers(mysite, "parent != ''")
    steps = mysite.steps(SITE)
    assert [step.cached for step in steps] == [True, False]
    assert steps[1].reason == "the layer it made is no longer there"


def test_a_layer_that_stands_on_others_is_not_taken(mysite: Site) -> None:
    mysite.build(SITE)
    # as after two builds of this file at the same time, each with its own RUN layer
    row = mysite.database.row(
        "SELECT key, facts FROM build_cache WHERE chain_id = "
        "(SELECT chain_id FROM layers WHERE parent != '')"
    )
    assert row is not None
    facts = json.loads(row[1]) | {"diff_id": "sha256:" + "0" * 64}
    with mysite.database.transaction() as connection:
        connection.execute(
            "UPDATE build_cache SET facts = ? WHERE key = ?", (json.dumps(facts), row[0])
        )
    assert reasons(mysite, SITE)[1] == "the layers below it were made anew"


def test_steps_before_a_failing_one_are_known_next_time(mysite: Site) -> None:
    mysite.runner.commands["fail"] = lambda _: 3
    dockerfile = "FROM scratch\nCOPY . /\nRUN touch\nENV A=1\nRUN fail"
    with pytest.raises(ProcessFailed):
        mysite.build(dockerfile)
    mysite.runner.commands["fail"] = lambda _: 0
    assert cached(mysite, dockerfile) == [True, True, False]


def test_pruning_forgets_results_and_frees_layers_that_no_image_has(mysite: Site) -> None:
    mysite.build(SITE)
    mysite.runner.commands["fail"] = lambda _: 1
    mysite.write("orphan", "12345")
    with pytest.raises(ProcessFailed):
        mysite.build("FROM scratch\nCOPY orphan /\nRUN fail")
    assert mysite.builder.prune_cache() == 5
    assert cached(mysite, SITE) == [False, False]


def test_what_was_used_longest_ago_goes_first(site: Site) -> None:
    text = "FROM scratch\n" + "".join(
        f"COPY <<EOF /{name}\n{'x' * 99}\nEOF\n" for name in ("a", "b", "c")
    )
    site.images.remove(site.build(text).id, force=True, used_by={}, alive=set())
    rows = site.database.rows("SELECT key FROM build_cache JOIN layers USING (chain_id) "
                              "ORDER BY layers.created")  # fmt: skip
    with site.database.transaction() as connection:
        for used, (key,) in enumerate(reversed(rows)):
            connection.execute("UPDATE build_cache SET used = ? WHERE key = ?", (used, key))
    assert site.builder.prune_cache(bounds=CacheBounds(reserved=250)) == 100
    assert [step.cached for step in site.steps(text)] == [True, True, False]


CONFIG_ONLY = [
    "LABEL a=2", "EXPOSE 81", "CMD y", "ENTRYPOINT y", "VOLUME /v", "STOPSIGNAL 9",
    "MAINTAINER you", "HEALTHCHECK NONE", "ONBUILD RUN y",
]  # fmt: skip


@pytest.mark.parametrize("line", CONFIG_ONLY)
def test_builder_7_a_line_that_no_later_step_can_read_makes_none_miss(
    mysite: Site, line: str
) -> None:
    rest = "COPY . /a\nRUN touch\nWORKDIR /w\nADD index.html /b"
    first = mysite.build(f"FROM scratch\nCOPY . /\n{rest}")
    text = f"FROM scratch\n{line}\nCOPY . /\n{line}\n{rest}"
    assert cached(mysite, text) == [True] * 5
    image = mysite.build(text)
    assert image.chain_ids == first.chain_ids
    assert image.id != first.id


@pytest.mark.parametrize("line", ["ENV B=1", "ARG B=1"])
def test_builder_7_a_variable_is_read_by_run_alone(mysite: Site, line: str) -> None:
    text = "FROM scratch\nCOPY . /\nCOPY . /a\nRUN touch"
    mysite.build(text)
    changed = text.replace("COPY . /a", f"{line}\nCOPY . /a")
    assert cached(mysite, changed) == [True, True, False]


def test_builder_7_a_user_is_read_by_run_and_workdir(mysite: Site) -> None:
    text = "FROM scratch\nCOPY . /\nCOPY . /a\n{}WORKDIR /w"
    mysite.build(text.format(""))
    assert cached(mysite, text.format("USER 5\n")) == [True, True, False]


def test_builder_7_a_base_image_with_another_config_makes_none_miss(mysite: Site) -> None:
    text = "FROM scratch\nCOPY . /\nLABEL a={}"
    for name in ("1", "2"):
        mysite.images.tag(mysite.build(text.format(name)).id, f"base:{name}")
    mysite.build("FROM base:1\nRUN touch")
    assert cached(mysite, "FROM base:2\nRUN touch") == [True]


def test_a_changed_config_has_the_times_of_the_layers(mysite: Site) -> None:
    first = mysite.document(SITE)
    again = mysite.document(SITE.replace('maintainer="me"', "maintainer=you"))
    times = [row["created"] for row in first["history"]]
    assert [row["created"] for row in again["history"]] == times
    assert times[0] == times[1]
    assert again["created"] == first["created"] == times[-1]
