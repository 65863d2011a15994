"""`DataRoot`: where one Docker area lives (Docker's data-root), and the names it uses on the host.

Everything that is global on a host (bridge, nftables table, cgroup parent, run directory) carries
the area's short id, so that two areas never meet. The default area has the plain names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import force_setattr

from dockmagic_runtime.linux.ext4_topdir import set_topdir
from dockmagic_runtime.store import host_names

if TYPE_CHECKING:
    from pathlib import Path


class DataRoot(Struct, frozen=True):
    """Paths and host-wide names of one Docker area. `id` is empty for the default area.

    `path` and the methods that return texts are for what starts often: pathlib takes 5 ms to load.
    """

    path: str
    id: str

    def __post_init__(self) -> None:
        force_setattr(self, "path", os.fspath(self.path))

    @classmethod
    def at(cls, root: Path | str | None = None) -> DataRoot:
        """The area at `root`. Touches nothing on disk."""
        path = host_names.default_root() if root is None else host_names.absolute(str(root))
        return cls(path, host_names.area_id(path))

    def prepare(self) -> None:
        """Makes the directories, 0700 so that no other user runs set-uid programs out of layers."""
        for name in ("", "blobs/sha256", *_SPREAD, "volumes", "networks"):
            path = f"{self.path}/{name}"
            if not os.path.isdir(path):
                os.makedirs(path, 0o700, exist_ok=True)
                if name in _SPREAD:
                    set_topdir(path)
        if not os.path.isdir(self.run_path):
            os.makedirs(self.run_path, 0o700, exist_ok=True)

    @property
    def root(self) -> Path:
        from pathlib import Path

        return Path(self.path)

    @property
    def layers_path(self) -> str:
        return f"{self.path}/layers"

    @property
    def containers_path(self) -> str:
        return f"{self.path}/containers"

    @property
    def scratch_path(self) -> str:
        return f"{self.path}/tmp"

    @property
    def suffix(self) -> str:
        return f"-{self.id}" if self.id else ""

    @property
    def database(self) -> Path:
        return self.root / "state.db"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs" / "sha256"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def networks(self) -> Path:
        """A directory for each network, with a file for each endpoint."""
        return self.root / "networks"

    @property
    def catalogue(self) -> Path:
        """What stand-ins are made from. Not there before the first."""
        return self.root / "catalogue"

    @property
    def scratch(self) -> Path:
        """Temporary files, on the same file system so that a rename finishes the work."""
        return self.root / "tmp"

    @property
    def run(self) -> Path:
        """Sockets and locks: gone after a reboot, like the processes that they belong to."""
        from pathlib import Path

        return Path(self.run_path)

    @property
    def run_path(self) -> str:
        return host_names.run_directory(self.suffix)

    @property
    def bridge(self) -> str:
        """Name of the default bridge; interface names have at most 15 characters."""
        return f"dm{self.id}0" if self.id else "dockmagic0"

    def bridge_of(self, network_id: str) -> str:
        """Name of a user's network's bridge: Docker's form in the default area."""
        return f"dm{self.id}{network_id[:5]}" if self.id else f"br-{network_id[:12]}"

    @property
    def nft_table(self) -> str:
        return f"dockmagic{self.suffix}"

    @property
    def cgroup_parent(self) -> str:
        return host_names.cgroup_parent(self.suffix)

    def container(self, container_id: str) -> Path:
        return self.containers / container_id

    def container_run(self, container_id: str) -> Path:
        return self.run / container_id


_SPREAD: Final = ("layers", "containers", "tmp")  # their entries are the roots of trees
