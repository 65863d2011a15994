from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.supervisor import rootfs


@pytest.mark.parametrize("reads", [True, False], ids=["after it has read", "before"])
def test_a_supervisor_that_is_killed_while_it_is_asked_for_the_files_is_a_conflict(
    tmp_path: Path, reads: bool
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen(1)
        listener.settimeout(20)

        def end() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                connection.recv(4096 if reads else 1)  # a rest that is not read resets the peer

        supervisor = threading.Thread(target=end)
        supervisor.start()
        with pytest.raises(Conflict, match="ended before"):
            rootfs.ask(str(tmp_path), "web", mounts=True)
        supervisor.join(20)
