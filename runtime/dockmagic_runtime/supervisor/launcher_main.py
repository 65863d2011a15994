"""What the interpreter of a launcher runs first."""

from __future__ import annotations

import os

from dockmagic_runtime.lean_msgspec import import_msgspec


def main() -> None:
    # a child of the engine would be a zombie after its end, until the engine waits for it: so only
    # this fork goes on, whose parent is init
    if os.fork() > 0:
        os._exit(0)
    import_msgspec()
    from dockmagic_runtime.supervisor import launcher

    launcher.main()
