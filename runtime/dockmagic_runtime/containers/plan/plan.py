"""From a container's record to the plan of its sandbox."""

from __future__ import annotations

from dockmagic_runtime.cgroups import DEFAULT_DEVICES
from dockmagic_runtime.containers.plan import devices, filesystem, init
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


def plan(record: Record, inputs: PlanInputs) -> SandboxPlan:
    """The plan for a start of `record`.

    Raises:
        InvalidInput: options contradict each other.
        NotFound: a device is not on this host.
    """
    spec = record.spec
    inside = (
        *_separate(record, inputs),
        *filesystem.root(record, inputs),
        *filesystem.mounts(record, inputs),
        *([_mount_init(inputs.init)] if inputs.init else []),
        MakeDirectory(path=record.working_dir),
        *([OpenTerminal()] if spec.tty else []),
        PivotRoot(),
        *filesystem.protections(record, inputs),
        *([AwaitNetwork()] if inputs.network else []),
    )
    return SandboxPlan(
        host=_host(record, inputs),
        network=inputs.network,
        inside=inside,
        process=_process(record, inputs),
        new_pid_namespace=not spec.pid_mode,
        pid_namespace_of=inputs.joined.get("pid", 0),
    )


def _mount_init(program: str) -> Operation:
    return BindMount(source=program, target=init.PATH, read_only=True, recursive=False)


def _host(record: Record, inputs: PlanInputs) -> tuple[Operation, ...]:
    parent, spec = inputs.cgroup_parent, record.spec
    limits = LimitResources.of(parent, record.id, spec.resources)
    rules = (*DEFAULT_DEVICES, *devices.rules(spec))
    return (
        EnterSupervisorCgroup(inputs.supervisors),
        CreateCgroup(parent, record.id),
        *([limits] if limits.limits else []),
        *([] if spec.privileged else [LimitDevices.of(parent, record.id, rules)]),
    )


def _separate(record: Record, inputs: PlanInputs) -> list[Operation]:
    spec = record.spec
    operations: list[Operation] = [
        # first: the cgroup's rules and the namespaces would keep volumes' devices from being opened
        *filesystem.sources(record, inputs),
        JoinCgroup(inputs.cgroup_parent, record.id),
        Unshare(_own_namespaces(record, inputs)),
        *(
            JoinNamespace(name, pid)
            for name, pid in sorted(inputs.joined.items())
            if name != "pid"  # the start process has entered that one before the fork
        ),
    ]
    if inputs.network:
        operations.append(HandOverNetwork())
    operations.append(FreshKeyring())
    if spec.uts_mode != "host":
        operations.append(SetHostname(record.hostname, spec.domainname))
    if spec.oom_score_adj:
        operations.append(SetOomScore(spec.oom_score_adj))
    return operations


def _own_namespaces(record: Record, inputs: PlanInputs) -> tuple[str, ...]:
    spec = record.spec
    shared = {
        "net": spec.network == "host" or "net" in inputs.joined,
        "ipc": spec.ipc_mode == "host" or "ipc" in inputs.joined,
        "uts": spec.uts_mode == "host",
        "cgroup": spec.cgroupns_mode == "host",
    }
    return tuple(
        name for name in ("mnt", "uts", "ipc", "cgroup", "net") if not shared.get(name, False)
    )


def _process(record: Record, inputs: PlanInputs) -> ProcessSpec:
    spec = record.spec
    kept = capabilities.resolve(spec.cap_add, spec.cap_drop, spec.privileged)
    env = process_environment(record.hostname, record.env, tty=spec.tty)
    return ProcessSpec(
        argv=(init.PATH, "--", *record.argv) if inputs.init else record.argv,
        env=tuple(f"{key}={text}" for key, text in env.items()),
        cwd=record.working_dir,
        user=record.user,
        groups=spec.group_add,
        terminal=spec.tty,
        capabilities=tuple(sorted(kept)),
        no_new_privileges=no_new_privileges(spec.security_opt),
        seccomp="unconfined" if spec.privileged else seccomp_choice(spec.security_opt),
        rlimits=rlimits.resolve(spec.ulimits),
        reaper=spec.init and not inputs.init,
    )
