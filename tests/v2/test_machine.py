"""The host's side of `make test-v2`, with a program in the place of the virtual machine."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from tests.v2 import machine
from tests.v2.__main__ import SELECTION
from tests.v2.image import REPOSITORY, Image

_FAKE = """#!/bin/sh
echo $$ >"{place}/pid"
for word; do
    case $word in
    file:*console) console=${{word#file:}} ;;
    file:*status) status=${{word#file:}} ;;
    file=*repository.tar,*) repository=${{word#file=}} ;;
    esac
done
cp "${{repository%%,*}}" "{place}/repository.tar"
{script}
"""


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "BUILD", tmp_path)
    return Image(kernel=tmp_path / "vmlinuz", disk=tmp_path / "root.ext4")


def _behave(image: Image, script: str) -> Path:
    """Let the machine do this; the directory in which it says what it was."""
    place = image.disk.parent
    program = place / "qemu-system-x86_64"
    program.write_text(_FAKE.format(place=place, script=script))
    program.chmod(0o755)
    return place


@pytest.mark.parametrize("status", [0, 1, 5])
def test_the_status_is_that_of_the_tests(
    image: Image, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _behave(image, f'printf "2 passed\\r\\n"; echo {status} >"$status"')
    assert machine.run(image, ["tests"], limit=60) == status
    assert capsys.readouterr().out == "2 passed\n"


def test_it_gets_the_repository_and_what_to_run(image: Image) -> None:
    place = _behave(image, 'echo 0 >"$status"')
    machine.run(image, ["tests/a b", "-x"], limit=60)
    with tarfile.open(place / "repository.tar") as archive:
        selection = archive.extractfile("selection")
        assert selection is not None
        assert selection.read() == b"'tests/a b' -x"
        assert "tests/v2/guest.sh" in archive.getnames()
        assert not any("__pycache__" in name for name in archive.getnames())


def test_without_a_status_it_is_an_error_with_the_consoles_last_words(image: Image) -> None:
    _behave(image, 'echo "Kernel panic" >"$console"')
    with pytest.raises(machine.NoResult, match="Kernel panic"):
        machine.run(image, ["tests"], limit=60)


def test_after_the_limit_it_is_ended_and_nothing_of_it_stays(image: Image) -> None:
    place = _behave(image, "echo begun; exec sleep 100")
    with pytest.raises(machine.NoResult):
        machine.run(image, ["tests"], limit=2)
    assert not Path(f"/proc/{(place / 'pid').read_text().strip()}").exists()
    assert not list(place.glob("running-*"))


@pytest.mark.parametrize("path", SELECTION)
def test_what_is_named_without_arguments_is_there(path: str) -> None:
    assert (REPOSITORY / path).exists()
