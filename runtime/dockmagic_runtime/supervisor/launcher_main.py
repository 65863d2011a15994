"""What the interpreter of a launcher runs first.

msgspec imports modules that a launcher never uses: a third of the time until it can fork. They are
replaced by stand-ins with the few names that msgspec looks up, which last until it is imported.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

_STAND_INS = {
    "typing_extensions": {},  # without its names msgspec takes those of typing
    "uuid": {"UUID": type("UUID", (), {}), "SafeUUID": type("SafeUUID", (), {"unknown": None})},
}


def main() -> None:
    # a child of the engine would be a zombie after its end, until the engine waits for it: so only
    # this fork goes on, whose parent is init
    if os.fork() > 0:
        os._exit(0)
    import_msgspec()
    from dockmagic_runtime.supervisor import launcher

    launcher.main()


def import_msgspec() -> None:
    """Another version of msgspec may look up more: then it gets the real modules."""
    for name, values in _STAND_INS.items():
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__dict__.update(values)
    try:
        import msgspec  # noqa: F401
    except (AttributeError, ImportError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "msgspec"]:
            del sys.modules[name]
    finally:
        for name in _STAND_INS:
            del sys.modules[name]
