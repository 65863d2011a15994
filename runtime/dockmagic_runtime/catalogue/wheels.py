"""Python packages for a stand-in: fetched by this machine's pip, which knows where from.

Its indexes, mirrors, certificates and credentials are settings of the host; a container has none
of them, and an image must not keep them. So the wheels are put into the build context, and the
build installs from there.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dockmagic_runtime.catalogue.recipe import Recipe
from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.model.progress import PullStatus

_SYSTEM_PYTHON: Final = Path("/usr/bin/python3")
_VERSION: Final = "import sys; print('%d.%d' % sys.version_info[:2])"


def put_wheels(recipe: Recipe, folder: Path) -> Iterator[PullStatus]:
    """Fetch what the recipe names into `folder`, with `names.txt` that lists it."""
    if not recipe.wheels:
        return
    yield PullStatus(status=f"Fetching {len(recipe.wheels)} Python packages by pip")
    folder.mkdir(mode=0o755)
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in recipe.wheels))
    command = [sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), *_for_system()]
    done = subprocess.run([*command, *recipe.wheels], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise RemoteFailed(
            f"pip could not fetch the packages of {recipe.name}: {lines[-1]}",
            hint="'pip download' must work on this machine, for example with a proxy",
        )


def _for_system() -> list[str]:
    """The root is of this machine's distribution, so its Python is the system's, not ours."""
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not _SYSTEM_PYTHON.exists():
        return []
    command = [str(_SYSTEM_PYTHON), "-c", _VERSION]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return [] if version == ours else ["--python-version", version, "--only-binary=:all:"]
