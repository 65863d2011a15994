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
    assert cached(mysite, SITE) == [True] * 5
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
    assert [step.cached for step in steps] == [True, True, False, False, False]
    assert steps[2].reason == "changed: index.html"
    assert steps[3].reason == "step 3 was built anew"


def test_new_and_removed_files_are_named(site: Site) -> None:
    site.write("d/a")
    site.write("d/b")
    dockerfile = "FROM scratch\nCOPY d /"
    site.build(dockerfile)
    (site.context / "d/a").unlink()
    site.write("d/c")
    assert reasons(site, dockerfile)[1] == "new: d/c; gone: d/a"


def test_a_touched_file_is_no_change_but_a_changed_mode_is(mysite: Site) -> None:
    mysite.build(SITE)
    mysite.write("index.html", "hello")  # the same contents, a new time
    assert all(cached(mysite, SITE))
    (mysite.context / "index.html").chmod(0o600)
    assert cached(mysite, SITE)[2] is False


def test_an_ignored_file_is_no_change(mysite: Site) -> None:
    mysite.write(".dockerignore", "*.log\n.dockerignore\n")
    dockerfile = "FROM scratch\nCOPY . /"
    mysite.build(dockerfile)
    mysite.write("build.log", "noise")
    assert all(cached(mysite, dockerfile))


def test_a_changed_instruction_is_told(mysite: Site) -> None:
    mysite.build(SITE)
    changed = SITE.replace("RUN touch", "RUN touch again")
    assert cached(mysite, changed) == [True, True, True, False, False]
    assert reasons(mysite, SITE.replace("RUN touch", "RUN other"))[3] == "changed: the command"


def test_no_cache_does_everything_and_says_so(mysite: Site) -> None:
    mysite.build(SITE)
    steps = mysite.steps(SITE, no_cache=True)
    assert [step.cached for step in steps] == [True, False, False, False, False]
    assert steps[1].reason == "--no-cache"
    assert len(mysite.runner.processes) == 2


def test_the_steps_of_some_stages_may_be_done_anew(mysite: Site) -> None:
    text = (
        SITE.replace("FROM scratch", "FROM scratch AS one")
        + "FROM scratch\nCOPY --from=one /made /"
    )
    mysite.build(text)
    reasons_ = reasons(mysite, text, no_cache_stages=("one",))
    assert reasons_ == ["", "--no-cache", "--no-cache", "--no-cache", "--no-cache", "", ""]
    with pytest.raises(InvalidInput, match='no-cache-filter stage "tow" could not be found'):
        mysite.build(text, no_cache_stages=("tow",))


def test_an_argument_in_scope_belongs_to_the_key_of_a_run(mysite: Site) -> None:
    dockerfile = "FROM scratch\nCOPY . /\nARG WHO=me\nRUN touch"
    mysite.build(dockerfile)
    assert all(cached(mysite, dockerfile, build_args={"WHO": "me"}))
    assert cached(mysite, dockerfile, build_args={"WHO": "you"}) == [True, True, True, False]


def test_an_undeclared_or_proxy_argument_does_not(mysite: Site) -> None:
    dockerfile = "FROM scratch\nCOPY . /\nRUN touch"
    mysite.build(dockerfile)
    assert all(cached(mysite, dockerfile, build_args={"OTHER": "x"}))
    assert all(cached(mysite, dockerfile, build_args={"http_proxy": "http://proxy"}))
    assert cached(mysite, dockerfile, build_args={"http_proxy": "p"}, no_cache=True)[2] is False
    assert "http_proxy=p" in mysite.runner.processes[-1].env


def test_the_requests_network_does_not_but_the_instructions_does(mysite: Site) -> None:
    dockerfile = "FROM scratch\nCOPY . /\nRUN touch"
    mysite.build(dockerfile)
    assert all(cached(mysite, dockerfile, network="host"))
    changed = dockerfile.replace("RUN", "RUN --network=none")
    assert cached(mysite, changed) == [True, True, False]


def test_cve_2024_24557_the_base_image_belongs_to_every_key(site: Site) -> None:
    for name in ("one", "two"):
        site.images.tag(site.build(f"FROM scratch\nLABEL n={name}").id, name)
    site.build("FROM one\nCMD x")
    assert cached(site, "FROM two\nCMD x") == [True, False]


def test_a_result_whose_layer_is_gone_is_made_again(mysite: Site) -> None:
    mysite.build(SITE)
    forget_layers(mysite, "parent != ''")
    steps = mysite.steps(SITE)
    assert [step.cached for step in steps] == [True, True, True, False, False]
    assert steps[3].reason == "the layer it made is no longer there"


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
    assert reasons(mysite, SITE)[3] == "the layers below it were made anew"


def test_steps_before_a_failing_one_are_known_next_time(mysite: Site) -> None:
    mysite.runner.commands["fail"] = lambda _: 3
    dockerfile = "FROM scratch\nCOPY . /\nRUN touch\nENV A=1\nRUN fail"
    with pytest.raises(ProcessFailed):
        mysite.build(dockerfile)
    mysite.runner.commands["fail"] = lambda _: 0
    assert cached(mysite, dockerfile) == [True, True, True, True, False]


def test_pruning_forgets_results_and_frees_layers_that_no_image_has(mysite: Site) -> None:
    mysite.build(SITE)
    mysite.runner.commands["fail"] = lambda _: 1
    mysite.write("orphan", "12345")
    with pytest.raises(ProcessFailed):
        mysite.build("FROM scratch\nCOPY orphan /\nRUN fail")
    assert mysite.builder.prune_cache() == 5
    assert cached(mysite, SITE) == [True, False, False, False, False]


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
    assert [step.cached for step in site.steps(text)] == [True, True, True, False]
