"""The path of one connection from this host into a container, told while it is made.

A probe is sent; the counters of our nftables rules and of the container's cable are read before
and after. So what is told is what the kernel did, and not what it should have done.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from dockmagic_runtime.containers import topology
from dockmagic_runtime.containers.processes import read_process
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.registry import Registry
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.linux.cgroups import Cgroups
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.topology import Hop, Interface, Node, Trace
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.network.nft import ANY_ADDRESS, ONE_ADDRESS
from dockmagic_runtime.supervisor.state import State

_PATIENCE = 2.0  # seconds for the probe
_LISTENS = {"tcp": "0A", "udp": "07"}  # states in /proc/net: TCP_LISTEN; unconnected UDP
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_FOR_A_REFUSAL = 0.1  # seconds
_HERE = "publish_here"  # the chain for connections from this host
_USAGE = "write ADDRESS:PORT, such as localhost:9999, or CONTAINER:PORT"
Counters = dict[tuple[str, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """Where a connection ends, before it is tried. `way` as in `Trace`."""

    target: str
    address: str
    port: int
    protocol: str
    way: str
    record: Record
    pid: int
    node: Node
    end: Interface
    inner_port: int
    map_name: str = ""


def trace(networks: Networks, registry: Registry, cgroups: Cgroups, target: str) -> Trace:
    """Raises NotFound when nobody has published it; InvalidInput, Conflict."""
    path = _find(registry, target)
    is_ipv6 = ":" in path.address
    counted, cable = networks.counters(ipv6=is_ipv6), networks.traffic(path.end.veth)
    listener = _listener(registry, cgroups, path)
    answered = _probe(path)
    hops = tuple(
        _hops(
            path,
            _counts(counted, networks.counters(ipv6=is_ipv6)),
            (sum(cable), sum(networks.traffic(path.end.veth))),
            listener,
        )
    )
    return Trace(
        target=target,
        address=path.address,
        port=path.port,
        protocol=path.protocol,
        way=path.way,
        container=path.node.name,
        hops=hops,
        answered=answered,
        remark=_remark(path, networks),
    )


# ------------------------------------------------------------------ whose it is


def _find(registry: Registry, target: str) -> _Path:
    host, port, protocol = _parse(target)
    running = [
        (record, now) for record, now in registry.all() if Status(now.status).is_alive and now.pid
    ]
    for record, now in running:
        if host == record.name or (len(host) >= 12 and record.id.startswith(host)):
            node = topology.node(record, now)
            end = _end(node, now)
            return _Path(
                target=target, address=end.address, port=port, protocol=protocol, way="direct",
                record=record, pid=now.pid, node=node, end=end, inner_port=port,
            )  # fmt: skip
    address = _address(host, port)
    for record, now in running:
        for host_ip, host_port, inner, kind in now.ports:
            if (host_port, kind) == (port, protocol) and _covers(host_ip, address):
                node = topology.node(record, now)
                return _Path(
                    target=target, address=address, port=port, protocol=protocol,
                    way=_way(host_ip, address), record=record, pid=now.pid, node=node,
                    end=_end(node, now), inner_port=inner, map_name=_map(host_ip),
                )  # fmt: skip
    raise NotFound(
        f"no container that runs has published {protocol} port {port} on {address}",
        hint="'docker ps' shows what is published",
    )


def _parse(target: str) -> tuple[str, int, str]:
    text = target.removeprefix("http://").removeprefix("https://").rstrip("/")
    text, _, protocol = text.partition("/")
    host, colon, port = text.rpartition(":")
    protocol = (protocol or "tcp").lower()
    if protocol not in _KINDS or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidInput(f"'{target}' is not a place to connect to", hint=_USAGE)
    host = host.removeprefix("[").removesuffix("]") if colon else ""
    return host or "localhost", int(port), protocol


def _address(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"{host}: neither a container nor an address", hint=_USAGE) from error
    by_family = sorted(found, key=lambda one: one[0] != socket.AF_INET)
    return str(by_family[0][4][0])


def _covers(host_ip: str, address: str) -> bool:
    """Whether a port that is published there is reached by that address."""
    if host_ip in ("", "0.0.0.0"):
        return ":" not in address
    return host_ip == address or (host_ip == "::" and ":" in address)


def _way(host_ip: str, address: str) -> str:
    """netfilter never translates what is for loopback; and IPv6 only into IPv6."""
    is_loopback = ipaddress.ip_address(address).is_loopback
    return "proxy" if is_loopback or ":" in host_ip else "translated"


def _map(host_ip: str) -> str:
    """The map of ours that leads from a port published there."""
    return ANY_ADDRESS if host_ip in ("", "0.0.0.0", "::") else ONE_ADDRESS


def _end(node: Node, now: State) -> Interface:
    """Where published ports lead."""
    if not node.interfaces:
        raise Conflict(f"container {node.name} has no network of its own ({node.mode})")
    ends = {one.address: one for one in node.interfaces}
    return ends.get(now.ip_address, node.interfaces[0])


def _remark(path: _Path, networks: Networks) -> str:
    if path.way != "proxy":
        return ""
    everywhere = [ip for ip, port, *_ in path.node.published if port == path.port]
    if "0.0.0.0" not in everywhere and "" not in everywhere:
        return f"published on {path.address} for this host alone: no rule leads there"
    other = next((one.partition("/")[0] for _, one in networks.uplinks() if ":" not in one), "")
    of_protocol = "" if path.protocol == "tcp" else f"/{path.protocol}"
    return (
        "other machines, and this host by its other addresses, are translated by nftables instead"
        + (f": trace {other}:{path.port}{of_protocol}" if other else "")
    )


# ------------------------------------------------------------------ the probe


def _probe(path: _Path) -> bool:
    """Whether somebody takes the connection; of UDP, whether it is not refused."""
    family = socket.AF_INET6 if ":" in path.address else socket.AF_INET
    with socket.socket(family, _KINDS[path.protocol]) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect((path.address, path.port))
            if path.protocol == "udp":
                probe.send(b"")
                return _is_taken(probe, at_end=True)
            if path.way == "proxy":
                return _is_taken(probe, at_end=False)
        except OSError:
            return False
    return True


def _is_taken(probe: socket.socket, *, at_end: bool) -> bool:
    """The proxy takes every connection, and ends it at once if the container takes none; to a
    datagram a refusal comes back, or nothing. `at_end`: what an empty answer means."""
    probe.settimeout(_FOR_A_REFUSAL)
    try:
        return bool(probe.recv(1, socket.MSG_PEEK)) or at_end
    except TimeoutError:
        return True
    except OSError:
        return False


def _counts(before: Counters, after: Counters) -> dict[tuple[str, str], tuple[int, int]]:
    return {place: (before.get(place, 0), packets) for place, packets in after.items()}


def _listener(registry: Registry, cgroups: Cgroups, path: _Path) -> str:
    """The program that listens in the container, with its pid; empty when none does."""
    sockets = set(_listening(path.pid, path.inner_port, path.protocol))
    pids = cgroups.at(registry.cgroup_parent(path.record), path.record.id).pids()
    for pid in sorted(pids):
        if sockets & set(_sockets(pid)) and (found := read_process(pid)) is not None:
            return found.command
    return ""


def _listening(pid: int, port: int, protocol: str) -> Iterator[str]:
    """The inodes of the sockets that listen on that port in the process's network namespace."""
    for family in ("", "6"):
        try:
            with open(f"/proc/{pid}/net/{protocol}{family}", encoding="ascii") as stream:
                rows = [line.split() for line in stream][1:]
        except OSError:
            continue  # it has ended, or the kernel has no IPv6
        for row in rows:
            if int(row[1].rpartition(":")[2], 16) == port and row[3] == _LISTENS[protocol]:
                yield f"socket:[{row[9]}]"


def _sockets(pid: int) -> Iterator[str]:
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            yield os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return  # it has ended


# ------------------------------------------------------------------ the stations


def _hops(
    path: _Path,
    counts: dict[tuple[str, str], tuple[int, int]],
    cable: tuple[int, int],
    listener: str,
) -> Iterator[Hop]:
    end, inner = path.end, f"{path.end.address}:{path.inner_port}"
    yield Hop(
        kind="client",
        what=f"a program on this host connects to {path.target}",
        detail=f"{path.address}:{path.port}",
    )
    rules = list(_rules(path, counts))
    yield from rules
    if path.way == "proxy" or (path.way == "translated" and not rules):
        yield Hop(
            kind="proxy",
            what=f"the port is held by a socket of {path.node.name}'s supervisor, which passes on",
            detail=f"a second connection, to {inner}",
        )
    yield Hop(kind="bridge", what=f"the bridge of network {end.network}", detail=f"towards {inner}")
    yield Hop(
        kind="veth",
        what="the cable's end in the bridge",
        detail=end.veth,
        before=cable[0],
        after=cable[1],
    )
    yield Hop(
        kind="interface",
        what=f"{end.name} in {path.node.name}",
        detail=f"{end.address} ({end.mac})",
    )
    listening = f"{listener} listens on port {path.inner_port}"
    yield Hop(
        kind="process",
        what=listening if listener else f"nobody listens on port {path.inner_port}",
        detail=f"in container {path.node.id[:12]}",
    )


def _rules(path: _Path, counts: dict[tuple[str, str], tuple[int, int]]) -> Iterator[Hop]:
    """Those that translate; others count what has nothing to do with the probe as well."""
    inner = f"{path.end.address} . {path.inner_port}"
    where = f"{path.address} . " if path.map_name == ONE_ADDRESS else ""
    for (chain, comment), (before, after) in counts.items():
        if path.way == "translated" and chain == _HERE and after > before:
            yield Hop(
                kind="rule",
                what=f"nftables: {comment}",
                detail=f"{path.address}:{path.port} becomes {path.end.address}:{path.inner_port}",
                rule=f"chain {chain}, map {path.map_name}: "
                f"{where}{path.protocol} . {path.port} : {inner}",
                before=before,
                after=after,
            )
