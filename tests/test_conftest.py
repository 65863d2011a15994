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
