"""`engine.containers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from msgspec.structs import replace

from dockmagic_runtime.containers.store import describe
from dockmagic_runtime.engine.container_files import LocalContainerFiles
from dockmagic_runtime.engine.container_reports import LocalContainerReports
from dockmagic_runtime.engine.facet import freeing
from dockmagic_runtime.errors import DockmagicError, InvalidInput
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Resources

if TYPE_CHECKING:
    from dockmagic_runtime.containers.record import Record
    from dockmagic_runtime.model.container import (
        Container,
        RestartPolicy,
    )
    from dockmagic_runtime.model.filters import Filters
    from dockmagic_runtime.model.usage import Pruned
    from dockmagic_runtime.supervisor.engine_client import ContainerProcess


class LocalContainers(LocalContainerReports, LocalContainerFiles):
    """The containers of one data root."""

    def create(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        **fields: Any,
    ) -> Container:
        """Creates a container without starting it. The image must be present.

        Args:
            image: A `ContainerSpec`, or an image's reference, with `command` and `fields`.
            command: The program and its arguments; a string is split as a shell does. None: the
                image's.
            **fields: Fields of `ContainerSpec`, also under docker-py's names (`environment`,
                `volumes`, `restart_policy`, `mem_limit`, …).

        Raises:
            InvalidInput: A field is unknown, has a wrong type or an impossible value.
            NotFound: No such image, volume, network or container to share with.
            Conflict: The name is in use.
            Unsupported: This host lacks a feature that was asked for.
        """
        return self._describe(self._create(_spec(image, command, fields)))

    def _create(self, spec: ContainerSpec) -> Record:
        from dockmagic_runtime.containers.lifecycle import create

        own = self._components
        if own.default_log_options and spec.log_driver == "json-file":
            spec = replace(spec, log_options={**own.default_log_options, **spec.log_options})
        return create.create(own.starter, spec, own.images.resolve(spec.image), own.images.resolve)

    def start(self, name: str) -> Container:
        """Starts a container in the background. Does nothing if it runs already.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
            StartFailed: It could not be started; `exit_code` is 125, 126 or 127 as with Docker.
        """
        own = self._components
        record = own.containers.find(name)
        if not self._describe(record).status.is_alive:
            own.starter.start(record, owned=False).detach()
        return self._describe(record)

    def start_attached(self, name: str, *, owned: bool = True) -> ContainerProcess:
        """Starts a container, attached from the first byte that it writes.

        Args:
            name: Name, id, or unique prefix of an id.
            owned: Whether the container is stopped when this process ends.

        Raises:
            NotFound: No such container.
            Conflict: It runs already.
            StartFailed: It could not be started.
        """
        own = self._components
        return own.starter.start(own.containers.find(name), owned=owned, attached=True)

    @overload
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: Literal[False] = False,
        **fields: Any,
    ) -> ContainerProcess: ...
    @overload
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: Literal[True],
        **fields: Any,
    ) -> Container: ...
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: bool = False,
        **fields: Any,
    ) -> ContainerProcess | Container:
        """Creates and starts a container.

        A missing image is pulled first if `image` is a reference and `pull` is not "never", as with
        docker-py. With a `ContainerSpec` nothing is pulled.

        Args:
            image: See `create`.
            command: See `create`.
            detach: Whether the container runs in the background.
            **fields: See `create`.

        Returns:
            The container's process, attached; it is stopped when this process ends. With
            `detach` the `Container`.

        Raises:
            StartFailed: It could not be started. With `auto_remove` it is removed again.
            InvalidInput: See `create`, whose other errors apply too.
        """
        spec = _spec(image, command, fields)
        if spec is not image and spec.pull != "never":
            self._components.image_source.ensure(spec.image, platform=spec.platform)
        record = self._create(spec)
        process = self._start_new(record, owned=not detach)
        if not detach:
            return process
        process.detach()
        return self._describe(record)

    def _start_new(self, record: Record, *, owned: bool) -> ContainerProcess:
        """A container of `--rm` that could not start goes away again, as with Docker."""
        try:
            return self._components.starter.start(record, owned=owned)
        except BaseException as error:
            if isinstance(error, DockmagicError):
                error.container_id = record.id
            if record.spec.auto_remove:
                self._remove(record, force=True, volumes=True)
            raise

    def attach(self, name: str) -> ContainerProcess:
        """Attaches to the streams of a running container, from now on.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
            Conflict: It does not run.
        """
        from dockmagic_runtime.containers.lifecycle.attach import attach

        store = self._components.containers
        return attach(store, store.find(name))

    def list(self, *, all: bool = False, filters: Filters | None = None) -> tuple[Container, ...]:
        """Lists containers, newest first.

        Args:
            all: Whether to include those that do not run.
            filters: Docker's filters of `ps`, each with a list of values, which are alternatives.

        Raises:
            InvalidInput: An unknown filter or value.
        """
        from dockmagic_runtime.containers.ps import listing

        own = self._components
        return listing.find(own.containers, lambda: own.images, filters, all=all)

    def summaries(
        self, *, all: bool = False, filters: Filters | None = None
    ) -> Sequence[dict[str, Any]]:
        """Lists containers as Docker's API does (`GET /containers/json`), newest first.

        Args:
            all: See `list`.
            filters: See `list`.

        Raises:
            InvalidInput: See `list`.
        """
        from dockmagic_runtime.containers.inspect.summary import summaries

        return summaries(self._components.containers, self.list(all=all, filters=filters))

    def get(self, name: str) -> Container:
        """Returns a container with its present state.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
        """
        return self._describe(self._components.containers.find(name))

    def _describe(self, record: Record) -> Container:
        return describe(record, self._components.containers.state(record.id))

    def exec(
        self, name: str, command: str | Sequence[str] | ExecSpec, **fields: Any
    ) -> ContainerProcess:
        """Starts one more process in a running container, attached.

        Args:
            name: Name, id, or unique prefix of an id.
            command: An `ExecSpec`, or the program and its arguments; a string is split as a
                shell does.
            **fields: Fields of `ExecSpec`, also under docker-py's names.

        Raises:
            NotFound: No such container.
            Conflict: It does not run, or is paused.
            StartFailed: The program could not be started.
            InvalidInput: A field is unknown or has a wrong type.
        """
        from dockmagic_runtime.containers.lifecycle.exec import execute

        store = self._components.containers
        if not isinstance(command, ExecSpec):
            from dockmagic_runtime.engine.keywords import exec_spec

            command = exec_spec(command, fields)
        return execute(store, store.find(name), command)

    @freeing
    def stop(self, name: str, *, timeout: float | None = None, signal: str = "") -> None:
        """Stops a container: sends its stop signal, and SIGKILL after the timeout.

        Args:
            name: Name, id, or unique prefix of an id.
            timeout: Seconds. None: the container's own, else 10. Negative: no SIGKILL.
            signal: Instead of the stop signal of the container or its image.

        Raises:
            NotFound: No such container.
            InvalidInput: An unknown signal.
        """
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        stop.stop(store, store.find(name), timeout=timeout, signal=signal)

    def restart(self, name: str, *, timeout: float | None = None, signal: str = "") -> None:
        """Stops a container if it runs, and starts it.

        Args:
            name: Name, id, or unique prefix of an id.
            timeout: See `stop`.
            signal: See `stop`.

        Raises:
            NotFound: No such container.
            StartFailed: It could not be started again.
        """
        from dockmagic_runtime.containers.lifecycle.restart import restart

        own = self._components
        restart(own.starter, own.containers.find(name), timeout=timeout, signal=signal)

    def update(
        self,
        name: str,
        resources: Resources | None = None,
        restart: RestartPolicy | None = None,
    ) -> tuple[str, ...]:
        """Changes limits and restart policy, also while the container runs.

        Args:
            name: Name, id, or unique prefix of an id.
            resources: The limits to change; those that are 0 or None stay.
            restart: The new restart policy. None: the present one stays.

        Returns:
            Docker's warnings about limits that this host cannot set.

        Raises:
            NotFound: No such container.
            InvalidInput: An impossible limit.
        """
        from dockmagic_runtime.containers.lifecycle.update import update

        own = self._components
        record = own.containers.find(name)
        return update(own.starter, record, resources or Resources(), restart)

    @freeing
    def kill(self, name: str, signal: str = "KILL") -> None:
        """Sends a signal to a container's first process.

        Args:
            name: Name, id, or unique prefix of an id.
            signal: A name with or without SIG, or a number.

        Raises:
            NotFound: No such container.
            Conflict: It does not run.
            InvalidInput: An unknown signal.
        """
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        stop.kill(store, store.find(name), signal)

    def wait(self, name: str, *, timeout: float | None = None) -> int:
        """Blocks until a container does not run.

        Args:
            name: Name, id, or unique prefix of an id.
            timeout: Seconds. None: no limit.

        Returns:
            The exit code.

        Raises:
            NotFound: No such container.
            TimeoutError: It still runs after that time.
        """
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        return stop.wait(store, store.find(name), timeout=timeout)

    def resize(self, name: str, rows: int, columns: int) -> None:
        """Sets the size of a running container's terminal.

        Args:
            name: Name, id, or unique prefix of an id.
            rows: Its height in characters.
            columns: Its width in characters.

        Raises:
            NotFound: No such container.
            Conflict: It does not run.
        """
        store = self._components.containers
        process = store.connect(store.find(name).id)
        process.resize(rows, columns)
        process.close()

    def pause(self, name: str) -> None:
        """Freezes all processes of a container.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
            Conflict: It does not run, or is paused already.
        """
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        stop.set_paused(store, store.find(name), paused=True)

    def unpause(self, name: str) -> None:
        """Continues all processes of a paused container.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
            Conflict: It is not paused.
        """
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        stop.set_paused(store, store.find(name), paused=False)

    @freeing
    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Removes a container with its writable layer and its log.

        Args:
            name: Name, id, or unique prefix of an id.
            force: Whether to kill it first if it runs.
            volumes: Whether to remove its anonymous volumes too.

        Raises:
            NotFound: No such container.
            Conflict: It runs, and `force` is false.
        """
        record = self._components.containers.find(name)
        self._remove(record, force=force, volumes=volumes)

    def _remove(self, record: Record, *, force: bool, volumes: bool) -> None:
        from dockmagic_runtime.containers.lifecycle.remove import remove

        own = self._components
        remove(own.containers, own.volumes, record, force=force, with_volumes=volumes)

    def remove_link(self, name: str) -> None:
        """Removes a link. The linked container stays.

        Args:
            name: `CONTAINER/ALIAS`.

        Raises:
            NotFound: No such link.
        """
        from dockmagic_runtime.containers.lifecycle import links

        links.remove(self._components.containers, name)

    def rename(self, name: str, new_name: str) -> None:
        """Renames a container.

        Args:
            name: Name, id, or unique prefix of an id.
            new_name: The new name.

        Raises:
            NotFound: No such container.
            Conflict: The new name is in use.
            InvalidInput: Docker allows no such name.
        """
        from dockmagic_runtime.containers.lifecycle.rename import rename

        store = self._components.containers
        rename(store, store.find(name), new_name)

    @freeing
    def prune(self, filters: Filters | None = None) -> Pruned:
        """Removes the containers that do not run.

        Args:
            filters: `until`, `label` and `label!`, each with a list of values.

        Raises:
            InvalidInput: An unknown filter or value.
        """
        from dockmagic_runtime.containers.lifecycle.prune import prune

        own = self._components
        return prune(own.containers, own.volumes, filters or {})


def _spec(
    image: str | ContainerSpec, command: str | Sequence[str] | None, fields: dict[str, Any]
) -> ContainerSpec:
    if isinstance(image, ContainerSpec):
        if command is not None or fields:
            raise InvalidInput("a ContainerSpec has all fields: no further arguments are taken")
        return image
    from dockmagic_runtime.engine.keywords import container_spec

    return container_spec(image, command, fields)
