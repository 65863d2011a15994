"""The name under which the command line was called: Docker's, as by a link, or our own."""

from __future__ import annotations

import os
import sys

DOCKER, OURS = "docker", "dockmagic"


def program() -> str:
    """`docker` if this process was called so, as by a link of that name; else `dockmagic`."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""  # noqa: PTH119 pathlib costs 5 ms
    return DOCKER if name == DOCKER else OURS


def is_docker() -> bool:
    """Whether errors are to look like those of Docker's client, for programs that read them."""
    return program() == DOCKER
