"""The rules of the test run itself, tried on a run inside the run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

_TESTS = """
import pytest

def test_passes():
    pass

@pytest.mark.skipif(True, reason="{reason}")
def test_is_skipped():
    pass
"""


_LEAKY = """
import pytest
from dockmagic_runtime.store.data_root import DataRoot

def test_leaks(tmp_path):
    area = DataRoot.at(tmp_path)
    area.prepare()
    {undone}
"""


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    return pytester


def _run(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, reason: str) -> int:
    monkeypatch.setenv("CI", ci)
    inner.makepyfile(_TESTS.format(reason=reason))
    return int(inner.runpytest_subprocess().ret)


def test_a_skip_is_forgiven_on_a_developers_machine(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(inner, monkeypatch, "", "no root") == pytest.ExitCode.OK


def test_a_skip_fails_the_run_in_ci(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(inner, monkeypatch, "true", "no root") == pytest.ExitCode.TESTS_FAILED


def test_an_optional_skip_is_forgiven_in_ci(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(inner, monkeypatch, "true", "optional: no podman here") == pytest.ExitCode.OK


def test_an_area_that_is_still_on_the_host_fails_the_run(
    inner: pytest.Pytester, tmp_path: Path
) -> None:
    inner.makepyfile(_LEAKY.format(undone=""))
    result = inner.runpytest_subprocess(f"--basetemp={tmp_path / 'inner'}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*left behind on the host*", "run_files: */dockmagic-*"])
    (left,) = {word for word in result.outlines if word.startswith("run_files: ")}
    Path(left.removeprefix("run_files: ")).rmdir()


def test_an_area_that_is_gone_at_the_end_does_not(inner: pytest.Pytester) -> None:
    inner.makepyfile(_LEAKY.format(undone="area.run.rmdir()"))
    assert inner.runpytest_subprocess().ret == pytest.ExitCode.OK
