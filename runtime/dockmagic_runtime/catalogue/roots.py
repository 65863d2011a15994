"""The root file system a recipe begins with, in a build context inside the area.

A root that took a bootstrap is kept as a tar in the area, so that debian, ubuntu and httpd share
it as their first layer and the next image needs no network. One process makes a root at a time;
what a killed one left in the scratch directory goes with the next.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dockmagic_runtime.catalogue.applets import make_applet_root
from dockmagic_runtime.catalogue.bootstrap import bootstrap
from dockmagic_runtime.catalogue.host import HostPackages, read_host
from dockmagic_runtime.catalogue.recipe import Recipe
from dockmagic_runtime.catalogue.stamps import ROOT_LIFETIME
from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.model.progress import PullStatus
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.locks import held
from dockmagic_runtime.store.scratch import scratch_directory

_BOOTSTRAP_RECIPE: Final = "1"  # raise it when bootstrap.py would make something else


@contextmanager
def build_context(recipe: Recipe, data_root: DataRoot) -> Iterator[Path]:
    """A build context for `recipe` in the area, gone afterwards."""
    with _scratch(data_root) as scratch:
        context = scratch / "context"
        context.mkdir(mode=0o755)
        _copy_recipe(recipe.folder, context)
        yield context


def put_root(recipe: Recipe, data_root: DataRoot, target: Path) -> Iterator[PullStatus]:
    if recipe.root == "applets":
        make_applet_root(recipe.folder / "root", target)
        return
    host = read_host()
    shelf = data_root.catalogue
    shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = shelf / f"{host.fingerprint}-{_BOOTSTRAP_RECIPE}.tar"
    with held(str(shelf / "lock")):
        yield from _ensure_root(host, data_root, kept)
        os.link(kept, target)


def _ensure_root(host: HostPackages, data_root: DataRoot, kept: Path) -> Iterator[PullStatus]:
    """Make `kept` unless it is there and fresh. An old one serves when no new one comes."""
    if kept.exists() and time.time() - kept.stat().st_mtime < ROOT_LIFETIME:
        return
    yield PullStatus(status=f"Making a minimal root of {host.name}, once, by mmdebstrap")
    try:
        yield from _make_root(host, data_root, kept)
    except RemoteFailed as error:
        if not kept.exists():
            raise
        yield PullStatus(status=f"Using the root made earlier: {error.message}")


def _make_root(host: HostPackages, data_root: DataRoot, kept: Path) -> Iterator[PullStatus]:
    with _scratch(data_root) as scratch:
        yield from bootstrap(host, scratch, scratch / "root.tar")
        for old in kept.parent.glob("*.tar"):
            if old != kept:
                old.unlink()
        (scratch / "root.tar").replace(kept)


@contextmanager
def _scratch(data_root: DataRoot) -> Iterator[Path]:
    with scratch_directory(str(data_root.scratch), "catalogue") as path:
        yield Path(path)


def _copy_recipe(folder: Path, context: Path) -> None:
    """What the Dockerfile may copy. Wheels keep no modes: a script is known by its `#!`."""
    for path in sorted(folder.rglob("*")):
        copy = context / path.relative_to(folder)
        if path.is_dir():
            copy.mkdir()
            copy.chmod(0o755)
        elif path.name != "recipe.toml":
            data = path.read_bytes()
            copy.write_bytes(data)
            copy.chmod(0o755 if data.startswith(b"#!") else 0o644)
