"""The held sockets of another process, fetched or given up."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.linux.processes import has_ended, start_of
from dockmagic_runtime.network.port_proxy import held_ports, process_record


class Proxy:
    """A process that has the held ports, as a fork would."""

    def __init__(self, held: list[held_ports.HeldPort]) -> None:
        for port in held:
            os.set_inheritable(port.socket.fileno(), True)
        self.pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
        self.pidfd = os.pidfd_open(self.pid)
        self.process = process_record.describe(self.pid, start_of(self.pid), held)

    def close(self) -> None:
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)


@pytest.fixture
def held() -> Iterator[list[held_ports.HeldPort]]:
    held = held_ports.hold([("", 0, 80, "tcp")])
    yield held
    held_ports.release(held)


@pytest.fixture
def proxy(held: list[held_ports.HeldPort]) -> Iterator[Proxy]:
    proxy = Proxy(held)
    yield proxy
    proxy.close()


def test_its_sockets_are_ours_too(
    tmp_path: Path, proxy: Proxy, held: list[held_ports.HeldPort]
) -> None:
    process_record.write(str(tmp_path), proxy.process)
    noted = process_record.read(str(tmp_path))
    assert noted == proxy.process
    fetched = noted.fetch()
    assert [port.host_ip for port in fetched] == ["0.0.0.0", "::"]
    for ours, theirs in zip(held, fetched, strict=True):
        assert os.path.sameopenfile(ours.socket.fileno(), theirs.socket.fileno())
    held_ports.release(fetched)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.ESRCH])
def test_sockets_that_cannot_be_ours_stay_its_own(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_pidfd: int, _fd: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(process_record, "descriptor_of", refuse)
    assert proxy.process.fetch() == []
    assert not has_ended(proxy.pidfd)


def test_when_it_is_ended_the_ports_are_free(tmp_path: Path, proxy: Proxy) -> None:
    process_record.end(str(tmp_path))  # nothing is noted
    process_record.write(str(tmp_path), proxy.process)
    for _ in range(2):
        process_record.end(str(tmp_path))
        assert has_ended(proxy.pidfd)
    assert proxy.process.fetch() == []
