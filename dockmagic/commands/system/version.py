"""`docker version`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, WrongUsage
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.output.result import Text
from dockmagic.commands.system.version_page import (
    API_VERSION,
    MIN_API_VERSION,
    machine,
    version_page,
)
from dockmagic.version import __version__
from dockmagic_runtime.errors import InvalidInput

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi
    from dockmagic_runtime.wire.system import ClientVersion, VersionInfo


def parser() -> Parser:
    return Parser(
        verb="version",
        usage="[OPTIONS]",
        summary="Show the Docker version information",
        maximum=0,
        flags=(INSPECT_FORMAT,),
    )


def run(engine: EngineApi, arguments: Arguments) -> Text:
    """Client and server are one program here, and keep Docker's two headings."""
    format = arguments.flag("format")
    if not format:
        return Text(version_page(), plain=f"dockmagic {__version__}")
    from dockmagic.commands.gotemplate.template import Template

    try:
        template = Template("{{json .}}" if format == "json" else format, "version")
    except InvalidInput as error:
        raise WrongUsage(error.message, verb="version", hint=error.hint, exit_code=64) from None
    return Text(template.render(_facts()))


def client_version() -> ClientVersion:
    """The client's half, which `info` shows too. GoVersion is empty: this is Python."""
    from dockmagic_runtime.wire.system import ClientVersion

    kernel = os.uname()
    return ClientVersion(
        Version=__version__,
        APIVersion=API_VERSION,
        DefaultAPIVersion=API_VERSION,
        Os=kernel.sysname.lower(),
        Arch=machine(),
        Context="default",
    )


def _facts() -> VersionInfo:
    from dockmagic_runtime.wire.system import ComponentVersion, PlatformInfo, Version, VersionInfo

    client, release = client_version(), os.uname().release
    engine = ComponentVersion(
        Name="Engine",
        Version=__version__,
        Details={
            "ApiVersion": API_VERSION,
            "Arch": client.Arch,
            "BuildTime": "",
            "Experimental": "false",
            "GitCommit": "",
            "GoVersion": "",
            "KernelVersion": release,
            "MinAPIVersion": MIN_API_VERSION,
            "Os": client.Os,
        },
    )
    server = Version(
        Platform=PlatformInfo(Name="dockmagic"),
        Components=[engine],
        Version=__version__,
        APIVersion=API_VERSION,
        MinAPIVersion=MIN_API_VERSION,
        Os=client.Os,
        Arch=client.Arch,
        KernelVersion=release,
    )
    return VersionInfo(Client=client, Server=server)
