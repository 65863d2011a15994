"""`--security-opt seccomp=`: the profile that a process runs under, as BPF for the kernel."""

from __future__ import annotations

import os
from functools import lru_cache

from dockmagic_runtime.linux.seccomp import compile_policy, native_architecture
from dockmagic_runtime.sandbox.seccomp_profile import default_policy


def program_for(profile: str, capabilities: frozenset[str]) -> bytes:
    """BPF for "default", "unconfined" (no bytes) or a profile in Docker's JSON format.

    Raises:
        InvalidInput: a JSON profile does not parse.
    """
    if profile == "unconfined":
        return b""
    if profile == "default":
        return default_program(capabilities)
    return _custom_program(profile, capabilities)


@lru_cache(maxsize=32)
def default_program(capabilities: frozenset[str]) -> bytes:
    """The default profile for this machine, compiled once for a process and a set."""
    return compile_policy(default_policy(capabilities, native_architecture(os.uname().machine)))


@lru_cache(maxsize=8)
def _custom_program(profile: str, capabilities: frozenset[str]) -> bytes:
    from dockmagic_runtime.sandbox.seccomp_json import parse_profile  # rare: off the fast path

    architecture = native_architecture(os.uname().machine)
    return compile_policy(parse_profile(profile, capabilities, architecture))
