"""`HostSnapshot`: everything on the host that a container engine could leave behind.

Taken before and after, the difference must be empty. Only what carries the id of one of the areas
in question or lies below its directories counts, so that areas side by side do not see each other.
It reads /proc, /sys and netlink and starts no process.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from dockmagic_runtime.store.data_root import DataRoot

_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
_RUN: Final = Path("/run")

# linux/netfilter/nfnetlink.h and nf_tables.h
_NETLINK_NETFILTER: Final = 12
_NFT_MSG_GETTABLE: Final = 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES << 8 | message
_NFTA_TABLE_NAME: Final = 1
_NLM_F_REQUEST_DUMP: Final = 0x1 | 0x300
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_HEADER: Final = struct.Struct("=IHHII")


class HostSnapshot(Struct, frozen=True, kw_only=True):
    """What was there at one moment, as sorted-out names that a person can look for."""

    mounts: frozenset[str]
    links: frozenset[str]
    nft_tables: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    run_files: frozenset[str]

    @classmethod
    def take(cls, *data_roots: DataRoot) -> HostSnapshot:
        """What belongs to these areas now."""
        belongs = _belongs_to(data_roots)
        return cls(
            mounts=frozenset(filter(belongs, _mounts())),
            links=frozenset(filter(belongs, _links())),
            nft_tables=frozenset(filter(belongs, _nft_tables())),
            cgroups=frozenset(filter(belongs, _cgroups())),
            processes=frozenset(_processes(belongs)),
            run_files=frozenset(filter(belongs, _run_files())),
        )

    @classmethod
    def nothing(cls) -> HostSnapshot:
        """Of a host on which none of ours ever was."""
        return cls(**dict.fromkeys(cls.__struct_fields__, frozenset()))

    def difference(self, earlier: HostSnapshot) -> tuple[str, ...]:
        """What is here and was not in `earlier`, one line each; empty when nothing was left."""
        return tuple(
            f"{name}: {item}"
            for name in self.__struct_fields__
            for item in sorted(getattr(self, name) - getattr(earlier, name))
        )


def _links() -> Iterator[str]:
    """Interfaces, each with the bridge that it is plugged into: that one carries the area's id."""
    for _, name in socket.if_nameindex():
        try:
            bridge = Path(f"/sys/class/net/{name}/master").readlink().name
        except OSError:
            yield name  # plugged into nothing, or gone meanwhile
        else:
            yield f"{name} on {bridge}"


def left_behind(before: HostSnapshot, *data_roots: DataRoot, stop_timeout: float = 5.0) -> str:
    """What was left of them since `before`, as lines; waits while the kernel is still tidying up.

    A network namespace and its interfaces, a killed process and its cgroup go some milliseconds
    after the call that ended them has returned.
    """
    deadline = time.monotonic() + stop_timeout
    while left := HostSnapshot.take(*data_roots).difference(before):
        if time.monotonic() > deadline:
            return "\n".join(left)
        time.sleep(0.02)
    return ""


def _belongs_to(data_roots: Sequence[DataRoot]) -> Callable[[str], bool]:
    marks = [mark for data_root in data_roots for mark in _marks(data_root)]
    return lambda name: any(mark in name for mark in marks)


def _marks(data_root: DataRoot) -> tuple[str, ...]:
    """The id is in every global name, and paths below the root or run directory name themselves."""
    names = (data_root.id,) if data_root.id else (data_root.nft_table, data_root.bridge)
    return (str(data_root.root), str(data_root.run), *names)


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        yield f"{before.split()[4]} ({after.split()[0]})"


def _cgroups() -> Iterator[str]:
    # v2 and the named hierarchies of v1 alike: directories that begin with our name
    for pattern in ("dockmagic*", "*/dockmagic*"):
        for top in _CGROUP_ROOT.glob(pattern):
            if top.is_dir():
                yield str(top)
                yield from (directory for directory, _, _ in os.walk(top))


def _run_files() -> Iterator[str]:
    for top in _RUN.glob("dockmagic*"):
        yield str(top)  # an empty directory is left behind as well
        for directory, directories, names in os.walk(top):
            yield from (f"{directory}/{name}" for name in directories + names)


def _processes(belongs: Callable[[str], bool]) -> Iterator[str]:
    """Other processes that hold something of ours: open files, directories or their program."""
    own = os.getpid()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != own and _holds(entry, belongs):
            yield f"{entry.name} {_command(entry)}"


def _holds(process: Path, belongs: Callable[[str], bool]) -> bool:
    return any(belongs(target) for target in _targets(process))


def _targets(process: Path) -> Iterator[str]:
    links = [process / "cwd", process / "root", process / "exe"]
    try:
        links += (process / "fd").iterdir()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return  # it ended meanwhile, or is not ours to look at
    for link in links:
        try:
            yield str(link.readlink())
        except OSError:
            continue  # closed meanwhile


def _command(process: Path) -> str:
    try:
        raw = (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
    return re.sub(r"\s+", " ", raw.replace(b"\0", b" ").decode(errors="replace")).strip()


def _nft_tables() -> list[str]:
    """Names of all nftables tables of this network namespace; none where we may not ask."""
    try:
        answer = _dump(_NFT_MSG_GETTABLE)
    except PermissionError:
        return []
    return [name for message in answer for name in _attribute(message, _NFTA_TABLE_NAME)]


def _dump(kind: int) -> list[bytes]:
    """The payloads that a netlink dump of the netfilter family answers with."""
    family = struct.pack("=BBH", 0, 0, 0)  # struct nfgenmsg: unspecified family, version 0
    request = _HEADER.pack(_HEADER.size + len(family), kind, _NLM_F_REQUEST_DUMP, 1, 0) + family
    payloads: list[bytes] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        netlink.bind((0, 0))
        netlink.send(request)
        while _collect(netlink.recv(1 << 16), payloads):
            pass
    return payloads


def _collect(data: bytes, payloads: list[bytes]) -> bool:
    """Split one datagram into `payloads`; False when it ends the dump."""
    while data:
        length, kind, *_ = _HEADER.unpack_from(data)
        payload = data[_HEADER.size : length]
        if kind == _NLMSG_DONE:
            return False
        if kind == _NLMSG_ERROR:
            code = -struct.unpack_from("=i", payload)[0]
            raise OSError(code, os.strerror(code), "nftables tables")
        payloads.append(payload[4:])  # past struct nfgenmsg
        data = data[length + 3 & ~3 :]
    return True


def _attribute(message: bytes, wanted: int) -> Iterator[str]:
    while len(message) >= 4:
        length, kind = struct.unpack_from("=HH", message)
        if kind == wanted:
            yield message[4:length].rstrip(b"\0").decode()
        message = message[max(length + 3 & ~3, 4) :]
