"""The process of an `exec` or of a health check in a container that runs."""

from __future__ import annotations

from dockmagic_runtime.containers.plan.security_options import no_new_privileges, seccomp_choice
from dockmagic_runtime.containers.record import Record, process_environment
from dockmagic_runtime.linux import rlimits
from dockmagic_runtime.model.container import ExecSpec
from dockmagic_runtime.sandbox import capabilities
from dockmagic_runtime.sandbox.plan import ProcessSpec


def process_spec(record: Record, spec: ExecSpec) -> ProcessSpec:
    """The process of an exec, with what the container says where the exec says nothing."""
    container = record.spec
    env = (*record.env, *spec.env)
    merged = process_environment(record.hostname, env, tty=spec.tty)
    privileged = container.privileged or spec.privileged
    kept = capabilities.resolve(container.cap_add, container.cap_drop, privileged)
    return ProcessSpec(
        argv=spec.command,
        env=tuple(f"{key}={value}" for key, value in merged.items()),
        cwd=spec.working_dir or record.working_dir,
        user=spec.user or record.user,
        groups=container.group_add,
        terminal=spec.tty,
        capabilities=tuple(sorted(kept)),
        no_new_privileges=no_new_privileges(container.security_opt),
        seccomp="unconfined" if privileged else seccomp_choice(container.security_opt),
        rlimits=rlimits.resolve(container.ulimits),
        oom_score_adj=container.oom_score_adj,
    )
