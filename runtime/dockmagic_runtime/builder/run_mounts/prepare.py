"""The mounts of a RUN: what they are made of, and what must be there before and gone after it."""

from __future__ import annotations

import base64
import os
import posixpath
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.builder.context.content_hash import ContentHasher, Contents
from dockmagic_runtime.builder.context.scratch import OverlayDirectories, Scratch
from dockmagic_runtime.builder.context.transfer import Transfer
from dockmagic_runtime.builder.context.tree import Source, SourceTree
from dockmagic_runtime.builder.error_locations import step_errors
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.steps import RunStep, StepMount
from dockmagic_runtime.builder.run_mounts import mountpoints
from dockmagic_runtime.builder.run_mounts.cache_mounts import CacheMounts, HeldCache, Wait, identity
from dockmagic_runtime.builder.run_mounts.mountpoints import MountPoint
from dockmagic_runtime.builder.run_mounts.ssh_agent import AgentSocket
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.build import BuildRequest
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.user_mounts import BindMount, MountSecret, MountTmpfs, MountTree

LayersOf = Callable[[SourceStage], tuple[str, ...]]
_TMPFS: Final = ("nosuid", "nodev")


class Mounted(Struct):
    """What a RUN gets besides its tree."""

    operations: list[Operation] = field(default_factory=list)
    env: list[str] = field(default_factory=list)
    points: list[MountPoint] = field(default_factory=list)


class Mounter:
    """The mounts of one build's RUNs."""

    def __init__(
        self,
        request: BuildRequest,
        hasher: ContentHasher,
        scratch: Scratch,
        caches: CacheMounts,
        mount_target: str,
        layer_path: Callable[[str], str],
    ) -> None:
        self._request = request
        self._hasher = hasher
        self._scratch = scratch
        self._caches = caches
        self._mount_target = mount_target
        self._layer_path = layer_path
        self._lock = threading.Lock()  # stages are built side by side
        self._masks: dict[str, str] = {}

    def contents(self, step: RunStep, layers_of: LayersOf) -> Contents:
        """The digest of all that the step's mounts bring along from other trees."""
        contents = [
            self._contents(step, mount, layers_of) for mount in step.mounts if mount.source_stage
        ]
        files = {name: digest for content in contents for name, digest in content.files.items()}
        return Contents("\0".join(content.digest for content in contents), files)

    def _contents(self, step: RunStep, mount: StepMount, layers_of: LayersOf) -> Contents:
        assert mount.source_stage is not None
        with step_errors(step, [mount.source]):
            source = mount.source if mount.kind == "bind" else "/"
            return self._hasher.contents(
                mount.source_stage, layers_of(mount.source_stage), [source]
            )

    @contextmanager
    def prepared(
        self,
        step: RunStep,
        below: Sequence[str],
        directories: OverlayDirectories,
        layers_of: LayersOf,
        wait: Wait,
    ) -> Iterator[Mounted]:
        """All that the mounts need, for as long as the step runs."""
        mounted = Mounted()
        if not step.mounts:
            yield mounted
            return
        with ExitStack() as stack:
            held: dict[tuple[str, ...], HeldCache] = {}
            # from the shallowest target to the deepest, so that none hides another
            for mount in sorted(step.mounts, key=lambda mount: mount.target.rstrip("/").count("/")):
                with step_errors(step, [mount.source]):
                    self._prepare(mount, mounted, layers_of, stack, held, wait)
            # an overlay without fsync marks its work directory as used up: the step gets its own
            own = replace(directories, work=str(self._scratch.directory()))
            with self._hasher.sources.writable(below, own) as tree, step_errors(step, ["/"]):
                mountpoints.make(tree, mounted.points)
            recorded = mountpoints.recorded(directories.upper)
            stack.callback(mountpoints.remove, directories.upper, recorded)
            yield mounted

    def _prepare(
        self,
        mount: StepMount,
        mounted: Mounted,
        layers_of: LayersOf,
        stack: ExitStack,
        held: dict[tuple[str, ...], HeldCache],
        wait: Wait,
    ) -> None:
        match mount.kind:
            case "bind":
                self._bind(mount, mounted, layers_of, stack)
            case "cache":
                self._cache(mount, mounted, layers_of, stack, held, wait)
            case "tmpfs":
                size = [f"size={mount.size}"] if mount.size else []
                mounted.operations.append(MountTmpfs(mount.target, (*_TMPFS, *size)))
                mounted.points.append(MountPoint(mount.target, is_dir=True))
            case "secret":
                self._secret(mount, mounted)
            case "ssh":
                self._ssh(mount, mounted, stack)

    # --- bind ------------------------------------------------------------------------------

    def _bind(
        self, mount: StepMount, mounted: Mounted, layers_of: LayersOf, stack: ExitStack
    ) -> None:
        assert mount.source_stage is not None
        layers = layers_of(mount.source_stage)
        tree = self._hasher.tree(mount.source_stage, layers)
        (source,) = tree.find([mount.source])
        lowers = self._lowers(mount.source_stage, layers, tree)
        upper = work = ""
        if not mount.read_only:
            directories = stack.enter_context(self._scratch.overlay(lowers[0]))
            upper, work = directories.upper, directories.work
        mounted.operations.append(
            MountTree(
                name=mount.source_stage.describe(),
                target=mount.target,
                lowers=lowers,
                scratch=self._mount_target,
                upper=upper,
                work=work,
                subpath=source.path,
            )
        )
        mounted.points.append(MountPoint(mount.target, source.is_dir))

    def _lowers(
        self, source_stage: SourceStage, layers: Sequence[str], tree: SourceTree
    ) -> tuple[str, ...]:
        """The directories that make up the tree, topmost first."""
        if not source_stage.is_context:
            lowers = tuple(map(self._layer_path, reversed(layers)))
            return lowers or (str(self._scratch.directory()),)
        path = self._hasher.sources.context_path(source_stage.context)
        mask = self._mask(source_stage.context, tree)
        return (mask, path) if mask else (path,)

    def _mask(self, context: str, tree: SourceTree) -> str:
        """A layer of whiteouts for what .dockerignore leaves out: nothing need be copied."""
        with self._lock:
            if context not in self._masks:
                ignored = [path for path, _ in tree.ignored()]
                mask = _masked(self._scratch, tree.root, ignored) if ignored else ""
                self._masks[context] = mask
            return self._masks[context]

    # --- cache -----------------------------------------------------------------------------

    def _cache(
        self,
        mount: StepMount,
        mounted: Mounted,
        layers_of: LayersOf,
        stack: ExitStack,
        held: dict[tuple[str, ...], HeldCache],
        wait: Wait,
    ) -> None:
        layers = layers_of(mount.source_stage) if mount.source_stage else ()
        begins = ""
        if mount.source_stage:
            begins = self._hasher.contents(mount.source_stage, layers, ["/"]).digest
        key = identity(mount, begins)
        if key not in held:
            held[key] = self._caches.hold(mount, begins, wait)
            stack.callback(held[key].close)
            if held[key].is_new:
                self._fill(held[key], mount, layers)
        subpath = mount.source.strip("/")
        _check_cache_path(held[key].path, subpath)
        mounted.operations.append(
            BindMount(
                source=held[key].path,
                target=mount.target,
                read_only=mount.read_only,
                recursive=False,
                subpath=subpath,
            )
        )
        mounted.points.append(MountPoint(mount.target, is_dir=True))

    def _fill(self, cache: HeldCache, mount: StepMount, layers: Sequence[str]) -> None:
        with Root.at(cache.path) as root:
            if mount.source_stage is not None:
                tree = self._hasher.tree(mount.source_stage, layers)
                Transfer(root, None, is_bare=True).copy(
                    tree, Source("", "", is_dir=True), "/", into=True, excludes=IgnoreRules(())
                )
                return
            fd = root.open("/", os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fchown(fd, mount.uid, mount.gid)
                os.fchmod(fd, 0o755 if mount.mode is None else mount.mode)
            finally:
                os.close(fd)

    # --- what the caller hands over --------------------------------------------------------

    def _secret(self, mount: StepMount, mounted: Mounted) -> None:
        value = self._request.secrets.get(mount.id)
        if value is None:
            _missing(mount, f"secret {mount.id}: not found", f"--secret id={mount.id},src=FILE")
            return
        if mount.env:
            mounted.env.append(f"{mount.env}={value.decode('utf-8', 'surrogateescape')}")
        if mount.target:
            mounted.operations.append(
                MountSecret(
                    id=mount.id,
                    target=mount.target,
                    data=base64.b64encode(value).decode(),
                    mode=0o400 if mount.mode is None else mount.mode,
                    uid=mount.uid,
                    gid=mount.gid,
                )
            )
            mounted.points.append(MountPoint(mount.target, is_dir=False))

    def _ssh(self, mount: StepMount, mounted: Mounted, stack: ExitStack) -> None:
        agent = self._request.ssh.get(mount.id)
        if agent is None:
            _missing(mount, f"unset ssh forward key {mount.id}", f"--ssh {mount.id}")
            return
        proxy = AgentSocket(
            str(self._scratch.directory()),
            agent,
            mode=0o600 if mount.mode is None else mount.mode,
            uid=mount.uid,
            gid=mount.gid,
        )
        stack.callback(proxy.close)
        mounted.env.append(f"SSH_AUTH_SOCK={mount.target}")
        mounted.operations.append(
            BindMount(source=proxy.path, target=mount.target, recursive=False)
        )
        mounted.points.append(MountPoint(mount.target, is_dir=False))


def _missing(mount: StepMount, message: str, flag: str) -> None:
    """What the caller has not given is left out, unless the Dockerfile requires it."""
    if mount.required:
        raise NotFound(message, hint=f"build with {flag}")


def _check_cache_path(path: str, subpath: str) -> None:
    """Refuses links in the cache: earlier steps have written it."""
    names = subpath.split("/") if subpath else []
    with Root.at(path) as root:
        for count in range(1, len(names) + 1):
            part = posixpath.join(*names[:count])
            try:
                kind = root.stat(part, follow=False).st_mode
            except (FileNotFoundError, NotADirectoryError):
                raise NotFound(f"{part} does not exist in the cache") from None
            if stat.S_ISLNK(kind) or not stat.S_ISDIR(kind):
                raise InvalidInput(f"{part} in the cache is not a directory")


def _masked(scratch: Scratch, root: Root, ignored: Sequence[str]) -> str:
    directory = str(scratch.directory())
    with Root.at(directory) as mask:
        _copy_directory(root, mask, "")
        for path in ignored:
            parent, _, name = path.rpartition("/")
            names = parent.split("/") if parent else []
            for count in range(1, len(names) + 1):
                _copy_directory(root, mask, "/".join(names[:count]))
            fd, _ = mask.open_parent(path)
            try:
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)
            finally:
                os.close(fd)
    return directory


def _copy_directory(root: Root, mask: Root, path: str) -> None:
    """A merged directory looks as its topmost part does."""
    if path and mask.exists(path):
        return
    status = root.stat(path or ".", follow=False)
    os.close(mask.mkdirs(path, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid))
    fd = mask.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fchown(fd, status.st_uid, status.st_gid)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(fd)
