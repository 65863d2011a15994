"""The container's `/etc/resolv.conf`, derived from the host's. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

STUB = "127.0.0.53"  # systemd-resolved, on the host's loopback
EMBEDDED = "127.0.0.11"  # the DNS server of a container on user-defined networks
PUBLIC_SERVERS = ("8.8.8.8", "8.8.4.4")  # Docker's fallback


class ResolvConf(Struct, frozen=True, kw_only=True):
    """The settings of a resolv.conf file; `str()` formats them as such a file."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ResolvConf:
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
        """The upstream servers are then in `host_files.RESOLVED_UPSTREAMS`."""
        return self.servers == (STUB,)

    def for_container(
        self, *, dns: Sequence[str], search: Sequence[str], options: Sequence[str]
    ) -> ResolvConf:
        """The host's settings, as far as a container on an IPv4 bridge can use them, overridden
        by the flags `--dns`, `--dns-search` and `--dns-option`.

        `--dns-search .` means no search domain at all.
        """
        usable = [server for server in self.servers if _is_usable(server)]
        return ResolvConf(
            servers=tuple(dns) or tuple(usable) or PUBLIC_SERVERS,
            search=self._search(search),
            options=tuple(options) or self.options,
        )

    def for_embedded(self, *, search: Sequence[str], options: Sequence[str]) -> ResolvConf:
        """For a container with an embedded DNS server, which answers or forwards every query."""
        chosen = tuple(options) or self.options
        has_ndots = any(option.startswith("ndots:") for option in chosen)
        ndots = () if has_ndots else ("ndots:0",)
        return ResolvConf(
            servers=(EMBEDDED,), search=self._search(search), options=(*chosen, *ndots)
        )

    def _search(self, search: Sequence[str]) -> tuple[str, ...]:
        return tuple(domain for domain in search if domain != ".") if search else self.search

    def __str__(self) -> str:
        lines = [f"nameserver {server}" for server in self.servers]
        if self.search:
            lines.append(f"search {' '.join(self.search)}")
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "".join(f"{line}\n" for line in lines)


def _is_usable(server: str) -> bool:
    """Whether a container on an IPv4 bridge reaches this server of the host."""
    return not server.startswith("127.") and ":" not in server
