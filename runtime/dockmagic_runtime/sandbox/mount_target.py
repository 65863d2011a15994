"""What the operations that mount have in common: the container's root, and the last step."""

from __future__ import annotations

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.sandbox.operation import Context


def container_root(context: Context) -> Root:
    """The container's root, inside which every target is resolved."""
    if context.root is None:
        raise EngineBug("an operation needs the container's root before it is mounted")
    return context.root


def place(context: Context, mount: int, target: int) -> None:
    """Attach a detached mount to a target; both are descriptors and are given back."""
    try:
        context.linux.move_mount(mount, target)
    finally:
        context.linux.close(target)
        context.linux.close(mount)
