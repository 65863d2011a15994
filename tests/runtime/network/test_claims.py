"""Claims of starts: locks beside the run directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic_runtime.network.ipam.claims import Claims


def test_security_15_claims_of_killed_starts_are_swept(tmp_path: Path) -> None:
    claims = Claims(str(tmp_path))
    claims.take("living")
    for name in ("dead", "young"):
        (tmp_path / f"{name}.starting").touch()
    for name in ("dead", "living"):
        os.utime(tmp_path / f"{name}.starting", (0, 0))
    Claims(str(tmp_path)).sweep()
    assert sorted(os.listdir(tmp_path)) == ["living.starting", "young.starting"]
    claims.close()


def test_a_missing_run_directory_has_no_claims(tmp_path: Path) -> None:
    Claims(str(tmp_path / "gone")).sweep()


def test_a_claim_is_taken_once(tmp_path: Path) -> None:
    claims = Claims(str(tmp_path))
    claims.take("a")
    with pytest.raises(Exception, match="already being started"):
        Claims(str(tmp_path)).take("a")
    claims.drop("a")
    assert not claims.is_taken("a")
