"""The paragraph that Docker's help has below the commands it calls experimental."""

from __future__ import annotations


def experimental(verb: str) -> str:
    return (
        f"EXPERIMENTAL:\n  docker {verb} is an experimental feature.\n"
        "  Experimental features provide early access to product functionality. These\n"
        "  features may change between releases without warning, or can be removed from a\n"
        "  future release. Learn more about experimental features in our documentation:\n"
        "  https://docs.docker.com/go/experimental/"
    )
