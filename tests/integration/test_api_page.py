"""runtime/API.md: its examples run, in their order, and print what it shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

import dockmagic_runtime
from dockmagic_runtime import Engine
from dockmagic_runtime.store.data_root import DataRoot

pytestmark = [pytest.mark.root, pytest.mark.network]
PAGE = (Path(__file__).parents[2] / "runtime" / "API.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE, re.DOTALL)


def test_the_examples_print_what_the_page_shows(
    engine: Engine, data_root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first example makes an engine of its own, the others use the fixture's."""
    monkeypatch.setenv("DOCKMAGIC_ROOT", str(data_root.root))
    names: dict[str, Any] = {}
    for number, (code, expected) in enumerate(EXAMPLES):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, f"API.md, example {number + 1}", "exec"), names)
        assert printed.getvalue() == expected, code
        names["engine"] = engine
    assert len(EXAMPLES) > 8


def test_every_error_is_on_the_page() -> None:
    for name in dockmagic_runtime.__all__:
        value = getattr(dockmagic_runtime, name)
        if isinstance(value, type) and issubclass(value, Exception):
            assert f"`{name}`" in PAGE or name == "DockmagicError"
