"""The catalogue's images, made by the real builder and lived in."""

from __future__ import annotations

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.catalogue import STAND_IN_LABEL
from dockmagic_runtime.errors import NotFound, RemoteFailed
from dockmagic_runtime.model.container import ContainerSpec, Status
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullDone, PullStatus

from .conftest import await_page

pytestmark = [pytest.mark.root, pytest.mark.network]


def pull(engine: Engine, reference: str) -> Image:
    *statuses, done = engine.images.pull(reference)
    assert all(isinstance(status, PullStatus) for status in statuses)
    assert isinstance(done, PullDone)
    return done.image


def said(engine: Engine, image: str, *command: str) -> str:
    """What `command` writes in a new container of `image`."""
    process = engine.containers.run(ContainerSpec(image=image, command=command, auto_remove=True))
    output = b"".join(data for _, data in process.output()).decode()
    assert process.wait() == 0, output
    return output


@pytest.mark.parametrize("name", ["busybox", "alpine:3.19"])
def test_a_small_stand_in_runs_its_tools_and_says_what_it_is(engine: Engine, name: str) -> None:
    image = pull(engine, name)
    assert image.is_stand_in
    assert "busybox-static" in image.config.labels[STAND_IN_LABEL]
    assert said(engine, name, "sh", "-c", "echo hello | tr a-z A-Z") == "HELLO\n"
    assert said(engine, name, "stat", "-c", "%a", "/tmp", "/root") == "1777\n700\n"


def test_the_same_stand_in_twice_is_the_same_layer(engine: Engine) -> None:
    first = pull(engine, "busybox")
    engine.images.remove("busybox", force=True)
    assert pull(engine, "busybox").diff_ids == first.diff_ids


def test_an_image_of_another_registry_is_not_invented(engine: Engine) -> None:
    with pytest.raises(RemoteFailed, match="cannot pull localhost:1/httpd:latest"):
        list(engine.images.pull("localhost:1/httpd"))
    with pytest.raises(NotFound):
        engine.images.get("localhost:1/httpd")


@pytest.mark.slow
def test_debian_ubuntu_and_httpd_share_their_first_layer(stocked_engine: Engine) -> None:
    images = [pull(stocked_engine, name) for name in ("debian", "ubuntu:18.04", "httpd:alpine")]
    assert len({image.chain_ids[0] for image in images}) == 1
    assert said(stocked_engine, "debian", "cat", "/etc/debian_version")


@pytest.mark.slow
def test_packages_can_be_installed_inside(stocked_engine: Engine) -> None:
    pull(stocked_engine, "debian")
    script = "apt-get update -qq && apt-get install -y -qq --no-install-recommends tini >/dev/null"
    output = said(stocked_engine, "debian", "sh", "-c", f"({script}) 2>&1; tini --version")
    assert "tini version" in output


@pytest.mark.slow
def test_httpd_serves_logs_and_stops_as_the_original_does(stocked_engine: Engine) -> None:
    engine = stocked_engine
    image = pull(engine, "httpd")
    assert image.config.exposed_ports == ("80/tcp",)
    assert image.config.cmd == ("httpd-foreground",)
    assert image.config.working_dir == "/usr/local/apache2"
    assert image.config.stop_signal == "SIGWINCH"
    web = engine.containers.run(ContainerSpec(image="httpd", name="web"), detach=True)
    address = engine.containers.get("web").ip_address
    assert "It works!" in await_page(f"http://{address}/")
    engine.containers.stop("web")
    stopped = engine.containers.get("web")
    assert (stopped.status, stopped.exit_code) == (Status.EXITED, 0)
    log = b"".join(line.text for line in engine.containers.logs(web.id)).decode()
    assert '"GET / HTTP/1.1" 200' in log
    assert "caught SIGWINCH, shutting down gracefully" in log
