"""The instructions of a Dockerfile as frozen values, each with its place in the file.

Words are kept as written, quotes and variables included: only the builder knows the values.
Equality asks what an instruction means, not where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from dockmagic_runtime.dockerfile.lines import Heredoc


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The lines of an instruction, heredocs included, and the column it begins at."""

    line: int
    last_line: int
    column: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What all have: place, text (continuation lines joined, no heredoc contents), heredocs,
    comments."""

    keyword: ClassVar[str] = ""

    position: Position = field(compare=False, repr=False)
    text: str = field(compare=False, repr=False)
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = field(default=(), compare=False, repr=False)  # right above it
    remarks: tuple[str, ...] = field(default=(), compare=False, repr=False)  # all before and in it

    def description(self, name: str) -> str:
        """What a comment right above says of a stage or an argument: `# NAME description`."""
        begin = f"{name} "
        found = (one[len(begin) :] for one in self.comments if name and one.startswith(begin))
        return next(found, "")


@dataclass(frozen=True, slots=True)
class Pair:
    """`name=value` of ENV, LABEL and ARG. `value` None: an ARG without default."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Command:
    """The shell form (one string, for SHELL to interpret) or the exec form (the very argv)."""

    args: tuple[str, ...]
    is_shell: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMount:
    """One `RUN --mount`: its type and options; flags without a value have the value "true"."""

    kind: str
    options: dict[str, str]
    word: str  # as written


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    keyword = "FROM"
    image: str
    platform: str = ""
    name: str = ""  # lower-cased, as stages are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    keyword = "LABEL"
    pairs: tuple[Pair, ...]
    legacy: bool = False  # `LABEL name value`


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    keyword = "ENV"
    pairs: tuple[Pair, ...]
    legacy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    keyword = "ARG"
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    keyword = "RUN"
    command: Command
    mounts: tuple[RunMount, ...] = ()
    network: str = ""  # "default" | "none" | "host"
    security: str = ""  # "sandbox" | "insecure"
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Transfer(Instruction):
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
        return next((one for one in self.heredocs if one.mark == source), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(_Transfer):
    keyword = "COPY"
    from_: str = ""
    parents: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(_Transfer):
    keyword = "ADD"
    keep_git_dir: bool = False
    checksum: str = ""
    unpack: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    keyword = "CMD"
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    keyword = "ENTRYPOINT"
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    keyword = "WORKDIR"
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    keyword = "EXPOSE"
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    keyword = "USER"
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    keyword = "VOLUME"
    paths: tuple[str, ...]
    is_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    keyword = "STOPSIGNAL"
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    keyword = "SHELL"
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """`expression` is the trigger as text, heredocs included: what an image's config keeps."""

    keyword = "ONBUILD"
    trigger: Instruction
    expression: str = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
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
