"""`start`: lease, /etc files, plan, launcher. A failed start undoes all of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle import links, network_endpoints
from dockmagic_runtime.containers.lifecycle.attach import attached_again
from dockmagic_runtime.containers.lifecycle.failed_start import record_refusal
from dockmagic_runtime.containers.plan import etc_files, init
from dockmagic_runtime.containers.plan.health import check_for
from dockmagic_runtime.containers.plan.inputs import PlanInputs
from dockmagic_runtime.containers.plan.log import log_settings
from dockmagic_runtime.containers.plan.plan import plan
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, NotFound, StartFailed
from dockmagic_runtime.linux.processes import start_of
from dockmagic_runtime.model.container import PortMapping, Status
from dockmagic_runtime.model.transitions import Action, check
from dockmagic_runtime.network.plan import Connection, ContainerInfo
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.plan import SandboxPlan
from dockmagic_runtime.store import locks
from dockmagic_runtime.store.container_events import ContainerEvents
from dockmagic_runtime.supervisor.engine_client import ContainerProcess
from dockmagic_runtime.supervisor.request import LaunchRequest
from dockmagic_runtime.supervisor.shared_namespaces import NamespaceTarget

if TYPE_CHECKING:
    from dockmagic_runtime.cgroups import Cgroups
    from dockmagic_runtime.images.layers import LayerStore
    from dockmagic_runtime.network.networks import Networks
    from dockmagic_runtime.store.data_root import DataRoot
    from dockmagic_runtime.supervisor.launcher_client import LauncherClient
    from dockmagic_runtime.volumes.store import VolumeStore


class StartComponents(Protocol):
    """The stores and services that a start uses; each may be opened when it is asked for."""

    @property
    def data_root(self) -> DataRoot: ...
    @property
    def containers(self) -> ContainerStore: ...
    @property
    def layers(self) -> LayerStore: ...
    @property
    def volumes(self) -> VolumeStore: ...
    @property
    def networks(self) -> Networks: ...
    @property
    def launcher(self) -> LauncherClient: ...
    @property
    def cgroups(self) -> Cgroups: ...


def _make_log(path: str) -> None:
    """The supervisor opens it at the first output; a reader that follows before that finds it."""
    if path:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


class Starter:
    """Starts containers."""

    def __init__(self, components: StartComponents) -> None:
        self._components = components
        self.data_root = components.data_root
        self.store = components.containers

    @property
    def layers(self) -> LayerStore:
        return self._components.layers

    @property
    def volumes(self) -> VolumeStore:
        return self._components.volumes

    @property
    def networks(self) -> Networks:
        return self._components.networks

    @property
    def launcher(self) -> LauncherClient:
        return self._components.launcher

    @property
    def cgroups(self) -> Cgroups:
        return self._components.cgroups

    def start(
        self, record: Record, *, owned: bool, attached: bool | None = None
    ) -> ContainerProcess:
        """Starts a container, attached from the first byte if `attached` (default: as `owned`).

        `owned`: the container ends with this process. Raises Conflict when it runs already.
        """
        attached = owned if attached is None else attached
        now = self.store.state(record.id)
        status, was_started = Status(now.status), bool(now.started)
        check(Action.START, status, id=record.id, name=record.name)
        self.store.writable_layer(record)  # raises when it is lost
        try:
            process = self._start(record, owned=owned, attached=attached, again=was_started)
        except StartFailed:
            raise  # the start process has recorded it
        except DockmagicError as error:
            record_refusal(self.store, record.id, error)
            raise
        process.hooks.on_exit = lambda: self.conclude(record)
        if not owned:
            process.hooks.reconnect = lambda: attached_again(self.store, record)
        return process

    def _start(
        self, record: Record, *, owned: bool, attached: bool, again: bool
    ) -> ContainerProcess:
        os.makedirs(self.store.work(record.id), 0o700, exist_ok=True)  # holds nothing of value
        linked = links.linked(self.store, record)  # before anything is changed
        record = self._with_link_variables(record, linked)
        connection = self.connect(record, again=again)
        events = events_of(self.store, record, connection.networks if connection else ())
        if attached:
            events.emit("attach")
        events.connected()
        try:
            request = self._request(record, connection, events, owned=owned)
            request = replace(request, attached=attached)
            _make_log(request.log)
            # no other process may have the writable layer mounted (see `copy.rootfs`)
            with locks.held(self.store.tree_lock(record.id)):
                process = self.launcher.launch(request).await_start()
        except BaseException:
            self.networks.release(record.id)
            events.disconnected()
            raise
        if not (owned and record.spec.auto_remove):  # removed at its end
            from dockmagic_runtime.containers.plan import explain

            explain.remember(self.store.directory(record.id), request.plan, process.trace)
        self.networks.confirm(record.id)  # from now on the supervisor's lock keeps the lease
        if again and connection is not None:
            links.follow(self.store, record, connection.address_on("bridge"))
        return process

    def _with_link_variables(self, record: Record, linked: Sequence[links.Linked]) -> Record:
        """The record with the variables of `--link` as of this start."""
        if not record.links:
            return record
        env = links.environment(linked, record.env)
        links.save_environment(self.store.directory(record.id), env)
        return replace(record, env=env)

    def conclude(self, record: Record) -> None:
        """After the container's end: releases its addresses, or deletes the row of `--rm`.

        Called by the process that sees the end; without one, the next engine does it.
        """
        if record.spec.auto_remove:
            self.store.forget(record.id)
        else:
            self.networks.release(record.id)

    def connect(self, record: Record, *, again: bool = False) -> Connection | None:
        """Leases addresses; the network part of the plan. None with a shared network namespace."""
        mode = record.spec.network
        if mode.startswith("container:"):
            return None
        attachments = network_endpoints.at_start(self.networks, record, again=again)
        if mode == "host":
            return None
        if attachments:
            if record.name and attachments != record.attachments:  # not a step of a build
                network_endpoints.keep(self.store, record.id, attachments)
            info = self.container_info(record)
            return self.networks.connect(info, published_ports(record), attachments)
        return self.networks.isolate()

    def container_info(self, record: Record) -> ContainerInfo:
        return ContainerInfo(
            id=record.id,
            name=record.name,
            hostname=record.hostname,
            directory=self.store.directory(record.id),
            servers=record.spec.dns,
            local_only=any(
                option.startswith("ndots:") and option != "ndots:0"
                for option in record.spec.dns_options
            ),
        )

    def request_again(self, record: Record, connection: Connection | None) -> LaunchRequest:
        """The request for the next start of a running container, with its networks of now."""
        events = events_of(self.store, record, connection.networks if connection else ())
        saved = links.saved_environment(self.store.directory(record.id)) if record.links else ()
        record = replace(record, env=saved or record.env)
        return self._request(record, connection, events, is_running=True)

    def _request(
        self,
        record: Record,
        connection: Connection | None,
        events: ContainerEvents,
        *,
        owned: bool = False,
        is_running: bool = False,
    ) -> LaunchRequest:
        directory = self.store.directory(record.id)
        joined = self._shared_namespaces(record, is_running=is_running)
        if not is_running:
            _check_log_host(record)
            make_bind_sources(record)
        etc = self._etc(record)
        if not is_running and etc == directory:
            self._write_etc(record, connection, directory)
        upper, work = self.store.upper(record.id), self.store.work(record.id)
        inputs = self.plan_inputs(
            record, connection, upper=upper, work=work, etc=etc, joined=joined
        )
        plan_of_start, log = plan(record, inputs), log_settings(record)
        return LaunchRequest(
            id=record.id,
            # an owned program also ends when its supervisor is killed
            plan=replace(plan_of_start, process=replace(plan_of_start.process, tied=owned)),
            owned=owned,
            run=self.store.run(record.id),
            directory=directory,
            log=self.store.log(record.id) if log.file or log.driver else "",
            log_settings=log.to_wire(),
            open_stdin=record.spec.open_stdin,
            auto_remove=record.spec.auto_remove,
            anonymous_volumes=record.anonymous_volumes,
            endpoint=connection.endpoint if connection else {},
            restart=(record.spec.restart.name, record.spec.restart.maximum),
            health=check_for(record),
            joined=tuple(joined.values()),
            watches_memory=record.spec.resources.memory > 0,
            events=events.to_wire(),
        )

    def plan(
        self,
        record: Record,
        connection: Connection | None,
        *,
        upper: str,
        work: str,
        etc: str,
        step_mounts: tuple[Operation, ...] = (),
    ) -> SandboxPlan:
        """The plan of a start with that writable layer; writes the three /etc files to `etc`."""
        if not record.spec.network.startswith("container:"):
            self._write_etc(record, connection, etc)
        inputs = self.plan_inputs(
            record,
            connection,
            upper=upper,
            work=work,
            etc=etc,
            joined=self._shared_namespaces(record),
        )
        return plan(record, replace(inputs, step_mounts=step_mounts))

    def plan_inputs(
        self,
        record: Record,
        connection: Connection | None,
        *,
        upper: str,
        work: str,
        etc: str,
        joined: Mapping[str, NamespaceTarget],
    ) -> PlanInputs:
        """The facts about the host and this start that the plan needs."""
        volumes = self._volumes(record)
        return PlanInputs(
            lowers=self.lowers(record.layers, is_step=not record.name),
            upper=upper,
            work=work,
            rootfs=self.rootfs,
            etc=etc,
            cgroup_parent=self.store.cgroup_parent(record),
            supervisors=self.data_root.cgroup_parent,
            cgroup_view=self.cgroups.view(),
            network=connection.operations if connection else (),
            joined={kind: pid for kind, (_, pid, *_) in joined.items()},
            sources=volumes["sources"],
            devices=volumes["devices"],
            peers=volumes["peers"],
            images={
                target: tuple(map(self.layers.path, chains))
                for target, chains in record.mounted_images.items()
            },
            processors=os.cpu_count() or 1,
            init=_init() if record.spec.init else "",
        )

    def _volumes(self, record: Record) -> dict[str, dict[str, Any]]:
        """By target: the volumes' data directories, and what driver options mount instead."""
        sources, devices, peers = {}, {}, {}
        for mount in record.mounts:
            if mount.kind == "volume":
                volume = self.volumes.create(mount.source)
                self.volumes.require_data(volume)
                sources[mount.target] = volume.mountpoint
                if (device := self.volumes.device(volume)) is not None:
                    devices[mount.target] = device
                    if device.fstype == "tmpfs" and (peer := self._peer(record, mount.source)):
                        peers[mount.target] = peer
        return {"sources": sources, "devices": devices, "peers": peers}

    def _peer(self, record: Record, volume: str) -> tuple[int, int, str] | None:
        """A running container with the volume: its pid, the start time of that, and the path."""
        for container_id in self.volumes.users().get(volume, []):
            if container_id == record.id or not (pid := self.store.state(container_id).pid):
                continue
            try:
                mounts = self.store.find(container_id).mounts
            except NotFound:
                continue  # it has just ended
            for mount in mounts:
                if mount.source == volume and not mount.subpath:
                    return pid, start_of(pid), mount.target
        return None

    @property
    def rootfs(self) -> str:
        """An empty directory on which each container mounts its root, in its own namespace."""
        path = f"{self.data_root.path}/rootfs"
        os.makedirs(path, 0o700, exist_ok=True)
        return path

    def lowers(self, layers: tuple[str, ...], *, is_step: bool = False) -> tuple[str, ...]:
        """Overlay's lower directories, topmost first: the init layer, then the image's.

        A build's step has an init layer of its own, without /.dockerenv, as with BuildKit.
        """
        paths = [self.layers.path(chain) for chain in layers]
        top = layers[0].removeprefix("sha256:") if layers else "scratch"
        path = f"{self.data_root.layers_path}/{top}-{'step' if is_step else 'init'}"
        if not os.path.isdir(path):  # created once for each image
            from dockmagic_runtime.containers.plan import init_layer

            init_layer.ensure(path, paths, self.data_root.scratch_path, is_step=is_step)
        return (path, *paths)

    def _etc(self, record: Record) -> str:
        """The directory of the container's three /etc files.

        With the network of another container they are that container's, while it exists.
        """
        while record.spec.network.startswith("container:"):
            try:
                record = self.store.find(record.spec.network.removeprefix("container:"))
            except NotFound:
                break
        return self.store.directory(record.id)

    def _write_etc(self, record: Record, connection: Connection | None, directory: str) -> None:
        spec = record.spec
        files = {
            "hostname": f"{record.hostname}\n",
            "hosts": self.networks.hosts(
                record.hostname,
                spec,
                connection,
                [link.hosts_line for link in links.linked(self.store, record)],
            ),
            "resolv.conf": self.networks.resolv_conf(spec, has_names=record.has_names),
        }
        etc_files.write(directory, files)

    def _shared_namespaces(
        self, record: Record, *, is_running: bool = False
    ) -> dict[str, NamespaceTarget]:
        """The namespaces of other containers that this one joins, by "net", "pid" and "ipc".

        The supervisor needs them to find the other containers again when it restarts the program.
        Raises NotFound, and Conflict for a container that does not run. With `is_running` the
        other may have ended: then the pid is a negative number that no process has.
        """
        spec = record.spec
        modes = {"net": spec.network, "pid": spec.pid_mode, "ipc": spec.ipc_mode}
        return {
            kind: self._shared(mode.removeprefix("container:"), kind, is_running=is_running)
            for kind, mode in modes.items()
            if mode.startswith("container:")
        }

    def _shared(self, other: str, kind: str, *, is_running: bool) -> NamespaceTarget:
        store, (what, no_pid) = self.store, _JOINED[kind]
        try:
            target = store.find(other).id
            pid = store.state(target).pid
        except NotFound:
            if not is_running:
                raise
            target, pid = other, 0
        if not pid and not is_running:
            raise Conflict(f"cannot join {what} of a non running container: {target}")
        return what, pid or no_pid, target, store.directory(target), store.run(target)


def _check_log_host(record: Record) -> None:
    driver = record.spec.log_driver
    if driver not in ("json-file", "local", "none"):  # these are files of ours
        from dockmagic_runtime.supervisor.logs.options import check_host

        check_host(driver, record.spec.log_options)


def _init() -> str:
    return init.find()


_JOINED = {"net": ("network", -1), "pid": ("PID", -2), "ipc": ("IPC", -3)}


def make_bind_sources(record: Record) -> None:
    """Creates missing host directories of `-v`."""
    for mount in record.mounts:
        if mount.kind == "bind" and mount.create_source and not os.path.exists(mount.source):
            try:
                os.makedirs(mount.source, exist_ok=True)
            except OSError as error:
                raise InvalidInput(
                    f"error while creating mount source path '{mount.source}': "
                    f"mkdir {error.filename}: {os.strerror(error.errno or 0).lower()}"
                ) from error


def published_ports(record: Record) -> tuple[PortMapping, ...]:
    """The ports of `-p`; with `-P` also the other exposed ones, with free host ports."""
    ports = list(record.spec.ports)
    taken = {(port.container_port, port.protocol) for port in ports}
    if record.spec.publish_all:
        for text in record.exposed:
            number, _, protocol = text.partition("/")
            if (int(number), protocol) not in taken:
                ports.append(PortMapping(container_port=int(number), protocol=protocol))
    return tuple(ports)
