"""From a container's record to the plan of its sandbox."""

from __future__ import annotations

from dockmagic_runtime.cgroups import DEFAULT_DEVICES
from dockmagic_runtime.containers.plan import filesystem, init
from dockmagic_runtime.containers.plan.inputs import PlanInputs
from dockmagic_runtime.containers.plan.security_options import no_new_privileges, seccomp_choice
from dockmagic_runtime.containers.record import Record, process_environment
from dockmagic_runtime.linux import rlimits
from dockmagic_runtime.sandbox import capabilities
from dockmagic_runtime.sandbox.cgroup_operations import (
    CreateCgroup,
    EnterSupervisorCgroup,
    JoinCgroup,
    LimitDevices,
    LimitResources,
)
from dockmagic_runtime.sandbox.devices import SetOomScore
from dockmagic_runtime.sandbox.directories import MakeDirectory
from dockmagic_runtime.sandbox.mounts import PivotRoot
from dockmagic_runtime.sandbox.namespaces import (
    AwaitNetwork,
    FreshKeyring,
    HandOverNetwork,
    JoinNamespace,
    SetHostname,
    Unshare,
)
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.plan import ProcessSpec, SandboxPlan
from dockmagic_runtime.sandbox.terminal import OpenTerminal
from dockmagic_runtime.sandbox.user_mounts import BindMount


def plan(record: Record, around: PlanInputs) -> SandboxPlan:
    """The plan for a start of `record`. Raises InvalidInput for options that contradict."""
    spec = record.spec
    inside = (
        *_apart(record, around),
        *filesystem.root(record, around),
        *filesystem.mounts(record, around),
        *([_mount_init(around.init)] if around.init else []),
        MakeDirectory(path=record.working_dir),
        *([OpenTerminal()] if spec.tty else []),
        PivotRoot(),
        *filesystem.protections(record, around),
        *([AwaitNetwork()] if around.network else []),
    )
    return SandboxPlan(
        host=_host(record, around),
        network=around.network,
        inside=inside,
        process=_process(record, around),
        new_pid_namespace=not spec.pid_mode,
        pid_namespace_of=around.joined.get("pid", 0),
    )


def _mount_init(program: str) -> Operation:
    return BindMount(source=program, target=init.PATH, read_only=True, recursive=False)


def _host(record: Record, around: PlanInputs) -> tuple[Operation, ...]:
    parent, spec = around.cgroup_parent, record.spec
    limits = LimitResources.of(parent, record.id, spec.resources)
    rules = (*DEFAULT_DEVICES, *filesystem.device_rules(spec))
    return (
        EnterSupervisorCgroup(around.supervisors),
        CreateCgroup(parent, record.id),
        *([limits] if limits.limits else []),
        *([] if spec.privileged else [LimitDevices.of(parent, record.id, rules)]),
    )


def _apart(record: Record, around: PlanInputs) -> list[Operation]:
    spec = record.spec
    operations: list[Operation] = [
        # first of all: the cgroup's rules and the namespaces are not for the volumes' devices
        *filesystem.sources(record, around),
        JoinCgroup(around.cgroup_parent, record.id),
        Unshare(_own_namespaces(record, around)),
        *(
            JoinNamespace(name, pid)
            for name, pid in sorted(around.joined.items())
            if name != "pid"  # the fork has seen to that one
        ),
    ]
    if around.network:
        operations.append(HandOverNetwork())
    operations.append(FreshKeyring())
    if spec.uts_mode != "host":
        operations.append(SetHostname(record.hostname, spec.domainname))
    if spec.oom_score_adj:
        operations.append(SetOomScore(spec.oom_score_adj))
    return operations


def _own_namespaces(record: Record, around: PlanInputs) -> tuple[str, ...]:
    spec = record.spec
    shared = {
        "net": spec.network == "host" or "net" in around.joined,
        "ipc": spec.ipc_mode == "host" or "ipc" in around.joined,
        "uts": spec.uts_mode == "host",
        "cgroup": spec.cgroupns_mode == "host",
    }
    return tuple(
        name for name in ("mnt", "uts", "ipc", "cgroup", "net") if not shared.get(name, False)
    )


def _process(record: Record, around: PlanInputs) -> ProcessSpec:
    spec = record.spec
    kept = capabilities.resolve(spec.cap_add, spec.cap_drop, spec.privileged)
    env = process_environment(record.hostname, record.env, tty=spec.tty)
    return ProcessSpec(
        argv=(init.PATH, "--", *record.argv) if around.init else record.argv,
        env=tuple(f"{key}={text}" for key, text in env.items()),
        cwd=record.working_dir,
        user=record.user,
        groups=spec.group_add,
        terminal=spec.tty,
        capabilities=tuple(sorted(kept)),
        no_new_privileges=no_new_privileges(spec.security_opt),
        seccomp="unconfined" if spec.privileged else seccomp_choice(spec.security_opt),
        rlimits=rlimits.resolve(spec.ulimits),
        reaper=spec.init and not around.init,
    )
