"""What a start that fails leaves in the state, where `inspect` shows it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.store import container_process
from dockmagic_runtime.supervisor import state

_NO_EXIT_CODE: Final = 128  # Docker's for a container that was not started, unless it has one


def record_refusal(store: ContainerStore, container_id: str, error: DockmagicError) -> None:
    """Records an error from before there was a process, unless another process has started the
    container meanwhile, or removed it."""
    if container_process.has_supervisor(store.run(container_id)):
        return
    directory = store.directory(container_id)
    with suppress(FileNotFoundError):
        code = state.load(directory).exit_code or _NO_EXIT_CODE
        state.note(directory, {}, error=error.message, exit_code=code)
