"""The instructions of a Dockerfile as frozen values, each with its place in the file.

Words are kept as written, quotes and variables included: only the builder knows the values.
Equality asks what an instruction means, not where it stands.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from dockmagic_runtime.dockerfile.lines import Heredoc
from dockmagic_runtime.model.selective import Selective


class Position(Struct, frozen=True, kw_only=True):
    """The lines of an instruction, heredocs included, and the column it begins at."""

    line: int
    last_line: int
    column: int = 1


class Instruction(Selective, frozen=True, kw_only=True):
    """What all have: place, text (continuation lines joined, no heredoc contents), heredocs,
    comments."""

    not_shown: ClassVar[frozenset[str]] = frozenset({"position", "text", "comments", "remarks"})
    not_compared: ClassVar[frozenset[str]] = frozenset({"position", "text", "comments", "remarks"})

    keyword: ClassVar[str] = ""

    position: Position
    text: str
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()  # right above it
    remarks: tuple[str, ...] = ()  # all before and in it

    def description(self, name: str) -> str:
        """What a comment right above says of a stage or an argument: `# NAME description`."""
        begin = f"{name} "
        described = (line for line in self.comments if name and line.startswith(begin))
        return next(described, "").removeprefix(begin)


class Pair(Struct, frozen=True):
    """`name=value` of ENV, LABEL and ARG. `value` None: an ARG without default."""

    name: str
    value: str | None


class Command(Struct, frozen=True):
    """The shell form (one string, for SHELL to interpret) or the exec form (the very argv)."""

    args: tuple[str, ...]
    is_shell: bool


class RunMount(Struct, frozen=True, kw_only=True):
    """One `RUN --mount`: its type and options; flags without a value have the value "true"."""

    kind: str
    options: dict[str, str]
    word: str  # as written


class From(Instruction, frozen=True, kw_only=True):
    keyword = "FROM"
    image: str
    platform: str = ""
    name: str = ""  # lower-cased, as stages are compared


class Label(Instruction, frozen=True, kw_only=True):
    keyword = "LABEL"
    pairs: tuple[Pair, ...]
    legacy: bool = False  # `LABEL name value`


class Env(Instruction, frozen=True, kw_only=True):
    keyword = "ENV"
    pairs: tuple[Pair, ...]
    legacy: bool = False


class Arg(Instruction, frozen=True, kw_only=True):
    keyword = "ARG"
    pairs: tuple[Pair, ...]


class Run(Instruction, frozen=True, kw_only=True):
    keyword = "RUN"
    command: Command
    mounts: tuple[RunMount, ...] = ()
    network: str = ""  # "default" | "none" | "host"
    security: str = ""  # "sandbox" | "insecure"
    devices: tuple[str, ...] = ()


class _Transfer(Instruction, frozen=True, kw_only=True):
    """COPY and ADD. A source may be a heredoc's mark; it is then in `heredocs` too."""

    sources: tuple[str, ...]
    destination: str
    is_json: bool = False
    chown: str = ""
    chmod: str = ""
    link: bool = False
    excludes: tuple[str, ...] = ()

    def heredoc(self, source: str) -> Heredoc | None:
        if self.is_json:
            return None
        return next((heredoc for heredoc in self.heredocs if heredoc.mark == source), None)


class Copy(_Transfer, frozen=True, kw_only=True):
    keyword = "COPY"
    from_: str = ""
    parents: bool = False


class Add(_Transfer, frozen=True, kw_only=True):
    keyword = "ADD"
    keep_git_dir: bool = False
    checksum: str = ""
    unpack: bool | None = None


class Cmd(Instruction, frozen=True, kw_only=True):
    keyword = "CMD"
    command: Command


class Entrypoint(Instruction, frozen=True, kw_only=True):
    keyword = "ENTRYPOINT"
    command: Command


class Workdir(Instruction, frozen=True, kw_only=True):
    keyword = "WORKDIR"
    path: str


class Expose(Instruction, frozen=True, kw_only=True):
    keyword = "EXPOSE"
    ports: tuple[str, ...]


class User(Instruction, frozen=True, kw_only=True):
    keyword = "USER"
    user: str


class Volume(Instruction, frozen=True, kw_only=True):
    keyword = "VOLUME"
    paths: tuple[str, ...]
    is_json: bool = False


class StopSignal(Instruction, frozen=True, kw_only=True):
    keyword = "STOPSIGNAL"
    signal: str


class Healthcheck(Instruction, frozen=True, kw_only=True):
    """`test` is as in an image's config: NONE, CMD and argv, or CMD-SHELL and a line.

    Times are nanoseconds, 0 where the default holds; so is `retries`.
    """

    keyword = "HEALTHCHECK"
    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Shell(Instruction, frozen=True, kw_only=True):
    keyword = "SHELL"
    args: tuple[str, ...]


class Onbuild(Instruction, frozen=True, kw_only=True):
    """`expression` is the trigger as text, heredocs included: what an image's config keeps."""

    keyword = "ONBUILD"
    not_compared: ClassVar[frozenset[str]] = Instruction.not_compared | {"expression"}

    trigger: Instruction
    expression: str


class Maintainer(Instruction, frozen=True, kw_only=True):
    keyword = "MAINTAINER"
    maintainer: str


KEYWORDS: tuple[str, ...] = tuple(
    kind.keyword
    for kind in (
        From,
        Label,
        Env,
        Arg,
        Run,
        Copy,
        Add,
        Cmd,
        Entrypoint,
        Workdir,
        Expose,
        User,
        Volume,
        StopSignal,
        Healthcheck,
        Shell,
        Onbuild,
        Maintainer,
    )
)
