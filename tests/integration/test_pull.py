"""Pulls through the engine: from a registry on this machine, and where there is none."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.model.progress import PullDone
from dockmagic_runtime.testing.registry import FakeRegistry, Fault

from .conftest import collect

pytestmark = [pytest.mark.root, pytest.mark.network]


def layer() -> bytes:
    """A tar with a static busybox in /bin."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        program = Path("/bin/busybox").read_bytes()
        member = tarfile.TarInfo("bin/busybox")
        member.size, member.mode = len(program), 0o755
        tar.addfile(member, io.BytesIO(program))
    return buffer.getvalue()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.add_image("tools/bb", "1", (layer(),))
        yield registry


def last(engine: Engine, reference: str) -> PullDone:
    *_, done = engine.images.pull(reference)
    assert isinstance(done, PullDone)
    return done


def test_a_pulled_image_runs(engine: Engine, registry: FakeRegistry) -> None:
    reference = f"{registry.host}/tools/bb:1"
    done = last(engine, reference)
    assert not done.was_present
    assert done.image.tags == (reference,)
    assert not done.image.is_stand_in
    command = ("/bin/busybox", "echo", "hello")
    spec = ContainerSpec(image=reference, command=command, auto_remove=True)
    assert collect(engine.containers.run(spec)).stdout == "hello\n"
    assert last(engine, reference).was_present


def test_row32_a_flipped_byte_is_noticed_and_nothing_is_kept(
    engine: Engine, registry: FakeRegistry
) -> None:
    before = {image.id for image in engine.images.list(all=True)}
    registry.fail(Fault(match="/blobs/", flip=1000, times=99))
    with pytest.raises(RemoteFailed):
        last(engine, f"{registry.host}/tools/bb:1")
    assert {image.id for image in engine.images.list(all=True)} == before
    assert list(engine.data_root.blobs.iterdir()) == []


def test_what_the_registry_does_not_have_is_dockers_error(
    engine: Engine, registry: FakeRegistry
) -> None:
    with pytest.raises(NotFound, match="manifest unknown"):
        last(engine, f"{registry.host}/tools/bb:2")


def test_a_registry_that_cannot_be_reached_and_no_stand_in(engine: Engine) -> None:
    with pytest.raises(RemoteFailed, match="cannot pull nosuch:latest") as raised:
        last(engine, "nosuch")
    assert "busybox" in raised.value.hint
    with pytest.raises(RemoteFailed, match="connection refused") as raised:
        last(engine, "127.0.0.1:1/x")
    assert "stand-ins" not in raised.value.hint


def test_a_malformed_reference_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="must be lowercase"):
        last(engine, "Foo")
