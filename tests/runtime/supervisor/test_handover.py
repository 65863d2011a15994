"""What a start process hands over arrives, however many descriptors it is."""

from __future__ import annotations

import os
import resource
import socket
from typing import Any

import pytest

from dockmagic_runtime.linux.processes import has_ended
from dockmagic_runtime.supervisor import handover
from dockmagic_runtime.supervisor.handover import Header


def exchange(fds: dict[str, int], header: Header) -> handover.Handover:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        handover.send(theirs, fds, header)
        handed = handover.receive(ours, os.getpid())
    assert handed is not None
    return handed


def header(packages: list[Any]) -> Header:
    return 4711, b"dockmagic-abc", True, False, packages


def test_named_descriptors_and_those_of_operations_arrive() -> None:
    ends = [os.pipe() for _ in range(3)]
    fds = {"request": ends[0][0], "stdout": ends[1][0], "1.0": ends[2][0]}
    package = ["HoldPorts", {"ports": []}], [("", 80, 80, "tcp")], 1
    handed = exchange(fds, header([package]))
    handed.channel.close()
    assert (handed.pid, handed.name, handed.terminal) == (4711, b"dockmagic-abc", True)
    assert set(handed.fds) == {"request", "stdout"}
    ((wire, value, (kept,)),) = handed.kept
    assert (wire[0], value) == ("HoldPorts", [("", 80, 80, "tcp")])
    assert os.path.sameopenfile(kept, ends[2][0])
    for fd in (*handed.fds.values(), kept, *(fd for pair in ends for fd in pair)):
        assert not os.get_inheritable(fd) or fd in {fd for pair in ends for fd in pair}
        os.close(fd)


def test_more_descriptors_than_one_message_takes_arrive_in_order() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    null = os.open("/dev/null", os.O_RDONLY)
    files = [os.memfd_create(str(number)) for number in range(600)]
    try:
        package: tuple[list[Any], list[Any], int] = (["HoldPorts", {"ports": []}], [], 600)
        fds = {"request": null, **{f"1.{at}": fd for at, fd in enumerate(files)}}
        handed = exchange(fds, header([package]))
        handed.channel.close()
        ((_, _, kept),) = handed.kept
        names = [os.readlink(f"/proc/self/fd/{fd}").split()[0] for fd in kept]
        assert names == [f"/memfd:{number}" for number in range(600)]
        for fd in (*kept, handed.fds["request"]):
            os.close(fd)
    finally:
        for fd in (null, *files):
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_start_process_that_ends_without_a_message_leaves_nothing_to_take_over() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    pid = os.posix_spawn("/bin/true", ["true"], {})
    assert handover.receive(ours, pid) is None


def test_the_child_of_a_start_process_that_was_killed_ends() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    pidfd = os.pidfd_open(child)
    start_process = os.posix_spawn("/bin/true", ["true"], {})
    with theirs:
        theirs.send(b"P%d" % child)
    assert handover.receive(ours, start_process) is None
    assert has_ended(pidfd)
    os.close(pidfd)
    with pytest.raises(ChildProcessError):
        os.waitpid(child, 0)
