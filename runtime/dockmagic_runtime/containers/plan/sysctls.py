"""`--sysctl`: what a container may set of its own namespaces, and nothing of the host's.

The rules and texts are runc's (libcontainer/configs/validate). Stricter in one place: a namespace
that is shared with another container belongs to that one, so its sysctls are refused as well.
"""

from __future__ import annotations

from typing import Final

from dockmagic_runtime.containers.plan import defaults
from dockmagic_runtime.containers.plan.inputs import PlanInputs
from dockmagic_runtime.errors import StartFailed
from dockmagic_runtime.model.container import ContainerSpec

_IPC: Final = frozenset(
    (
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    )
)


def settings(spec: ContainerSpec, inputs: PlanInputs) -> dict[str, str]:
    """Docker's defaults and what `spec` asks for, by key.

    Raises:
        StartFailed: a key is not of a namespace that is the container's own.
    """
    for key in spec.sysctls:
        _check(key, spec, inputs)
    return {**_defaults(spec, inputs), **spec.sysctls}


def _defaults(spec: ContainerSpec, inputs: PlanInputs) -> dict[str, str]:
    has_own_network = spec.network != "host" and "net" not in inputs.joined
    return defaults.SYSCTLS if has_own_network else {}


def _check(key: str, spec: ContainerSpec, inputs: PlanInputs) -> None:
    if "/" in key:
        raise _not_separate(key)
    if key in _IPC or key.startswith("fs.mqueue."):
        if spec.ipc_mode == "host" or "ipc" in inputs.joined:
            raise _refused(key, "is not allowed in", "hosts", "ipc", spec.ipc_mode)
    elif key.startswith("net."):
        if spec.network == "host" or "net" in inputs.joined:
            raise _refused(key, "not allowed in", "host", "network", spec.network)
    elif key == "kernel.domainname":
        if spec.uts_mode == "host":
            raise _not_separate(key)
    elif key == "kernel.hostname" and spec.uts_mode != "host":
        raise StartFailed(
            f'sysctl "{key}" is not allowed as it conflicts with the OCI "hostname" field',
            hint="--hostname",
        )
    else:
        raise _not_separate(key)


def _refused(key: str, verb: str, host: str, kind: str, mode: str) -> StartFailed:
    if mode.startswith("container:"):
        return StartFailed(
            f'sysctl "{key}" {verb} the {kind} namespace of another container',
            hint=f"set it on {mode.partition(':')[2]}, which that namespace belongs to",
        )
    where = f"the {host}" if kind == "ipc" else host
    return StartFailed(f'sysctl "{key}" {verb} {where} {kind} namespace')


def _not_separate(key: str) -> StartFailed:
    return StartFailed(f'sysctl "{key}" is not in a separate kernel namespace')
