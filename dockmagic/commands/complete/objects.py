"""Names of images, containers, networks and volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from dockmagic.commands.complete.candidate import Candidate
from dockmagic.commands.references import familiar

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

GetEngine = Callable[[], "EngineApi"]
Kinds = tuple[str, ...]  # of objects: "container", "running", "image", "network", "volume"

_ANY: Final = ("container", "image", "network", "volume")
# What the words of a verb name, the first of them and the others. An "offer" is an image that can
# be pulled, or made on this machine.
_WORDS: Final[Mapping[str, tuple[Kinds, Kinds]]] = {
    **dict.fromkeys(("attach", "exec", "top", "port"), (("running",), ())),
    **dict.fromkeys(
        ("kill", "pause", "restart", "stats", "stop", "update"), (("running",), ("running",))
    ),
    "unpause": (("paused",), ("paused",)),
    **dict.fromkeys(("diff", "export", "logs", "commit", "rename"), (("container",), ())),
    **dict.fromkeys(
        ("container_inspect", "rm", "start", "wait"), (("container",), ("container",))
    ),
    "cp": (("container:",), ("container:",)),
    **dict.fromkeys(("explain", "files"), (("container", "image"), ())),
    "inspect": (_ANY, _ANY),
    **dict.fromkeys(("create", "run", "pull"), (("image", "offer"), ())),
    **dict.fromkeys(("history", "push", "tag"), (("image",), ())),
    **dict.fromkeys(("image_inspect", "layers", "rmi", "save"), (("image",), ("image",))),
    **dict.fromkeys(("network_connect", "network_disconnect"), (("network",), ("container",))),
    **dict.fromkeys(("network_inspect", "network_rm"), (("network",), ("network",))),
    "network_draw": (("network",), ()),
    "network_trace": (("published",), ()),
    **dict.fromkeys(("volume_inspect", "volume_rm", "volume_update"), (("volume",), ("volume",))),
}  # fmt: skip


def named_by(engine: GetEngine, verb: str, *, first: bool) -> Iterator[Candidate]:
    """What the first word of a verb, or another one, may name."""
    names, others = _WORDS.get(verb, ((), ()))
    for kind in names if first else others:
        yield from of_kind(engine, kind)


def of_kind(engine: GetEngine, kind: str) -> Iterator[Candidate]:
    """All objects of a kind."""
    match kind:
        case "image":
            for image in engine().images.list():
                yield from (Candidate(familiar(tag), "image", "image") for tag in image.tags)
        case "offer":
            for offer in engine().images.stand_ins():
                yield Candidate(offer.name, offer.description, "image")
        case "network":
            for network in engine().networks.list():
                yield Candidate(network.name, f"network, {network.driver}", "network")
        case "volume":
            for volume in engine().volumes.list():
                yield Candidate(volume.name, "volume", "volume")
        case "published":
            for container in engine().containers.list():
                for port in container.ports:
                    if port.host_port:
                        yield Candidate(f"localhost:{port.host_port}", container.name, "port")
        case _:
            yield from _containers(engine(), kind)


def _containers(engine: EngineApi, kind: str) -> Iterator[Candidate]:
    before, behind = ("container:", "") if kind == "namespace" else ("", "")
    if kind == "container:":  # of a path in it
        behind = ":"
    for container in engine.containers.list(all=kind.startswith("container")):
        if kind == "paused" and container.status != "paused":
            continue
        text = f"{before}{container.name}{behind}"
        yield Candidate(text, familiar(container.image), "container", is_open=bool(behind))
