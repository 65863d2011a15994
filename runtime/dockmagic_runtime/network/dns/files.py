"""The container's `/etc/resolv.conf` and `/etc/hosts`, as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput

RESOLV_CONF = "/etc/resolv.conf"
BEHIND_STUB = "/run/systemd/resolve/resolv.conf"
STUB = "127.0.0.53"  # systemd-resolved, on the host's loopback
EMBEDDED = "127.0.0.11"  # the resolver of a container on networks of users
PUBLIC_SERVERS = ("8.8.8.8", "8.8.4.4")  # what Docker falls back to
_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class Resolver(Struct, frozen=True, kw_only=True):
    """What a resolv.conf says."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Resolver:
        """Of search and domain lines the last counts; options add up (resolv.conf(5))."""
        servers: list[str] = []
        search: tuple[str, ...] = ()
        options: list[str] = []
        for line in text.splitlines():
            keyword, *values = line.partition("#")[0].partition(";")[0].split() or [""]
            if keyword == "nameserver" and values:
                servers.append(values[0])
            elif keyword in ("search", "domain"):
                search = tuple(values)
            elif keyword == "options":
                options += values
        return cls(servers=tuple(servers), search=search, options=tuple(options))

    @property
    def is_stub(self) -> bool:
        """The true servers then stand in /run/systemd/resolve/resolv.conf."""
        return self.servers == (STUB,)

    def for_container(
        self, *, dns: Sequence[str], search: Sequence[str], options: Sequence[str]
    ) -> Resolver:
        """The host's, as far as a container on an IPv4 bridge can use it, and the flags over it.

        `--dns-search .` means none at all.
        """
        usable = [one for one in self.servers if not one.startswith("127.") and ":" not in one]
        return Resolver(
            servers=tuple(dns) or tuple(usable) or PUBLIC_SERVERS,
            search=self._search(search),
            options=tuple(options) or self.options,
        )

    def for_resolver(self, *, search: Sequence[str], options: Sequence[str]) -> Resolver:
        """For a container whose names the embedded resolver knows: it is asked first for all."""
        chosen = tuple(options) or self.options
        ndots = () if any(one.startswith("ndots:") for one in chosen) else ("ndots:0",)
        return Resolver(servers=(EMBEDDED,), search=self._search(search), options=(*chosen, *ndots))

    def _search(self, search: Sequence[str]) -> tuple[str, ...]:
        return tuple(one for one in search if one != ".") if search else self.search

    def __str__(self) -> str:
        lines = [f"nameserver {server}" for server in self.servers]
        if self.search:
            lines.append(f"search {' '.join(self.search)}")
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "".join(f"{line}\n" for line in lines)


def text_of(path: str) -> str:
    """Of a file of the host's; empty when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def own_addresses(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a state file's fields: on each network, in order, IPv4 before IPv6."""
    there = endpoint.get("networks", {}).values()
    every = [one[key] for one in there for key in ("ip_address", "ip6_address")]
    return tuple(filter(None, every))


def hosts(
    hostname: str,
    *,
    addresses: Sequence[str] = (),
    domainname: str = "",
    extra: Iterable[str] = (),
    gateway: str = "",
    linked: Iterable[tuple[str, str]] = (),
) -> str:
    """`extra` are `--add-host` values, NAME:ADDRESS; `host-gateway` stands for the gateway.

    `linked` are the lines of `--link`: an address and the names of who has it.
    """
    lines = [_extra_line(one, gateway) for one in extra]
    lines += [f"{address}\t{those}" for address, those in linked]
    own = own_names(hostname, domainname)
    lines += [f"{address}\t{own}" for address in addresses]
    return _HOSTS + "".join(f"{line}\n" for line in lines)


def own_names(hostname: str, domainname: str) -> str:
    """A container's line in its own hosts file: the full name, then the short one."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    short = hostname.partition(".")[0]  # a host name may come with its domain
    return full if full == short else f"{full} {short}"


def _extra_line(value: str, gateway: str) -> str:
    name, separator, address = value.replace("=", ":", 1).partition(":")
    if not (name and separator and address):
        raise InvalidInput(f'bad format for add-host: "{value}"', hint="write NAME:ADDRESS")
    address = address.removeprefix("[").removesuffix("]")
    if address == "host-gateway" and not gateway:
        raise InvalidInput(
            f'"{value}": host-gateway needs a bridge network', hint="name an address instead"
        )
    return f"{gateway if address == 'host-gateway' else address}\t{name}"


def with_line(text: str, address: str, own: str) -> str:
    """The hosts file with one more address of the container, which is called `own`."""
    return f"{text}{address}\t{own}\n"


def without_line(text: str, address: str) -> str:
    """The hosts file without what it says of that address."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.split()[:1] != [address])
