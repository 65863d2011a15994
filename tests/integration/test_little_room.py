"""Security 6: verbs on a disk with a little room do their work whole, or leave nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.full_disks import KINDS, SmallDisk
from tests.integration.test_full_disk import (
    Line,
    area,
    disk,
    inventory,
    is_refusal,
    line,
    out,
)

__all__ = ["area", "disk", "line", "out"]  # fixtures

pytestmark = [pytest.mark.root, pytest.mark.slow]
# A build keeps the steps that it has done, as when it fails for another reason.
VERBS = [
    "volume create --label a=b new", "network create new", "create --name new busybox",
    "tag busybox new", "commit dead committed", "import {out}/files.tar imported",
    "load -q -i {out}/images.tar", "run --rm busybox true",
]  # fmt: skip
LEFT = (0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256, 320,
        1024, 2048, 3072, 4096, 5120, 8192)  # fmt: skip


def kept(root: Path) -> list[object]:
    """The inventory, without the mount points that containers find beside a layer."""
    return [
        [name for name in names if not str(name).endswith(("-init", "-step"))]
        if isinstance(names, list)
        else names
        for names in inventory(root)
    ]


@pytest.mark.parametrize("disk", KINDS[:3], indirect=True)
def test_security_6_a_verb_that_fails_half_way_leaves_nothing(
    disk: SmallDisk, area: Path, line: Line
) -> None:
    for text in VERBS:
        before = kept(area)
        for left in LEFT:
            disk.exhaust(left=left << 10)
            code, error = line(text)
            disk.release()
            if not code:
                break
            assert is_refusal(error), (text, left, error)
            assert kept(area) == before, (text, left, error)
        else:
            raise AssertionError(f"{text} needs more than {LEFT[-1]} KiB")
