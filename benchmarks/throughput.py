"""How much goes through a published port: iperf3 from the host into a container, ours and Docker's.

`python benchmarks/throughput.py` needs iperf3 (Debian's package), and compares with Docker where it
is installed. Each round asks every address of every engine once, in alternation; the servers run
in the containers' network namespaces. It writes benchmarks/throughput.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "runtime")]

from benchmarks.peers import Docker  # noqa: E402
from dockmagic_runtime import Engine  # noqa: E402
from dockmagic_runtime.catalogue.applets import make_applet_root  # noqa: E402
from dockmagic_runtime.model.container import ContainerSpec, PortMapping  # noqa: E402

PORT: Final = 5201
WAYS: Final = ("the host's address", "127.0.0.1", "[::1]")
WANTED: Final = {"the host's address": 0.9, "[::1]": 0.5}  # times what Docker's gets


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A container with a published port. `enter`: the words that lead to its engine's host."""

    name: str
    pid: int
    gateway: str
    enter: tuple[str, ...] = ()

    def address(self, way: str) -> str:
        return {"the host's address": self.gateway, "[::1]": "::1"}.get(way, way)

    def measure(self, way: str, seconds: int) -> float:
        """Gbit/s that arrived."""
        words = ["iperf3", "-c", self.address(way), "-p", str(PORT), "-t", str(seconds), "-J"]
        done = subprocess.run([*self.enter, *words], capture_output=True, text=True, check=True)
        return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9


@contextlib.contextmanager
def ours(state: Path) -> Iterator[Target]:
    with Engine(state) as engine:
        for _ in engine.images.pull("busybox"):
            pass
        port = PortMapping(container_port=PORT, host_port=PORT)
        spec = ContainerSpec(image="busybox", command=("sleep", "3600"), ports=(port,))
        container = engine.containers.run(spec, detach=True)
        endpoint = engine.containers.inspect(container.id)["NetworkSettings"]
        try:
            yield Target(name="dockmagic", pid=container.pid, gateway=str(endpoint["Gateway"]))
        finally:
            engine.containers.remove(container.id, force=True)
            engine.system.dismantle()


@contextlib.contextmanager
def docker(state: Path) -> Iterator[Target]:
    state.mkdir()
    image = state / "busybox.tar"
    (state / "nothing").mkdir()
    make_applet_root(state / "nothing", image)
    with contextlib.closing(Docker(state, image)) as daemon:
        ports = f"--publish={PORT}:{PORT}"
        name = daemon.docker("run", "-d", ports, "busybox", "sleep", "3600").strip()
        (inspected,) = json.loads(daemon.docker("inspect", name))
        gateway = str(inspected["NetworkSettings"]["Gateway"])
        yield Target(
            name="Docker",
            pid=int(inspected["State"]["Pid"]),
            gateway=gateway,
            enter=tuple(daemon.namespaces.enter()),
        )


@contextlib.contextmanager
def served(target: Target) -> Iterator[Target]:
    """An iperf3 server in the container's network namespace."""
    words = ["nsenter", f"--target={target.pid}", "--net", "iperf3", "-s", "-p", str(PORT)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_listener(target.pid)
        yield target
    finally:
        server.terminate()
        server.wait()


def _await_listener(pid: int) -> None:
    listening = f":{PORT:04X} "
    deadline = time.monotonic() + 10
    while listening not in Path(f"/proc/{pid}/net/tcp6").read_text():
        if time.monotonic() > deadline:
            raise TimeoutError("iperf3 does not listen")
        time.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: 5)")
    parser.add_argument("--seconds", type=int, default=2, help="for each measurement (default: 2)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dockmagic-bench-")))
        targets = [stack.enter_context(ours(state / "ours"))]
        if all(map(shutil.which, ("dockerd", "containerd", "docker"))):
            targets.append(stack.enter_context(docker(state / "docker")))
        targets = [stack.enter_context(served(target)) for target in targets]
        rates = _alternate(targets, options.rounds, options.seconds)
    page = _page(targets, rates, options.rounds)
    print(page)
    (HERE / "throughput.md").write_text(page)
    return 0


def _alternate(targets: list[Target], rounds: int, seconds: int) -> dict[tuple[str, str], float]:
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for way in WAYS:
            for target in targets:
                rates.setdefault((target.name, way), []).append(target.measure(way, seconds))
    return {key: statistics.median(values) for key, values in rates.items()}


def _page(targets: list[Target], rates: dict[tuple[str, str], float], rounds: int) -> str:
    lines = [
        "# Throughput of a published port",
        "",
        "iperf3 over one connection, from the host into a container; medians of",
        f"{rounds} rounds on {os.cpu_count()} processors, by throughput.py. By the host's address",
        "nftables translates; the loopback addresses go by the port's proxy.",
        "",
        "| from the host to | "
        + " | ".join(target.name for target in targets)
        + " | ratio | wanted |",
        "|---|" + "---:|" * (len(targets) + 2),
    ]
    for way in WAYS:
        values = [rates[target.name, way] for target in targets]
        ratio = f"×{values[0] / values[1]:.2f}" if len(values) > 1 else "–"
        wanted = f"×{WANTED[way]}" if way in WANTED else "–"
        cells = " | ".join(f"{value:.1f} Gbit/s" for value in values)
        lines.append(f"| {way} | {cells} | {ratio} | {wanted} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    raise SystemExit(main())
