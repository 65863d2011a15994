"""What `docker build` is asked for: its flags, read into a `BuildRequest`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dockmagic.commands.builder.attributes import attributes
from dockmagic.commands.builder.cache_flags import parse_cache_from, parse_cache_to
from dockmagic.commands.builder.call import Call, parse_call
from dockmagic.commands.builder.unsupported import REFUSED_FLAGS
from dockmagic.commands.options.dns import parse_host
from dockmagic.commands.options.environment import check_label, read_env, read_labels
from dockmagic.commands.options.flags import (
    Arguments,
    Flag,
    integer,
    switch,
    value,
    values,
)
from dockmagic.commands.options.kernel import parse_ulimit
from dockmagic.commands.options.platform import IMAGE_FLAGS
from dockmagic.commands.output.files import is_socket
from dockmagic.commands.units import parse_size, parse_swap
from dockmagic_runtime.errors import InvalidInput, NotFound, Unsupported
from dockmagic_runtime.model.build import BuildOutput
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.model.go_values import parse_bool

_PROGRESS = ("auto", "none", "plain", "quiet", "rawjson", "tty")
_NETWORKS = {"": "bridge", "default": "bridge", "bridge": "bridge", "host": "host", "none": "none"}
_ENTITLEMENTS = ("network.host", "security.insecure")
_SECRET_LIMIT = 500 * 1024  # Docker's
# the exporters, and what can be said of each
_IMAGE_KEYS = ("name", "push", "rewrite-timestamp")
_ARCHIVE_KEYS = ("dest", "name", "tar", "rewrite-timestamp")
_KINDS = {
    "local": ("dest",),
    "tar": ("dest",),
    "docker": _ARCHIVE_KEYS,
    "oci": _ARCHIVE_KEYS,
    "image": _IMAGE_KEYS,
    "registry": _IMAGE_KEYS,
}


def check_progress(text: str) -> str:
    if text not in _PROGRESS:
        raise ValueError(f"one of {', '.join(_PROGRESS)}")
    return text


def parse_network(text: str) -> str:
    if text not in _NETWORKS:
        raise ValueError("one of default, host, none")
    return _NETWORKS[text]


def parse_entitlement(text: str) -> str:
    if text not in _ENTITLEMENTS:
        raise ValueError(f"unknown entitlement, one of {', '.join(_ENTITLEMENTS)}")
    return text


def parse_build_context(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if not equals or not name or not place:
        raise ValueError("expected NAME=PATH, NAME=URL or NAME=docker-image://IMAGE")
    return name, place


def parse_secret(text: str) -> tuple[str, str, str]:
    """`id=NAME[,src=FILE][,env=VARIABLE]`: (id, file, variable)."""
    words = attributes(text, ("id", "type", "src", "source", "env"))
    kind = words.get("type", "file")
    if kind not in ("file", "env"):
        raise ValueError(f'unsupported secret type "{kind}"')
    source, env = words.get("src") or words.get("source", ""), words.get("env", "")
    if kind == "env":
        source, env = "", env or source or words.get("id", "")
    if not words.get("id"):
        raise ValueError("secret needs an id")
    return words["id"], source, env


def parse_ssh(text: str) -> tuple[str, str]:
    """`default`, or `id=SOCKET`: (id, socket)."""
    name, _, path = text.partition("=")
    return name or "default", path


def parse_output(text: str) -> BuildOutput:
    """`type=tar,dest=FILE`, or a directory alone."""
    if "=" not in text:
        return BuildOutput(kind="local", path=text) if text != "-" else BuildOutput("tar", "-")
    kind = attributes(text, None).get("type", "")
    if kind not in _KINDS:
        raise ValueError(f'exporter "{kind}" could not be found, one of {", ".join(_KINDS)}')
    words = attributes(text, ("type", *_KINDS[kind]))
    path = words.get("dest", "")
    if kind in ("local", "tar", "oci") and not path:
        raise ValueError(f"dest is required for {kind} exporter")
    for key, wanted in (("tar", True), ("rewrite-timestamp", True)):
        if key in words and parse_bool(words[key]) is not wanted:
            raise ValueError(f"{key}={words[key]} is not supported")
    if kind == "image" and parse_bool(words.get("push", "false")):
        kind = "registry"
    names = tuple(name for name in words.get("name", "").split(",") if name)
    return BuildOutput(kind, path, names)


def _bytes(name: str, short: str, help: str, convert: Any = parse_size) -> Flag:
    return value(name, short, help, type="bytes", default=0, convert=convert)


BUILD_FLAGS: tuple[Flag, ...] = (
    values("add-host", help="Host name and address for RUN, HOST:IP", convert=parse_host),
    values("allow", help="What RUN may ask for: network.host, security.insecure",
           convert=parse_entitlement),
    values("build-arg", help="Value of an ARG, NAME=VALUE, or NAME to pass yours on"),
    values("build-context", help="Another context, NAME=PATH", convert=parse_build_context),
    values("cache-from", help="IMAGE, type=registry,ref=IMAGE or type=local,src=DIR",
           type="stringArray", convert=parse_cache_from),
    values("cache-to", help="type=inline, type=registry,ref=IMAGE or type=local,dest=DIR",
           type="stringArray", convert=parse_cache_to),
    value("call", help="Tell of the Dockerfile instead: check, outline or targets",
          default=Call(), convert=parse_call),
    value("cgroup-parent", help="Control group that RUN is put into"),
    switch("check", help="Only look for what is wrong or unwise in the Dockerfile"),
    switch("debug", "D", "Show what the warnings' rules are about"),
    switch("compress", help="Compress the context that is sent: it is read in place here"),
    integer("cpu-period", help="Length of a scheduling period, microseconds"),
    integer("cpu-quota", help="CPU time in each period, microseconds"),
    integer("cpu-shares", "c", "Weight against other containers"),
    value("cpuset-cpus", help="CPUs to run on, such as 0-3 or 0,1"),
    value("cpuset-mems", help="Memory nodes to use"),
    value("file", "f", "The Dockerfile (PATH/Dockerfile if not given), - for standard input"),
    switch("force-rm", help="Leave no intermediate container behind: always so here"),
    value("iidfile", help="Write the image's id to this file"),
    values("label", help="Metadata for the image, KEY=VALUE", convert=check_label),
    switch("load", help="Keep the image here: always so"),
    _bytes("memory", "m", "Memory limit of RUN"),
    _bytes("memory-swap", "", "Memory and swap together, -1 for no limit", parse_swap),
    value("metadata-file", help="Write what was built to this file, as JSON"),
    value("network", help="Network of RUN: default, host or none", default="bridge",
          convert=parse_network),
    switch("no-cache", help="Run every step anew"),
    values("no-cache-filter", help="Run every step of these stages anew", type="stringArray"),
    values("output", "o",
           "Besides the image: DIRECTORY, type=local|tar|docker|oci,dest=PATH",
           type="stringArray", convert=parse_output),
    value("progress", help="Kind of progress: auto, none, plain, quiet, rawjson or tty",
          default="auto", convert=check_progress),
    switch("push", help="Push it when it is built, the same as --output type=registry"),
    switch("pull", help="Look for a newer base image"),
    switch("quiet", "q", "Only the image's id at the end"),
    switch("rm", help="Remove intermediate containers: always so here", default=True),
    values("secret", help="A file that RUN may see, id=NAME,src=FILE or id=NAME,env=VARIABLE",
           convert=parse_secret),
    _bytes("shm-size", "", "Size of RUN's /dev/shm"),
    values("ssh", help="An agent that RUN may ask, default or ID=SOCKET", convert=parse_ssh),
    values("tag", "t", "Name for the image, NAME[:TAG]"),
    value("target", help="Stage to build"),
    values("ulimit", help="Limit of RUN, NAME=SOFT[:HARD]", convert=parse_ulimit),
    *IMAGE_FLAGS,
    *REFUSED_FLAGS,
)  # fmt: skip


def request_fields(arguments: Arguments) -> dict[str, Any]:
    """All of a BuildRequest but the Dockerfile and its context."""
    flag = arguments.flag
    if not flag("rm"):
        raise Unsupported("the flag --rm=false of 'docker build' is not supported")
    return {
        "tags": (*flag("tag"), *(name for output in flag("output") for name in output.names)),
        "build_args": _build_args(flag("build-arg")),
        "labels": read_labels((), flag("label")),
        "target": flag("target"),
        "no_cache": flag("no-cache"),
        "no_cache_stages": _names(flag("no-cache-filter")),
        "pull": flag("pull"),
        "network": flag("network"),
        "secrets": {id: _secret(id, *source) for id, *source in flag("secret")},
        "ssh": {id: _agent(id, path) for id, path in flag("ssh")},
        "build_contexts": {name: _place(place) for name, place in flag("build-context")},
        "allow": flag("allow"),
        "add_hosts": flag("add-host"),
        "resources": _resources(arguments),
        "ulimits": dict(flag("ulimit")),
        "cgroup_parent": flag("cgroup-parent"),
        "cache_from": flag("cache-from"),
        "cache_to": flag("cache-to"),
        "check": flag("check") or flag("call").method == "check",
        "outputs": tuple(output for output in flag("output") if output.kind in ("local", "tar")),
        **({"shm_size": flag("shm-size")} if flag("shm-size") else {}),
    }


def archives(arguments: Arguments) -> list[tuple[str, str]]:
    """Where the image goes as an archive: (kind, path). `docker save` writes both layouts."""
    outputs = arguments.flag("output")
    return [
        (output.kind, output.path)
        for output in outputs
        if output.kind in ("docker", "oci") and output.path
    ]


def is_pushed(arguments: Arguments) -> bool:
    outputs = arguments.flag("output")
    return arguments.flag("push") or any(output.kind == "registry" for output in outputs)


def _names(lists: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for text in lists for name in text.split(",") if name)


def is_quiet(arguments: Arguments) -> bool:
    """Whether only the image's id is printed."""
    return bool(arguments.flag("quiet")) or progress_of(arguments) == "quiet"


def progress_of(arguments: Arguments) -> str:
    """The kind of progress: that of the flag, else `$BUILDKIT_PROGRESS`, else auto."""
    if arguments.is_given("progress"):
        return str(arguments.flag("progress"))
    wanted = os.environ.get("BUILDKIT_PROGRESS", "")
    return wanted if wanted in _PROGRESS else "auto"


def _build_args(given: tuple[str, ...]) -> dict[str, str]:
    split = (arg.partition("=") for arg in read_env((), given))
    arguments = {name: text for name, equals, text in split if equals}
    # buildx passes it on by itself: where it is set, builds are to be reproducible
    if "SOURCE_DATE_EPOCH" in os.environ:
        arguments.setdefault("SOURCE_DATE_EPOCH", os.environ["SOURCE_DATE_EPOCH"])
    return arguments


def _resources(arguments: Arguments) -> Resources:
    names = ("cpu-period", "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems", "memory",
             "memory-swap")  # fmt: skip
    return Resources(**{name.replace("-", "_"): arguments.flag(name) for name in names})


def _secret(id: str, source: str, env: str) -> bytes:
    """Where neither is given, a variable of that name, else a file of that name."""
    if not source and not env and id in os.environ:
        env = id
    if env:
        if env not in os.environ:
            raise NotFound(f"secret {id}: the variable {env} is not set")
        return os.environb[os.fsencode(env)]
    try:
        data = Path(source or id).expanduser().read_bytes()
    except FileNotFoundError:
        raise NotFound(f"could not parse secrets: stat {source or id}: no such file") from None
    except OSError as error:
        raise InvalidInput(f"could not parse secrets: open {source or id}: {error}") from None
    if len(data) > _SECRET_LIMIT:
        raise InvalidInput(f"secret {id} is too big: a secret has at most 500 KB")
    return data


def _agent(id: str, path: str) -> str:
    if not path:
        path = os.environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise InvalidInput(
                f"invalid empty ssh agent socket for --ssh {id}: SSH_AUTH_SOCK is not set",
                hint="start ssh-agent, or name a socket: --ssh ID=SOCKET",
            )
    if not is_socket(path):
        raise Unsupported(
            f"--ssh {id}={path}: {path} is no socket of an agent",
            hint="add the key to an agent with ssh-add, and build with --ssh default",
        )
    return path


def _place(place: str) -> str:
    if "://" in place or place.startswith("git@"):
        if place.startswith("oci-layout://"):
            raise Unsupported("build contexts of type oci-layout are not supported")
        return place
    if not os.path.isdir(place):  # noqa: PTH112 - the text may be no path at all
        raise InvalidInput(f'failed to get build context: path "{place}" is not a directory')
    return os.path.abspath(place)  # noqa: PTH100 - symlinks are the builder's business
