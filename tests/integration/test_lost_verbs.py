"""Whatever is asked while a program has no supervisor, it keeps all that it lives by."""

from __future__ import annotations

import contextlib

import pytest

from dockmagic import commands
from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.model.container import Mount, Status
from dockmagic_runtime.model.network import Attachment, NetworkSpec

from .losing import kill_supervisor, supervisor_of
from .test_successors import shell, start

pytestmark = [pytest.mark.root, pytest.mark.network]

LOOKS = """
ps
ps -a --filter status=running --size
inspect web
logs web
top web
stats --no-stream web
port web
diff web
events --since 1 --until 2
start web
exec web true
cp web:/etc/hostname -
commit web kept
rename web other
update --memory 64m web
pause web
network connect second web
network disconnect bridge web
network inspect bridge
volume inspect data
system df -v
info
""".strip().splitlines()

REFUSED = """
rm web
network rm front
volume rm data
image rm busybox
rmi -f busybox
""".strip().splitlines()

PRUNED = """
container prune -f
network prune -f
volume prune -a -f
image prune -a -f
system prune -a -f --volumes
""".strip().splitlines()


@pytest.mark.parametrize("line", [*LOOKS, *REFUSED, *PRUNED])
def test_it_runs_on(engine: Engine, line: str) -> None:
    for name in ("front", "second"):
        engine.networks.create(NetworkSpec(name=name))
    web = start(
        engine,
        "echo here > /data/file; exec sleep 1000",
        network="front",
        attachments=(Attachment(network="front"), Attachment(network="bridge")),
        mounts=(Mount(kind="volume", source="data", target="/data"),),
    )
    kill_supervisor(engine, "web")
    with contextlib.suppress(DockmagicError):
        commands.execute(engine, commands.parse(line.split()))
    now = engine.containers.get(web.id)
    assert (now.pid, now.error) == (web.pid, "")
    if now.status is Status.PAUSED:
        engine.containers.unpause(web.id)
    assert shell(engine, "cat /data/file; ip address", web.id).startswith("here")
    assert supervisor_of(engine, web.id)
    engine.containers.stop(web.id, timeout=0)
    engine.containers.start(web.id)
    engine.containers.remove(web.id, force=True)
