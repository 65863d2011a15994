"""Images as large as real ones: pull, push, save, load, commit, and a list of a hundred.

`python benchmarks/images.py` makes one image of 190 MB in 28,000 files, moves it through a
registry on loopback (Debian's docker-registry) and through archives, and prints medians, with the
most memory that the process ever had. Every round begins with empty areas.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "runtime"))

from dockmagic_runtime import Engine
from dockmagic_runtime.model.commit import CommitSpec, ImportSpec
from dockmagic_runtime.model.container import ContainerSpec

FILES, SIZE = 28_000, 6_800
COMMITTED = 20_000
LISTED = 100
WANTED = {
    "pull": 4.0, "push": 5.0, "save": 3.0, "load": 3.0, "commit": 1.2, "images": 0.005
}  # fmt: skip
Times = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (default: 3)")
    rounds = parser.parse_args().rounds
    times: Times = {name: [] for name in WANTED}
    with tempfile.TemporaryDirectory(prefix="dockmagic-bench-") as directory:
        archive = Path(directory) / "tree.tar"
        make_tree(archive)
        for number in range(rounds):
            measure(Path(directory) / str(number), archive, times)
    page = _page(times, rounds)
    print(page)
    (Path(__file__).parent / "images.md").write_text(page)
    return 0


def _page(times: Times, rounds: int) -> str:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    rows = [
        f"| {name} | {statistics.median(times[name]):.3f} s | {wanted} s |"
        for name, wanted in WANTED.items()
    ]
    return "\n".join(
        [
            "# Images",
            "",
            f"{FILES} files of {SIZE} bytes in one layer; commit of {COMMITTED} files; a list of",
            f"{LISTED} images. Medians of {rounds} rounds on {os.cpu_count()} processors, by",
            "this program. A push compresses, as nothing has been pushed before.",
            "",
            "| | measured | wanted |",
            "|---|---|---|",
            *rows,
            f"| most memory | {memory} MiB | 100 MiB |",
            "",
        ]
    )


def make_tree(path: Path) -> None:
    """Files of program text, which compresses as real layers do."""
    library = Path(sysconfig.get_paths()["stdlib"])
    text = b"".join(file.read_bytes() for file in sorted(library.glob("*.py")))
    choose = random.Random(1)
    with tarfile.open(path, "w") as tar:
        for number in range(FILES):
            member = tarfile.TarInfo(f"usr/share/d{number // 100}/file{number}.txt")
            member.size = SIZE
            start = choose.randrange(len(text) - SIZE)
            tar.addfile(member, io.BytesIO(text[start : start + SIZE]))


def measure(folder: Path, archive: Path, times: Times) -> None:
    folder.mkdir()
    with registry(folder) as host, Engine(folder / "ours") as ours:
        name = f"{host}/big:1"
        with archive.open("rb") as file:
            ours.images.import_image(file, ImportSpec(reference=name))
        timed(times, "push", lambda: list(ours.images.push(name)))
        with (folder / "saved").open("wb") as out:
            timed(times, "save", lambda: ours.images.save([name], out))
        with Engine(folder / "pulled") as theirs:
            timed(times, "pull", lambda: list(theirs.images.pull(name)))
        with Engine(folder / "loaded") as theirs, (folder / "saved").open("rb") as source:
            timed(times, "load", lambda: list(theirs.images.load(source)))
        measure_commit(ours, times)
        measure_list(ours, name, times)


def measure_commit(engine: Engine, times: Times) -> None:
    list(engine.images.pull("busybox"))
    script = f"mkdir /d; cd /d; for i in $(seq {COMMITTED}); do echo $i > f$i; done"
    command = ("sh", "-c", script)
    spec = ContainerSpec(image="busybox", command=command, name="made", network="none")
    process = engine.containers.run(spec)
    for _ in process.output():
        pass
    process.wait()
    timed(
        times, "commit", lambda: engine.containers.commit("made", CommitSpec(reference="committed"))
    )
    engine.containers.remove("made")


def measure_list(engine: Engine, name: str, times: Times) -> None:
    for number in range(LISTED):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(f"f{number}"))
        data.seek(0)
        engine.images.import_image(data, ImportSpec(reference=f"listed:{number}"))
    timed(times, "images", engine.images.list)


def timed(times: Times, name: str, action: Callable[[], object]) -> None:
    began = time.perf_counter()
    action()
    times[name].append(time.perf_counter() - began)


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    config = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": "127.0.0.1:0", "secret": "s"},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    process = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
    )
    try:
        assert process.stderr is not None
        matches = (re.search(r"listening on (127\.0\.0\.1:\d+)", line) for line in process.stderr)
        host = next(match[1] for match in matches if match)
        threading.Thread(target=process.stderr.read).start()  # it would block on a full pipe
        yield host
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
