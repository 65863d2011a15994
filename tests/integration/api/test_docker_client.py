"""The real Docker client, where it is installed, on the Engine API of ours."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.network]
Docker = Callable[..., "subprocess.CompletedProcess[str]"]


def _client() -> str:
    """The newest client on the PATH that is Docker's own."""
    for directory in os.environ["PATH"].split(os.pathsep):
        program = f"{directory}/docker"
        if os.access(program, os.X_OK):
            version = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=False
            )
            if re.match(r"Docker version (2[89]|[3-9]\d)\.", version.stdout):
                return program
    return ""


CLIENT = _client() if shutil.which("docker") else ""
pytestmark.append(
    pytest.mark.skipif(not CLIENT, reason="optional: Docker's client 28 is not installed")
)


@pytest.fixture
def docker(address: str, tmp_path: Path) -> Docker:
    environ = {
        **os.environ,
        "DOCKER_HOST": address,
        "DOCKER_CONFIG": str(tmp_path / "config"),
        "DOCKER_BUILDKIT": "0",
        "HOME": str(tmp_path),
    }

    def docker(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CLIENT, *words], input=stdin, env=environ, cwd=tmp_path,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return docker


# Each line: the words after `docker`, the exit code, and a pattern that stdout (or, after a
# failure, stderr) matches. They are executed in this order on one engine.
TABLE = r"""
version --format {{.Server.Version}}                       | 0   | 0\.1\.0
info --format {{.ServerVersion}}                           | 0   | 0\.1\.0
run --rm busybox echo hello                                | 0   | hello
run --rm busybox sh -c 'exit 5'                            | 5   |
run --rm busybox nosuch                                    | 127 | executable file not found
run --rm nosuch.invalid/none                               | 125 | Unable to find image
run -d --name web -p 127.0.0.1::80 -l tier=a busybox httpd -f | 0 | [0-9a-f]{64}
run -d --name web busybox                                  | 125 | is already in use
ps --format {{.Names}}                                     | 0   | web
ps -q --filter label=tier=b                                | 0   | $
port web 80                                                | 0   | 127\.0\.0\.1:\d+
exec web cat /etc/hostname                                 | 0   | [0-9a-f]{12}
exec -w /tmp -e A=1 web sh -c 'echo $A; pwd'               | 0   | 1\n/tmp
exec web sh -c 'exit 7'                                    | 7   |
exec web nosuch                                            | 127 |
top web                                                    | 0   | (?s)UID.*httpd
stats --no-stream --format {{.Name}} web                   | 0   | web
inspect -f {{.State.Status}} web                           | 0   | running
inspect nosuch                                             | 1   | [Nn]o such object
logs web                                                   | 0   | $
pause web                                                  | 0   | web
unpause web                                                | 0   | web
update --memory 64m --memory-swap 64m web                  | 0   | web
rename web site                                            | 0   |
restart -t 0 site                                          | 0   | site
stop -t 1 site                                             | 0   | site
stop site                                                  | 0   | site
start site                                                 | 0   | site
start nosuch                                               | 1   | No such container: nosuch
kill site                                                  | 0   | site
kill site                                                  | 1   | is not running
wait site                                                  | 0   | 137
diff site                                                  | 0   | $
commit -m why site kept:1                                  | 0   | sha256:[0-9a-f]{64}
history --format {{.Comment}} kept:1                       | 0   | why
images --format {{.Repository}}:{{.Tag}} kept              | 0   | kept:1
tag kept:1 kept:2                                          | 0   |
save -o kept.tar kept:1                                    | 0   |
rmi kept:1 kept:2                                          | 0   | (?s)Untagged: kept:1.*Deleted:
load -i kept.tar                                           | 0   | Loaded image: kept:1
rmi busybox                                                | 1   | conflict
image inspect -f {{.Os}} kept:1                            | 0   | linux
rm site                                                    | 0   | site
rm nosuch                                                  | 1   | No such container: nosuch
volume create data                                         | 0   | data
run --rm -v data:/d busybox sh -c 'echo kept > /d/f'       | 0   |
run --rm --mount type=volume,src=data,dst=/d busybox cat /d/f | 0 | kept
run --rm --tmpfs /t:size=1m busybox df /t                  | 0   | tmpfs
volume inspect -f {{.Driver}} data                         | 0   | local
volume rm data                                             | 0   | data
network create --label a=b inner                           | 0   | [0-9a-f]{64}
run -d --name db --network inner busybox sleep 1000        | 0   | [0-9a-f]{64}
run --rm --network inner busybox ping -c 1 -W 5 db         | 0   | 1 packets received
network inspect -f '{{range .Containers}}{{.Name}}{{end}}' inner | 0 | db
network disconnect inner db                                | 0   |
network connect --alias other inner db                     | 0   |
network rm inner                                           | 1   | has active endpoints
rm -f db                                                   | 0   | db
network rm inner                                           | 0   | inner
system df --format {{.Type}}                               | 0   | Images
swarm leave                                                | 1   | not part of a swarm
node ls                                                    | 1   | not a swarm manager
plugin ls --format {{.Name}}                               | 0   | $
image rm kept:1                                            | 0   | Untagged
container prune -f                                         | 0   | Total reclaimed space
"""


def test_a_table_of_commands(docker: Docker) -> None:
    import shlex

    for line in filter(None, TABLE.splitlines()):
        command, code, pattern = (part.strip() for part in line.split("|", 2))
        ran = docker(*shlex.split(command))
        said = ran.stderr if ran.returncode and ran.returncode != 7 else ran.stdout
        assert ran.returncode == int(code), f"{command}: {ran}"
        assert re.search(pattern, said.strip() or ran.stdout.strip()), f"{command}: {ran}"


def test_input_reaches_run_and_exec(docker: Docker) -> None:
    assert docker("run", "--rm", "-i", "busybox", "cat", stdin="typed\n").stdout == "typed\n"
    docker("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    assert docker("exec", "-i", "box", "wc", "-c", stdin="x" * 100_000).stdout == "100000\n"
    assert docker("run", "--rm", "-i", "busybox", "true", stdin="x" * 300_000).returncode == 0


def test_files_in_and_out(docker: Docker, tmp_path: Path) -> None:
    docker("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_text("hello")
    assert docker("cp", "tree", "box:/tmp").returncode == 0
    assert docker("exec", "box", "cat", "/tmp/tree/a").stdout == "hello"
    assert docker("cp", "box:/tmp/tree/a", "back").returncode == 0
    assert (tmp_path / "back").read_text() == "hello"
    assert docker("cp", "box:/nosuch", "back").returncode == 1
    assert "A /tmp/tree" in docker("diff", "box").stdout
    assert docker("export", "-o", "all.tar", "box").returncode == 0
    assert (tmp_path / "all.tar").stat().st_size > 1_000_000


def test_a_build_in_the_classic_builders_words(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "ctx").mkdir()
    (tmp_path / "ctx/Dockerfile").write_text(
        "FROM busybox\nARG WHAT\nCOPY note /\nRUN echo $WHAT > /made\nCMD cat /note /made\n"
    )
    (tmp_path / "ctx/note").write_text("note\n")
    built = docker("build", "-t", "made", "--build-arg", "WHAT=that", "ctx")
    assert built.returncode == 0, built
    assert re.search(
        r"Successfully built [0-9a-f]{12}\nSuccessfully tagged made:latest", built.stdout
    )
    assert docker("run", "--rm", "made").stdout == "note\nthat\n"
    (tmp_path / "ctx/Dockerfile").write_text("FROM busybox\nRUN exit 9\n")
    failed = docker("build", "ctx")
    assert failed.returncode == 1
    assert "returned a non-zero code: 9" in failed.stderr or "exit code: 9" in failed.stderr
    docker("rmi", "-f", "made")


def test_a_terminal(docker: Docker, address: str, tmp_path: Path) -> None:
    """`run -it`: prompt, echo, the size of the terminal, and the shell's exit code."""
    environ = {
        **os.environ,
        "DOCKER_HOST": address,
        "DOCKER_CONFIG": str(tmp_path),
        "TERM": "xterm",
    }
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(CLIENT, [CLIENT, "run", "--rm", "-it", "busybox", "sh"], environ)
    os.set_blocking(terminal, False)
    seen = _until(terminal, "# ")
    os.write(terminal, b"tty; exit 4\n")
    seen += _until(terminal, "/dev/")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert "/dev/pts/" in seen or "/dev/" in seen
    assert os.waitstatus_to_exitcode(status) == 4


def _until(terminal: int, text: str) -> str:
    seen, deadline = "", time.monotonic() + 20
    while text not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 65536).decode(errors="replace")
            except OSError:
                break
    return seen
