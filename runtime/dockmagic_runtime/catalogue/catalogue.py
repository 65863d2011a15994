"""`Catalogue`: which stand-ins there are, and how one is made by the engine's own builder.

A root that took a bootstrap is kept as a tar in the area, so that debian, ubuntu and httpd share
it as their first layer and the next image needs no network. One process makes a root at a time;
what a killed one left in the scratch directory goes with the next.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dockmagic_runtime.catalogue.applets import make_applet_root
from dockmagic_runtime.catalogue.bootstrap import bootstrap
from dockmagic_runtime.catalogue.host import (
    Host,
    proxy_environment,
    read_host,
    read_os_release,
)
from dockmagic_runtime.catalogue.recipe import Recipe, recipes
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.model.events import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    PullDone,
    PullEvent,
    PullStatus,
    StepDone,
    StepOutput,
    StepStarted,
)
from dockmagic_runtime.model.reference import DEFAULT_REGISTRY, ImageReference
from dockmagic_runtime.store.area import Area
from dockmagic_runtime.store.locks import held, is_held

POLICIES: Final = ("when-unreachable", "never", "always")
STAND_IN_LABEL: Final = "org.dockmagic.stand-in"
_FRESH: Final = 7 * 24 * 3600.0  # seconds: then a root lacks a week of security updates
_SCRATCH_PREFIX: Final = "catalogue-"
_BOOTSTRAP_RECIPE: Final = "1"  # raise it when bootstrap.py would make something else

Build = Callable[[BuildRequest], Iterator[BuildEvent]]


class Catalogue:
    """The stand-ins that an engine on `area` may make, by its policy."""

    def __init__(self, area: Area, policy: str = "when-unreachable") -> None:
        if policy not in POLICIES:
            raise InvalidInput(
                f"invalid catalogue policy: {policy}", hint=f"one of: {', '.join(POLICIES)}"
            )
        self._area = area
        self.policy = policy

    def find(self, reference: str) -> Recipe | None:
        """The recipe that answers to `reference`, if the policy lets us offer any.

        Every tag is answered; a digest is a promise about bytes that nobody but its owner keeps.
        """
        name = ImageReference.parse(reference)
        if self.policy == "never" or name.registry != DEFAULT_REGISTRY or name.digest:
            return None
        namespace, _, short = name.repository.rpartition("/")
        return recipes().get(short) if namespace == "library" else None

    def search(self, term: str) -> tuple[Recipe, ...]:
        """Recipes with `term` in their name or description, by name."""
        if self.policy == "never":
            return ()
        words = term.lower().removeprefix("library/")
        return tuple(
            recipe
            for name, recipe in sorted(recipes().items())
            if words in name or words in recipe.description.lower()
        )

    def make(self, reference: str, build: Build) -> Iterator[PullEvent]:
        """Make the stand-in for `reference` with the engine's `build`, telling that it is one."""
        recipe = self.find(reference)
        if recipe is None:
            raise NotFound(f"the catalogue has no stand-in for {reference}")
        name = ImageReference.parse(reference)
        label = recipe.stand_in.format(host=self._host_name())
        yield PullStatus(status=f"{name.familiar} is a stand-in: {label}")
        with self._context(recipe) as context:
            yield from self._put_root(recipe, context / "rootfs.tar")
            request = BuildRequest(
                dockerfile=recipe.dockerfile,
                context=str(context),
                tags=(name.canonical,),
                labels={STAND_IN_LABEL: label},
                build_args=proxy_environment(),
                network="host",  # package sources and proxies may listen on localhost
            )
            yield from _as_pull(build(request), name.familiar)

    def _host_name(self) -> str:
        return read_os_release(Path("/")).get("PRETTY_NAME", "this machine's distribution")

    @contextmanager
    def _context(self, recipe: Recipe) -> Iterator[Path]:
        """A build context for `recipe` in the area, gone afterwards."""
        with scratch_directory(self._area) as scratch:
            context = scratch / "context"
            context.mkdir(mode=0o755)
            _copy_recipe(recipe.folder, context)
            yield context

    def _put_root(self, recipe: Recipe, target: Path) -> Iterator[PullStatus]:
        if recipe.root == "applets":
            make_applet_root(recipe.folder / "root", target)
            return
        host = read_host()
        kept = self._shelf / f"{host.fingerprint}-{_BOOTSTRAP_RECIPE}.tar"
        self._shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(str(self._shelf / "lock")):
            yield from self._ensure_root(host, kept)
            os.link(kept, target)

    @property
    def _shelf(self) -> Path:
        return self._area.root / "catalogue"

    def _ensure_root(self, host: Host, kept: Path) -> Iterator[PullStatus]:
        """Make `kept` unless it is there and fresh. An old one serves when no new one comes."""
        if kept.exists() and time.time() - kept.stat().st_mtime < _FRESH:
            return
        yield PullStatus(status=f"Making a minimal root of {host.name}, once, by mmdebstrap")
        try:
            yield from self._bootstrap(host, kept)
        except RemoteFailed as error:
            if not kept.exists():
                raise
            yield PullStatus(status=f"Using the root made earlier: {error.message}")

    def _bootstrap(self, host: Host, kept: Path) -> Iterator[PullStatus]:
        with scratch_directory(self._area) as scratch:
            yield from bootstrap(host, scratch, scratch / "root.tar")
            for old in self._shelf.glob("*.tar"):
                if old != kept:
                    old.unlink()
            (scratch / "root.tar").replace(kept)


@contextmanager
def scratch_directory(area: Area) -> Iterator[Path]:
    """A directory in the area, gone afterwards; those of killed processes go first."""
    area.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(area)
    path = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=area.scratch))
    try:
        with held(str(path / "lock")):
            yield path
    finally:
        shutil.rmtree(path)


def _sweep(area: Area) -> None:
    long_ago = time.time() - 60  # a younger one may not have its lock yet
    for path in area.scratch.glob(f"{_SCRATCH_PREFIX}*"):
        if path.stat().st_mtime < long_ago and not is_held(str(path / "lock")):
            shutil.rmtree(path, ignore_errors=True)


def _copy_recipe(folder: Path, context: Path) -> None:
    """What the Dockerfile may copy. Wheels do not keep modes: scripts are told by their `#!`."""
    for path in sorted(folder.rglob("*")):
        copy = context / path.relative_to(folder)
        if path.is_dir():
            copy.mkdir()
            copy.chmod(0o755)
        elif path.name != "recipe.toml":
            data = path.read_bytes()
            copy.write_bytes(data)
            copy.chmod(0o755 if data.startswith(b"#!") else 0o644)


def _as_pull(events: Iterator[BuildEvent], reference: str) -> Iterator[PullEvent]:
    """A build's events in a pull's words."""
    steps: dict[int, str] = {}
    output: list[bytes] = []
    try:
        for event in events:
            if isinstance(event, StepStarted):
                steps[event.number] = f"step {event.number}"
                output.clear()
                yield PullStatus(status=event.instruction, id=steps[event.number])
            elif isinstance(event, StepOutput):
                output.append(event.data)
            elif isinstance(event, StepDone):
                status = "Already exists" if event.cached else "Complete"
                yield PullStatus(status=status, id=steps[event.number])
            elif isinstance(event, PullStatus):
                yield event
            elif isinstance(event, BuildDone):
                yield PullDone(image=event.image, reference=reference)
    except DockmagicError as error:
        raise _explained(error, b"".join(output)) from error


def _explained(error: DockmagicError, output: bytes) -> DockmagicError:
    """The error of a step with the last line the step said, which tells why."""
    lines = output.decode(errors="replace").strip().splitlines()
    if not lines:
        return error
    return RemoteFailed(
        f"the stand-in could not be made: {error.message}: {lines[-1].strip()}", hint=error.hint
    )
