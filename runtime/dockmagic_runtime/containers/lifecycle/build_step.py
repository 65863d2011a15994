"""The process of a build step: a container without a name, a row, a log or a state file."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Protocol

from msgspec.structs import replace

from dockmagic_runtime.containers.lifecycle.network_endpoints import attachments
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.model.container import ContainerSpec, Resources
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.store.scratch import scratch_directory
from dockmagic_runtime.supervisor.request import LaunchRequest

HOSTNAME = "buildkitsandbox"  # BuildKit's


OnCancel = Callable[[Callable[[], None]], AbstractContextManager[None]]


class StepProcess(Protocol):
    """One RUN, as the builder describes it (`builder.interfaces.StepProcess`)."""

    @property
    def argv(self) -> tuple[str, ...]: ...
    @property
    def env(self) -> tuple[str, ...]: ...
    @property
    def working_dir(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def layers(self) -> tuple[str, ...]: ...
    @property
    def upper(self) -> str: ...
    @property
    def work(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def shm_size(self) -> int: ...
    @property
    def mounts(self) -> tuple[Operation, ...]: ...
    @property
    def privileged(self) -> bool: ...
    @property
    def add_hosts(self) -> tuple[str, ...]: ...
    @property
    def resources(self) -> Resources: ...
    @property
    def ulimits(self) -> dict[str, tuple[int, int]]: ...
    @property
    def cgroup_parent(self) -> str: ...
    @property
    def on_cancel(self) -> OnCancel: ...


class StepRunner:
    """Runs the steps of builds in sandboxes."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter

    def run(self, process: StepProcess) -> Generator[tuple[str, bytes], None, int]:
        """Runs a step to its end: yields (stream, chunk), returns the exit code.

        Closing the generator kills the process and waits for it. Raises StartFailed.
        """
        starter, record = self._starter, _record(process)
        record = replace(record, networks=attachments(starter.networks, record.spec))
        with scratch_directory(str(starter.data_root.scratch), "step") as etc:
            return (yield from self._run(process, record, etc))

    def _run(
        self, process: StepProcess, record: Record, etc: str
    ) -> Generator[tuple[str, bytes], None, int]:
        starter = self._starter
        try:
            connection = starter.connect(record)
            plan = starter.plan(
                record,
                connection,
                upper=process.upper,
                work=process.work,
                etc=etc,
                step_mounts=process.mounts,
            )
            request = LaunchRequest(
                id=record.id,
                plan=plan,
                run=starter.store.run(record.id),
                owned=True,
                attached=True,
            )
            running = starter.launcher.launch(request)
            try:
                running.await_start()
                starter.networks.confirm(record.id)
                with process.on_cancel(lambda: running.signal("KILL")):
                    yield from running.output()
                return running.wait()
            finally:
                running.abort()
        finally:
            if record.attachments:
                starter.networks.release(record.id)


def _record(process: StepProcess) -> Record:
    return Record(
        id=secrets.token_hex(32),
        name="",
        image_id="",
        created=time.time(),
        spec=ContainerSpec(
            image="",
            network=process.network,
            shm_size=process.shm_size,
            auto_remove=True,
            privileged=process.privileged,
            extra_hosts=process.add_hosts,
            resources=process.resources,
            ulimits=process.ulimits,
            cgroup_parent=process.cgroup_parent,
        ),
        entrypoint=(),
        command=process.argv,
        env=("HOSTNAME", *process.env),  # without a value: BuildKit sets none
        working_dir=process.working_dir,
        user=process.user,
        hostname=HOSTNAME,
        stop_signal="",
        labels={},
        exposed=(),
        mounts=(),
        layers=process.layers,
    )
