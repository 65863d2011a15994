"""docker-py, as its documentation shows it, on the Engine API of ours."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator

import docker
import pytest
from docker import DockerClient
from docker.errors import APIError, BuildError, ContainerError, ImageNotFound, NotFound

pytestmark = [pytest.mark.root, pytest.mark.network]


@pytest.fixture
def client(address: str) -> Iterator[DockerClient]:
    with_timeout = docker.DockerClient(base_url=address, timeout=30)
    yield with_timeout
    with_timeout.close()


def test_the_server_introduces_itself(client: DockerClient) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.50"
    assert client.info()["ServerVersion"] == "0.1.0"


def test_run_returns_the_output(client: DockerClient) -> None:
    assert client.containers.run("busybox", "echo hello world", remove=True) == b"hello world\n"
    assert client.containers.list(all=True) == []


def test_both_streams_come_apart(client: DockerClient) -> None:
    line = ["sh", "-c", "echo out; echo err >&2"]
    assert client.containers.run("busybox", line, stdout=True, stderr=False) == b"out\n"
    assert client.containers.run("busybox", line, stdout=False, stderr=True) == b"err\n"


def test_an_exit_code_is_an_error(client: DockerClient) -> None:
    with pytest.raises(ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo no >&2; exit 7"], remove=True)
    assert caught.value.exit_status == 7
    assert caught.value.stderr == b"no\n"


def test_a_missing_program_and_a_missing_image(client: DockerClient) -> None:
    with pytest.raises(APIError, match="executable file not found") as caught:
        client.containers.run("busybox", "nosuch", remove=True)
    assert caught.value.status_code == 400
    with pytest.raises(ImageNotFound):
        client.images.get("nosuch")


def test_the_life_of_a_container(client: DockerClient) -> None:
    web = client.containers.run(
        "busybox",
        ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"],
        name="web",
        detach=True,
        environment={"A": "1"},
        labels={"tier": "front"},
        mem_limit="64m",
        restart_policy={"Name": "no"},
    )
    assert web.status == "created"
    assert client.containers.get("web").status == "running"
    assert web.attrs["Config"]["Env"][0] == "A=1"
    assert client.containers.list(filters={"label": "tier=front"}) == [web]
    assert client.containers.list(filters={"label": "tier=back"}) == []
    web.pause()
    web.reload()
    assert web.status == "paused"
    web.unpause()
    assert "sh" in web.top()["Processes"][0][-1]
    web.rename("site")
    web.stop(timeout=5)
    assert web.wait()["StatusCode"] == 3
    web.start()
    web.kill()
    assert web.wait()["StatusCode"] == 137
    web.remove()
    with pytest.raises(NotFound):
        client.containers.get("site")


def test_exec_with_exit_code_streams_and_input(client: DockerClient) -> None:
    box = client.containers.run("busybox", "sleep 1000", detach=True)
    assert box.exec_run("echo hi") == (0, b"hi\n")
    code, (out, err) = box.exec_run(["sh", "-c", "echo o; echo e >&2; exit 4"], demux=True)
    assert (code, out, err) == (4, b"o\n", b"e\n")
    assert box.exec_run("pwd", workdir="/tmp", user="1000", environment=["B=2"])[1] == b"/tmp\n"
    assert b"nosuch" in box.exec_run("nosuch")[1]
    _, sock = box.exec_run("cat", stdin=True, socket=True)
    sock._sock.sendall(b"typed")
    sock._sock.shutdown(1)  # half-close: the program's input ends, its output still comes
    assert sock.read() == b"\x01\0\0\0\0\0\0\x05typed"
    sock._sock.close()
    sock.close()


def test_logs_as_a_whole_and_followed(client: DockerClient) -> None:
    line = "for i in 1 2 3; do echo $i; sleep 0.1; done"
    box = client.containers.run("busybox", ["sh", "-c", line], detach=True)
    assert list(box.logs(stream=True, follow=True)) == [b"1\n", b"2\n", b"3\n"]
    assert box.logs(tail=1) == b"3\n"
    assert box.logs(timestamps=True).count(b"Z 2\n") == 1
    assert box.logs(since=int(time.time()) + 10) == b""


def test_files_in_and_out(client: DockerClient) -> None:
    box = client.containers.run("busybox", "sleep 1000", detach=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("note")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))
    assert box.put_archive("/tmp", packed.getvalue())
    chunks, stat = box.get_archive("/tmp/note")
    assert (stat["name"], stat["size"]) == ("note", 5)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        file = tar.extractfile("note")
        assert file is not None
        assert file.read() == b"hello"
    assert {"Path": "/tmp/note", "Kind": 1} in box.diff()
    assert b"tmp/note" in b"".join(box.export())
    with pytest.raises(NotFound):
        box.get_archive("/nosuch")


def test_a_sample_of_use(client: DockerClient) -> None:
    box = client.containers.run("busybox", "sleep 1000", detach=True)
    sample = box.stats(stream=False)
    assert sample["memory_stats"]["usage"] > 0
    assert sample["cpu_stats"]["online_cpus"] > 0
    assert sample["cpu_stats"]["system_cpu_usage"] > sample["precpu_stats"]["system_cpu_usage"]
    decoded = box.stats(stream=True, decode=True)
    assert [next(decoded)["name"], next(decoded)["name"]] == [f"/{box.name}"] * 2


def test_images_are_built_tagged_saved_and_loaded(client: DockerClient) -> None:
    dockerfile = io.BytesIO(b"FROM busybox\nRUN echo made > /made\nCMD cat /made\n")
    image, log = client.images.build(fileobj=dockerfile, tag="made:1")
    assert any("RUN echo made" in line.get("stream", "") for line in log)
    assert client.containers.run("made:1", remove=True) == b"made\n"
    assert image.tag("made", "2")
    image.reload()
    assert sorted(image.tags) == ["made:1", "made:2"]
    assert image.history()[0]["CreatedBy"].startswith("CMD")
    saved = b"".join(image.save(named=True))
    client.images.remove("made:1")
    client.images.remove("made:2")
    assert client.images.load(saved)[0].id == image.id
    assert client.images.list(filters={"reference": "made*"}) != []
    client.images.remove(image.id, force=True)


def test_a_failing_step_is_an_error_in_the_stream(client: DockerClient) -> None:
    with pytest.raises(BuildError, match="exit code: 9"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 9\n"))


def test_commit(client: DockerClient) -> None:
    box = client.containers.run("busybox", "touch /kept", detach=True)
    box.wait()
    image = box.commit("kept", "1", message="why", changes="CMD ls /kept")
    assert client.containers.run("kept:1", remove=True) == b"/kept\n"
    client.images.remove(image.id, force=True)


def test_networks(client: DockerClient) -> None:
    net = client.networks.create("inner", labels={"a": "b"})
    server = client.containers.run("busybox", "sleep 1000", name="db", network="inner", detach=True)
    assert client.containers.run("busybox", "ping -c 1 -W 5 db", network="inner", remove=True)
    net.reload()
    assert net.containers == [server]
    with pytest.raises(APIError) as caught:
        net.remove()
    assert caught.value.status_code in (403, 409)
    net.disconnect(server)
    net.connect(server, aliases=["other"])
    assert client.containers.run("busybox", "ping -c 1 -W 5 other", network="inner", remove=True)
    server.remove(force=True)
    net.remove()
    assert client.networks.list(names=["inner"]) == []


def test_volumes(client: DockerClient) -> None:
    volume = client.volumes.create("data", labels={"a": "b"})
    mounts = {"data": {"bind": "/d", "mode": "rw"}}
    client.containers.run("busybox", ["sh", "-c", "echo kept > /d/f"], volumes=mounts, remove=True)
    assert client.containers.run("busybox", "cat /d/f", volumes=mounts, remove=True) == b"kept\n"
    assert client.volumes.get("data").attrs["Labels"] == {"a": "b"}
    assert client.volumes.list(filters={"label": "a"}) == [volume]
    volume.remove()
    with pytest.raises(NotFound):
        client.volumes.get("data")


def test_events_of_a_run(client: DockerClient) -> None:
    since = time.time()
    client.containers.run("busybox", "true", remove=True)
    events = client.events(since=since, until=time.time(), decode=True)
    actions = [event["Action"] for event in events if event["Type"] == "container"]
    assert [a for a in actions if a != "attach"] == ["create", "start", "die", "destroy"]


def test_a_follower_of_events_that_leaves_ends_its_thread(client: DockerClient) -> None:
    events = client.events(decode=True)
    client.volumes.create("noticed")
    assert next(events)["Action"] == "create"
    events.close()
    client.volumes.get("noticed").remove()


def test_what_uses_the_disk_and_prune(client: DockerClient) -> None:
    client.containers.run("busybox", "true", detach=True).wait()
    usage = client.df()
    assert len(usage["Containers"]) == 1
    assert usage["LayersSize"] > 0
    assert len(client.containers.prune()["ContainersDeleted"]) == 1
    assert client.volumes.prune()["VolumesDeleted"] is None
