"""What the interpreter of a launcher runs first."""

from __future__ import annotations

import os

from dockmagic_runtime.lean_msgspec import import_msgspec


def main() -> None:
    # a child of the engine would be a zombie after its end, until the engine waits for it: so only
    # this fork goes on, whose parent is init
    if os.fork() > 0:
        os._exit(0)
    from dockmagic_runtime.supervisor.launcher_start import USERS

    _close_above(USERS)
    import_msgspec()
    from dockmagic_runtime.supervisor import launcher

    launcher.main()


def _close_above(last: int) -> None:
    """Close the descriptors that the engine's process had open without close-on-exec: a pipe of a
    shell or a socket of a test runner would stay open for as long as a container runs. By /proc,
    since a limit of files may be lower than a number that is in use."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > last:
            try:
                os.close(int(name))
            except OSError:
                pass  # that of the listing itself
