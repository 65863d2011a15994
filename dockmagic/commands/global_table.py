"""Docker's global options as `--help` shows them, without the grammar that reads them.

Help on all commands is shown before msgspec is imported; `global_options` makes its flags of this
table.
"""

from __future__ import annotations

import os


class GlobalOption:
    """`type` is empty for a switch; help puts `default_shown` in parentheses."""

    __slots__ = ("default_shown", "help", "name", "short", "type")

    def __init__(
        self, name: str, help: str, *, short: str = "", type: str = "", default_shown: str = ""
    ) -> None:
        self.name = name
        self.help = help
        self.short = short
        self.type = type
        self.default_shown = default_shown


def _directory() -> str:
    return os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")  # noqa: PTH111


def _file(name: str, kind: str, help: str) -> GlobalOption:
    return GlobalOption(name, help, type="string", default_shown=f'"{_directory()}/{kind}.pem"')


GLOBAL_OPTIONS = (
    GlobalOption(
        "config",
        "Location of client config files",
        type="string",
        default_shown=f'"{_directory()}"',
    ),
    GlobalOption(
        "context",
        "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and "
        'default context set with "docker context use")',
        short="c",
        type="string",
    ),
    GlobalOption("debug", "Enable debug mode", short="D"),
    GlobalOption("host", "Daemon socket to connect to", short="H", type="list"),
    GlobalOption(
        "log-level",
        'Set the logging level ("debug", "info", "warn", "error", "fatal")',
        short="l",
        type="string",
        default_shown='"info"',
    ),
    GlobalOption("tls", "Use TLS; implied by --tlsverify"),
    _file("tlscacert", "ca", "Trust certs signed only by this CA"),
    _file("tlscert", "cert", "Path to TLS certificate file"),
    _file("tlskey", "key", "Path to TLS key file"),
    GlobalOption("tlsverify", "Use TLS and verify the remote"),
    GlobalOption("version", "Print version information and quit", short="v"),
)
