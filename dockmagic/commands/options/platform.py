"""`--platform`: programs run on this machine's own processor, so it must be this machine's.

And `--disable-content-trust`, its companion wherever images are pulled.
"""

from __future__ import annotations

import os

from msgspec.structs import replace

from dockmagic.commands.options.flags import Flag, switch, value
from dockmagic_runtime.errors import InvalidInput, NotFound, Unsupported
from dockmagic_runtime.model.go_values import parse_bool
from dockmagic_runtime.model.image import Image

_MACHINES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm",
    "i386": "386", "i686": "386",
}  # fmt: skip
_ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x".split()
)
_SYSTEMS = frozenset("darwin freebsd linux windows".split())
_VARIANTS = {("amd64", "v1"), ("arm64", "v8")}  # those that mean nothing more


def host_platform() -> str:
    """`linux/amd64`."""
    kernel = os.uname()
    return f"{kernel.sysname.lower()}/{_architecture(kernel.machine)}"


def _architecture(name: str) -> str:
    return _MACHINES.get(name.lower(), name.lower())


def check_platform(text: str) -> str:
    """The text itself, if it is empty or means this machine. Raises InvalidInput, Unsupported."""
    if text and _normal(text) != host_platform():
        raise Unsupported(
            f"the platform {text} is not this machine's, which is {host_platform()}",
            hint="programs run on this machine's own processor: leave --platform out",
        )
    return text


def other_platform(text: str) -> str:
    """`text` in full, or "" if it means this machine. Raises InvalidInput."""
    full = _normal(text) if text else ""
    return "" if full == host_platform() else full


def check_image(image: Image, name: str, text: str) -> None:
    """Raises NotFound when `--platform` asks for another than the image is for."""
    actual = f"{image.os or 'linux'}/{image.architecture}"
    if text and _normal(text) != actual:
        raise NotFound(
            f"image with reference {name} was found but its platform ({actual}) does not match "
            f"the specified platform ({_normal(text)})"
        )


def _normal(text: str) -> str:
    system, architecture = host_platform().split("/")
    parts = text.lower().split("/")
    if len(parts) == 1:
        return _single(text, system, architecture)
    variant = parts[2:] if (_architecture(parts[1]), *parts[2:]) not in _VARIANTS else []
    return "/".join([parts[0], _architecture(parts[1]), *variant])


def _single(text: str, system: str, architecture: str) -> str:
    if text.lower() in _SYSTEMS:
        return f"{text.lower()}/{architecture}"
    if _architecture(text) in _ARCHITECTURES:
        return f"{system}/{_architecture(text)}"
    raise InvalidInput(
        f'error parsing specified platform: "{text}": unknown operating system or architecture: '
        "invalid argument"
    )


def check_trust(text: str) -> bool:
    if not parse_bool(text):
        raise Unsupported(
            "content trust is not supported", hint="signatures of images are not verified"
        )
    return True


def variant(sentence: str) -> Flag:
    """`--platform` of the verbs that act on one platform's part of an image."""
    help = f'{sentence} Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'
    return value("platform", help=help)


TRUST = replace(
    switch("disable-content-trust", help="Skip image verification", default=True),
    convert=check_trust,
)
IMAGE_FLAGS: tuple[Flag, ...] = (
    value(
        "platform", help="Set platform if server is multi-platform capable", convert=check_platform
    ),
    TRUST,
)
