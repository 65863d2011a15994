"""What is measured: the rows of the table, and what all peers need for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

RUN, EXEC, PS = "run --rm busybox true", "exec true", "ps, 20 containers"
BUILD, REBUILD = "build, 12 steps of which 6 RUN", "the same, all cached"
DIFF = "diff, 20,000 new files"
COPY = "cp of the same to the host"
COMMIT = "commit of the same"
SIDE = "20 containers, started side by side"
MEMORY = "memory (PSS) that an idle container costs"
FIRST_RUNS, LAST_RUNS = "run --rm, the first 100 of 1,000", "run --rm, the last 100 of 1,000"
PARSE = "parse a Dockerfile of 500 lines"
LARGE = "decide a cached COPY of 20,000 files"
IMPORT, LOAD, FIRST = "import dockmagic", "%load_ext dockmagic", "%load_ext and the first %ps"

RUNNING: Final = 20
BIG: Final = "big"  # the container with the files
BIG_PATH: Final = "/d"
FILL: Final = (
    f"mkdir {BIG_PATH}; cd {BIG_PATH}; for i in $(seq 200); do mkdir $i; "
    "for j in $(seq 100); do echo $i/$j > $i/$j; done; done"
)
ON_FILES: Final = (DIFF, COMMIT, COPY)  # of the container with the files
HEAVY: Final = (DIFF, COMMIT, COPY, SIDE, LARGE)  # a quarter of the rounds will do
_KIB: Final = 1024


def build_context(directory: Path) -> Path:
    """A Dockerfile of 12 instructions, of which six run something, and the file that it copies."""
    runs = [f"RUN echo {number} > {number}" for number in range(6)]
    lines = ["FROM busybox", "ENV A=1", "WORKDIR /app", "COPY file /app/", *runs, "LABEL x=y",
             'CMD ["sh"]']  # fmt: skip
    directory.mkdir()
    (directory / "file").write_text("x")
    (directory / "Dockerfile").write_text("\n".join(lines) + "\n")
    return directory


def large_context(directory: Path) -> Path:
    """A Dockerfile that copies 20,000 small files, and these."""
    for number in range(200):
        (directory / str(number)).mkdir(parents=True)
        for name in range(100):
            (directory / str(number) / str(name)).write_text(f"{number}/{name}\n")
    (directory / "Dockerfile").write_text("FROM busybox\nCOPY . /all/\n")
    return directory


def proportional_size(pid: int) -> int:
    """Bytes of memory, shared pages divided by the processes that map them; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    sizes = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")]
    return int(sizes[0]) * _KIB


def processes_of(state: Path, names: tuple[str, ...]) -> list[int]:
    """Processes of one of these programs whose arguments name a path in `state`."""
    pids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        program = words[0].rpartition(b"/")[2].decode(errors="replace")
        if program.startswith(names) and any(bytes(state) in word for word in words[1:]):
            pids.append(int(entry.name))
    return pids
