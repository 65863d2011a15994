"""Deterministic notebooks: a second run shows what the first did."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dockmagic.widgets.masked import masked


@pytest.fixture
def deterministic(run: Any) -> None:
    run("%config DockMagic.deterministic = True")


def shown(shell: Any, cell: Any) -> dict[str, str]:
    data, _ = shell.display_formatter.format(cell.value)
    return dict(data)


def test_notebook_b15_a_build_is_the_same_from_the_cache(
    run: Any, shell: Any, engine: Any, deterministic: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from msgspec.structs import replace

    from dockmagic_runtime.model.build import StepDone

    first = shown(shell, run("%%dockerfile -t x\nFROM httpd\nRUN make\n"))
    build = engine.images.build

    def cached(request: Any) -> Any:
        for event in build(request):
            is_done = isinstance(event, StepDone)
            yield replace(event, cached=True, reason="", seconds=0.1) if is_done else event

    monkeypatch.setattr(engine.images, "build", cached)
    assert shown(shell, run("%%dockerfile -t x\nFROM httpd\nRUN make\n")) == first
    assert "2 steps" in first["text/plain"]


def test_notebook_b15_events_are_those_of_this_run(
    run: Any, engine: Any, deterministic: None
) -> None:
    before = time.time()
    run("%events --since 1h")
    (_, since, _, _, _) = engine.calls[-1]
    assert since > before - 60
    run("%config DockMagic.deterministic = False")
    run("%events --since 1h")
    assert engine.calls[-1][1] < before - 3000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[Tue Dec 01 15:16:27.668191 2026] [core:notice] [pid 1:tid 140] x",
         "[(time)] [core:notice] [pid (number):tid (number)] x"),
        ('172.17.0.1 - - [01/Dec/2026:15:16:27 +0000] "GET / HTTP/1.1" 200 45',
         '(address) - - [(time)] "GET / HTTP/1.1" 200 45'),
        ("2026-12-01T15:16:27.123Z ready", "(time) ready"),
        ("2026/12/01 15:16:27 [notice] 1#1: start", "(time) [notice] 1#1: start"),
        ("Dec  1 15:16:27 host", "(time) host"),
        ("version 1.2.3 listens on 127.0.0.1:80", "version 1.2.3 listens on 127.0.0.1:80"),
        ("id 0123456789ab and deadbeefcafe, added 123456789012", None),
    ],
)  # fmt: skip
def test_notebook_b15_logs_are_masked_where_they_differ(line: str, expected: str | None) -> None:
    if expected is None:
        expected = "id (id) and deadbeefcafe, added 123456789012"
    assert masked(line) == expected


def test_notebook_b13_hints_can_be_followed_in_a_cell() -> None:
    from dockmagic.magics.failures import for_cells

    hint = "look around where it failed: docker run -it --from-failed"
    assert for_cells(hint) == "look around where it failed: %%run_container --from-failed sh"
    assert for_cells("See 'docker run --help'.") == "See '%docker run --help'."
