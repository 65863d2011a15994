"""Importing msgspec in a process that lives for a few milliseconds, or is forked often.

msgspec imports modules for types that no value of ours has, and typing_extensions where that is
installed, although it needs nothing of it on the Python versions that we support. Together they
take twice as long as the start of Python. Stand-ins with the few names that msgspec looks up
replace them until it is imported; a later import gets the real ones.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from types import ModuleType


class _Never:
    """The type of no value."""

    unknown = None


_STAND_INS: dict[str, dict[str, object]] = {
    "typing_extensions": {},  # without its names msgspec takes those of typing
    "uuid": {"UUID": _Never, "SafeUUID": _Never},
    "decimal": {"Decimal": _Never},
    "msgspec.inspect": {},
    "msgspec._json_schema": {"schema": None, "schema_components": None},
}


def _of_the_real_one(module: str, name: str) -> object:
    """What a stand-in lacks. A failed initialization of msgspec cannot be repeated: Python 3.12
    refuses to initialize an extension module a second time."""
    if name.startswith("__"):
        raise AttributeError(name)
    stand_in = sys.modules.pop(module)
    try:
        return getattr(import_module(module), name)
    finally:
        sys.modules[module] = stand_in


def import_msgspec() -> None:
    """Another version of msgspec may look up more: then it gets the real modules."""
    names = [name for name in _STAND_INS if name not in sys.modules]
    if "msgspec" in sys.modules:
        return
    for name in names:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__dict__.update(_STAND_INS[name])
        if name != "typing_extensions":
            sys.modules[name].__dict__["__getattr__"] = partial(_of_the_real_one, name)
    try:
        import msgspec  # noqa: F401
    except (AttributeError, ImportError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "msgspec"]:
            del sys.modules[name]
    finally:
        for name in names:
            sys.modules.pop(name, None)
