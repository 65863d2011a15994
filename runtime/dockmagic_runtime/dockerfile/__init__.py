"""Dockerfiles: text in, typed frozen instructions with their places out. Pure, no I/O.

`parse(text)` is the way in. It reads logical lines (`lines`), then each line's grammar
(`grammar`), then joins them into stages; all errors of the file are reported together
(`errors.DockerfileError`). Variables stay unexpanded: `expand` is for the builder, which knows
their values.
"""

from dockmagic_runtime.dockerfile.errors import DockerfileError, Problem
from dockmagic_runtime.dockerfile.parse import Dockerfile, Stage, parse, parse_trigger
from dockmagic_runtime.dockerfile.printer import render

__all__ = [
    "Dockerfile",
    "DockerfileError",
    "Problem",
    "Stage",
    "parse",
    "parse_trigger",
    "render",
]
