"""Random command lines over a few names: what several users of one area do at the same time."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

CONTAINERS = ("alfa", "bravo", "charlie", "delta")
IMAGES = ("site:1", "site:2", "tool")
NETWORKS = ("front", "back")
VOLUMES = ("scratch", "cache")
KEPT = "kept"  # a volume whose data no line touches: it must survive
BASE = "busybox"

Line = list[str]


def dockerfile(directory: Path, number: int) -> None:
    """A build context whose steps differ from round to round, so that some hit the cache."""
    text = (
        f"FROM {BASE}\nRUN echo base > /base\nCOPY data /data\n"
        f"RUN echo {number % 3} > /number && mkdir -p /d && echo x > /d/f\n"
        f'LABEL round={number % 5}\nCMD ["cat", "/number"]\n'
    )
    (directory / "Dockerfile").write_text(text)
    (directory / "data").write_text(f"{number % 4}\n")


Makers = tuple[Callable[[], Line], ...]


def lines(chance: random.Random, directory: Path) -> Line:
    """One command line, without the program's name."""
    makers = (
        *_lifecycle(chance, directory),
        *_files(chance, directory),
        *_objects(chance, directory),
    )
    return chance.choice(makers)()


def _lifecycle(chance: random.Random, directory: Path) -> Makers:
    container = chance.choice(CONTAINERS)
    other = chance.choice(CONTAINERS)
    image = chance.choice((*IMAGES, BASE))
    volume = chance.choice(VOLUMES)
    network = chance.choice((*NETWORKS, "bridge", "none"))
    return (
        lambda: ["run", "--rm", image, "true"],
        lambda: ["run", "--rm", "--network", network, image, "sh", "-c", "echo $$; exit 3"],
        lambda: ["run", "-d", "--name", container, "--network", network, image, "sleep", "60"],
        lambda: ["run", "-d", "--name", container, "-p", "127.0.0.1::80", image, "sleep", "60"],
        lambda: ["run", "-d", "--restart", "always", "--name", container, image, "sleep", "1"],
        lambda: ["run", "--rm", "-v", f"{volume}:/v", image, "sh", "-c", "echo x >> /v/x"],
        lambda: ["run", "--rm", "-v", f"{KEPT}:/k:ro", BASE, "cat", "/k/data"],
        lambda: ["create", "--name", container, "-v", f"{volume}:/v", image, "sleep", "60"],
        lambda: ["start", container],
        lambda: ["stop", "-t", "0", container],
        lambda: ["restart", "-t", "0", container],
        lambda: ["kill", container],
        lambda: ["pause", container],
        lambda: ["unpause", container],
        lambda: ["rm", "-f", container, other],
        lambda: ["rename", container, other],
        lambda: ["exec", container, "sh", "-c", "echo $RANDOM > /r; cat /r"],
        lambda: ["logs", "--tail", "5", container],
        lambda: ["diff", container],
        lambda: ["commit", container, chance.choice(IMAGES)],
        lambda: ["cp", f"{container}:/etc", str(directory / "out")],
        lambda: ["export", "-o", str(directory / "export.tar"), container],
    )


def _files(chance: random.Random, directory: Path) -> Makers:
    container = chance.choice(CONTAINERS)
    image = chance.choice((*IMAGES, BASE))
    return (
        lambda: ["inspect", container],
        lambda: ["top", container],
        lambda: ["stats", "--no-stream", container],
        lambda: ["update", "--memory", "64m", "--memory-swap", "64m", container],
        lambda: ["wait", "--help"],
        lambda: ["ps", "-a"],
        lambda: ["images", "-a"],
        lambda: ["build", "-q", "-t", chance.choice(IMAGES), str(directory)],
        lambda: ["build", "-q", "--no-cache", "-t", chance.choice(IMAGES), str(directory)],
        lambda: ["tag", image, chance.choice(IMAGES)],
        lambda: ["rmi", chance.choice(IMAGES)],
        lambda: ["save", "-o", str(directory / "save.tar"), image],
    )


def _objects(chance: random.Random, directory: Path) -> Makers:
    container = chance.choice(CONTAINERS)
    image = chance.choice((*IMAGES, BASE))
    volume = chance.choice(VOLUMES)
    return (
        lambda: ["load", "-q", "-i", str(directory / "save.tar")],
        lambda: ["history", image],
        lambda: ["volume", "create", volume],
        lambda: ["volume", "rm", volume],
        lambda: ["network", "create", chance.choice(NETWORKS)],
        lambda: ["network", "connect", chance.choice(NETWORKS), container],
        lambda: ["network", "disconnect", chance.choice(NETWORKS), container],
        lambda: ["network", "rm", chance.choice(NETWORKS)],
        lambda: ["container", "prune", "-f"],
        lambda: ["image", "prune", "-f"],
        lambda: ["builder", "prune", "-f"],
        lambda: ["network", "prune", "-f"],
        lambda: ["system", "df", "-v"],
        lambda: ["events", "--since", "10s", "--until", "0s"],
    )
