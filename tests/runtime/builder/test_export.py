"""`--output` and SOURCE_DATE_EPOCH."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.build import BuildOutput, BuildStarted
from tests.runtime.builder.conftest import Site

pytestmark = pytest.mark.root
TEXT = "FROM scratch\nCOPY --chown=7 tool /bin/\nCOPY page /www/\nWORKDIR /made"


@pytest.fixture
def mysite(site: Site) -> Site:
    site.write("tool", "x", 0o4755)
    site.write("page", "hello")
    return site


def test_the_files_go_into_a_directory(mysite: Site, tmp_path: Path) -> None:
    mysite.build(TEXT, outputs=(BuildOutput("local", str(tmp_path / "out" / "deep")),))
    out = tmp_path / "out" / "deep"
    assert sorted(os.listdir(out)) == ["bin", "made", "www"]
    assert (out / "www" / "page").read_text() == "hello"


def test_nothing_becomes_set_uid_on_the_host(mysite: Site, tmp_path: Path) -> None:
    mysite.build(TEXT, outputs=(BuildOutput("local", str(tmp_path / "out")),))
    status = (tmp_path / "out" / "bin" / "tool").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o755, os.geteuid())


def test_a_link_in_the_image_leads_nowhere_on_the_host(mysite: Site, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (tmp_path / "out").mkdir()
    (mysite.context / "www").symlink_to(victim)
    mysite.build("FROM scratch\nCOPY . /", outputs=(BuildOutput("local", str(tmp_path / "out")),))
    assert (tmp_path / "out" / "www").is_symlink()
    assert list(victim.iterdir()) == []


def test_the_files_go_into_an_archive(mysite: Site, tmp_path: Path) -> None:
    mysite.build(
        TEXT,
        outputs=(BuildOutput("tar", str(tmp_path / "out.tar")),),
        build_args={"SOURCE_DATE_EPOCH": "1000"},
    )
    with tarfile.open(tmp_path / "out.tar") as tar:
        members = {member.name.rstrip("/"): member for member in tar}
        assert sorted(members) == ["bin", "bin/tool", "made", "www", "www/page"]
        assert (members["bin/tool"].uid, members["bin/tool"].mode) == (7, 0o4755)
        assert {member.mtime for member in members.values()} == {1000}


def test_with_an_epoch_a_build_can_be_repeated(mysite: Site) -> None:
    arguments = {"SOURCE_DATE_EPOCH": "1700000000"}
    first = mysite.build(TEXT, build_args=arguments, no_cache=True)
    (mysite.context / "page").touch()
    mysite.images.remove(first.id, force=True, used_by={}, alive=set())
    second = mysite.build(TEXT, build_args=arguments, no_cache=True)
    assert first.id == second.id
    document = mysite.images.config(second.id)
    assert document["created"] == "2023-11-14T22:13:20.000000000Z"
    assert {row["created"] for row in document["history"]} == {document["created"]}
    assert max(path.lstat().st_mtime for path in mysite.layer(second).rglob("*")) <= 1700000000


def test_another_epoch_is_another_build(mysite: Site) -> None:
    mysite.build(TEXT, build_args={"SOURCE_DATE_EPOCH": "1700000000"})
    steps = mysite.steps(TEXT, build_args={"SOURCE_DATE_EPOCH": "1600000000"})
    assert not any(step.cached for step in steps)


def test_an_epoch_is_a_number_and_always_known(mysite: Site) -> None:
    with pytest.raises(InvalidInput, match="invalid SOURCE_DATE_EPOCH: yesterday"):
        mysite.build(TEXT, build_args={"SOURCE_DATE_EPOCH": "yesterday"})
    events = mysite.events(TEXT, build_args={"SOURCE_DATE_EPOCH": "1"})
    (started,) = (event for event in events if isinstance(event, BuildStarted))
    assert started.warnings == ()
