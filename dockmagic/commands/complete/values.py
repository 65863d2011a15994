"""Values of flags."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from dockmagic.commands.complete import files, objects
from dockmagic.commands.complete.candidate import Candidate
from dockmagic.commands.complete.objects import GetEngine
from dockmagic.commands.complete.words import Words
from dockmagic.commands.options.flags import Flag

_Words = tuple[str, ...]
# What the values of flags name.
_KINDS: Final[Mapping[str, _Words]] = {
    "network": ("network",), "net": ("network",), "volumes-from": ("container",),
    "link": ("container",), "ipc": ("namespace",), "pid": ("namespace",),
    "cache-from": ("image",),
}  # fmt: skip
_FIXED: Final[Mapping[str, _Words]] = {
    "attach": ("stdin", "stdout", "stderr"),
    "cgroupns": ("host", "private"),
    "change": tuple(
        f"{word} " for word in "CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD USER VOLUME WORKDIR".split()
    ),
    "context": ("default",),
    "format": ("json", "table"),
    "ipc": ("host", "none", "private", "shareable"),
    "isolation": ("default",),
    "log-driver": ("json-file", "local", "none", "journald", "syslog"),
    "log-level": ("debug", "info", "warn", "error", "fatal"),
    "log-opt": ("max-size=", "max-file=", "labels=", "env=", "tag=", "mode="),
    "network": ("bridge", "host", "none"),
    "pid": ("host",),
    "platform": ("linux/amd64", "linux/arm64"),
    "progress": ("auto", "plain", "tty", "rawjson"),
    "pull": ("always", "missing", "never"),
    "restart": ("always", "no", "on-failure", "unless-stopped"),
    "runtime": ("runc",),
    "security-opt": (
        "no-new-privileges", "seccomp=unconfined", "apparmor=unconfined", "label=disable",
        "systempaths=unconfined",
    ),
    "type": ("container", "image", "network", "volume"),
    "ulimit": tuple(
        f"{name}=" for name in "core cpu data fsize memlock nofile nproc stack".split()
    ),
    "userns": ("host",),
    "uts": ("host",),
}  # fmt: skip
_FIXED_OF: Final[Mapping[tuple[str, str], _Words]] = {
    ("network_create", "driver"): ("bridge",),
    ("volume_create", "driver"): ("local",),
}
_PATHS: Final = frozenset(
    "cidfile env-file file iidfile input label-file metadata-file output tlscacert tlscert tlskey"
    .split()
)  # fmt: skip
_BOOLEAN: Final = ("true", "false")
_FILTERS: Final[Mapping[str, Mapping[str, _Words]]] = {
    "ps": {
        "ancestor": ("image",), "before": ("container",), "exited": (), "expose": (),
        "health": (), "id": (), "label": (), "name": ("container",), "network": ("network",),
        "publish": (), "since": ("container",), "status": (), "volume": ("volume",),
    },
    "images": {
        "before": ("image",), "dangling": (), "label": (), "reference": ("image",),
        "since": ("image",), "until": (),
    },
    "network_ls": {
        "dangling": (), "driver": (), "id": (), "label": (), "name": ("network",), "scope": (),
        "type": (),
    },
    "volume_ls": {"dangling": (), "driver": (), "label": (), "name": ("volume",)},
    "events": {
        "container": ("container",), "event": (), "image": ("image",), "label": (),
        "network": ("network",), "type": (), "volume": ("volume",),
    },
}  # fmt: skip
_PRUNED: Final[Mapping[str, _Words]] = {"label": (), "label!": (), "until": ()}
_FILTER_VALUES: Final[Mapping[str, _Words]] = {
    "dangling": _BOOLEAN,
    "driver": ("bridge", "host", "null", "local"),
    "health": ("starting", "healthy", "unhealthy", "none"),
    "scope": ("local",),
    "status": ("created", "restarting", "running", "removing", "paused", "exited", "dead"),
    "type": ("builtin", "custom", "container", "image", "network", "volume"),
}
# Where volumes are commonly put, if the image is not known yet.
_USUAL: Final = (
    "/app", "/data", "/etc", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/local", "/usr/share",
    "/var/lib", "/var/log", "/var/www", "/work", "/workspace",
)  # fmt: skip
_MOUNT_KEYS: Final = (
    "type=", "source=", "target=", "readonly", "bind-propagation=", "volume-nocopy", "tmpfs-size=",
    "tmpfs-mode=",
)  # fmt: skip


def of_flag(engine: GetEngine, flag: Flag, typed: str, words: Words) -> Iterator[Candidate]:
    """What the value of a flag may be, of which `typed` is there already."""
    verb, name = words.grammar.verb.replace(" ", "_"), flag.name
    fixed = _FIXED_OF.get((verb, name), _FIXED.get(name, ()))
    yield from (Candidate(text, is_open=text.endswith("=")) for text in fixed)
    for kind in _KINDS.get(name, ()):
        yield from objects.of_kind(engine, kind)
    if name in _PATHS:
        yield from files.of_host(typed)
    elif name == "filter":
        yield from _filter(engine, typed, _FILTERS.get(verb, _PRUNED))
    elif special := _SPECIAL.get(name):
        yield from special(engine, typed, words)


def _filter(engine: GetEngine, typed: str, keys: Mapping[str, _Words]) -> Iterator[Candidate]:
    key, equals, _ = typed.partition("=")
    if not equals:
        yield from (Candidate(f"{name}=", is_open=True) for name in keys)
        return
    yield from (Candidate(f"{key}={text}") for text in _FILTER_VALUES.get(key, ()))
    for kind in keys.get(key, ()):
        yield from files.prefixed(f"{key}=", objects.of_kind(engine, kind))


def _volume(engine: GetEngine, typed: str, words: Words) -> Iterator[Candidate]:
    """`source:target:ro`: a volume or a path of the host, then a path in the image."""
    source, colon, rest = typed.partition(":")
    target, second, _ = rest.partition(":")
    if second:
        yield from (Candidate(f"{source}:{target}:{mode}") for mode in ("ro", "rw", "z", "Z"))
    elif colon:
        yield from files.prefixed(f"{source}:", _target(engine, rest, words))
    elif typed.startswith((".", "/", "~")):
        yield from files.of_host(typed)
    else:
        yield from objects.of_kind(engine, "volume")
        yield Candidate("./", "a folder of this machine", "path", is_open=True)


def _target(engine: GetEngine, typed: str, words: Words) -> Iterator[Candidate]:
    """A path in the image, if the line names it; else where images have their volumes."""
    if words.subject:
        listing = files.of_image(engine, words.subject)
        yield from files.inside(listing, typed if typed.startswith("/") else "/")
        return
    for image in engine().images.list():
        yield from (Candidate(path, "volume of an image", "path") for path in image.config.volumes)
    yield from (Candidate(path, "", "path") for path in _USUAL)


def _mount(engine: GetEngine, typed: str, words: Words) -> Iterator[Candidate]:
    """`type=bind,source=…,target=…`: the field at the cursor."""
    head, comma, field = typed.rpartition(",")
    key, equals, value = field.partition("=")
    prefix = f"{head}{comma}"
    if not equals:
        hits: Iterator[Candidate] = (
            Candidate(name, is_open=name.endswith("=")) for name in _MOUNT_KEYS
        )
        yield from files.prefixed(prefix, hits)
        return
    if key == "type":
        hits = (Candidate(kind) for kind in ("bind", "tmpfs", "volume"))
    elif key in ("target", "dst", "destination"):
        hits = _target(engine, value, words)
    elif key in ("source", "src"):
        is_bind = "type=bind" in head.split(",")
        hits = files.of_host(value) if is_bind else objects.of_kind(engine, "volume")
    else:
        return
    yield from files.prefixed(f"{prefix}{key}=", hits)


def _path_inside(engine: GetEngine, typed: str, words: Words) -> Iterator[Candidate]:
    if words.subject:
        where = files.of_container if words.grammar.verb == "exec" else files.of_image
        listing = where(engine, words.subject)
        yield from files.inside(listing, typed if typed.startswith("/") else "/")


def _program(engine: GetEngine, typed: str, words: Words) -> Iterator[Candidate]:
    if words.subject:
        listing = files.of_image(engine, words.subject)
        yield from files.programs(listing)
        if typed.startswith("/"):
            yield from files.inside(listing, typed, programs=True)


def _signals(engine: GetEngine, typed: str, words: Words) -> Iterator[Candidate]:
    yield from (Candidate(number.name.removeprefix("SIG")) for number in signal.Signals)
    yield from (Candidate(number.name) for number in signal.Signals)


def _capabilities(engine: GetEngine, typed: str, words: Words) -> Iterator[Candidate]:
    from dockmagic_runtime.linux.capabilities import NAMES

    yield Candidate("ALL")
    for name in NAMES:
        yield Candidate(name if typed.startswith("CAP_") else name.removeprefix("CAP_"))


def _environment(engine: GetEngine, typed: str, words: Words) -> Iterator[Candidate]:
    yield from (Candidate(name, "of this environment") for name in sorted(os.environ))


def _stages(engine: GetEngine, typed: str, words: Words) -> Iterator[Candidate]:
    """The stages of the Dockerfile that the line builds, or of that in the folder."""
    from dockmagic.commands.complete.dockerfile import stages

    folder = words.subject or "."
    for name in (os.path.join(folder, "Dockerfile"),):  # noqa: PTH118 - as the line has it
        try:
            with open(name, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
                yield from (Candidate(stage.name, stage.base, "stage") for stage in
                            stages(stream.read()) if stage.name)  # fmt: skip
        except OSError:
            return


_Special = Callable[[GetEngine, str, Words], Iterator[Candidate]]
_SPECIAL: Final[Mapping[str, _Special]] = {
    "cap-add": _capabilities, "cap-drop": _capabilities, "entrypoint": _program,
    "env": _environment, "mount": _mount, "signal": _signals, "stop-signal": _signals,
    "target": _stages, "tmpfs": _path_inside, "volume": _volume, "workdir": _path_inside,
}  # fmt: skip
