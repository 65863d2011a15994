"""The plan's steps: frozen values that say all that a step does, before anything is done."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from msgspec import Struct, field

from dockmagic_runtime.builder.plan.chmod import Mode
from dockmagic_runtime.builder.plan.config import StageConfig
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.dockerfile import Dockerfile
from dockmagic_runtime.dockerfile.instructions import Instruction, Run
from dockmagic_runtime.model.build import BuildWarning
from dockmagic_runtime.model.selective import Selective


class Base(Struct, frozen=True, kw_only=True):
    """A stage's base image as the plan needs it: `config` is its whole OCI config document."""

    image_id: str
    config: dict[str, Any]
    chain_ids: tuple[str, ...] = ()
    was_pulled: bool = False


class Step(Struct, frozen=True, kw_only=True):
    """One instruction of a stage. `instruction` has its variables expanded, `config` is that
    after it.

    `number` and `name` are those of the build's progress; instructions that only change the
    config have neither. `identity` is what of the step itself decides whether a result can be
    used again; the layers below and the contents it copies come on top (see `cache.store`).
    """

    number: int = 0
    name: str = ""
    stage: int
    instruction: Instruction
    config: StageConfig
    created_by: str
    file_name: str

    @property
    def text(self) -> str:
        """As written, continuation lines joined."""
        return self.instruction.text

    @property
    def line(self) -> int:
        return self.instruction.position.line

    @property
    def last_line(self) -> int:
        return self.instruction.position.last_line

    @property
    def place(self) -> str:
        return f"{self.file_name}:{self.line}"

    @property
    def identity(self) -> str:
        return ""

    @property
    def needs(self) -> tuple[int, ...]:
        """The stages that must be there before it."""
        return ()

    @property
    def sources_of_files(self) -> tuple[SourceStage, ...]:
        """What it takes files from, besides its own stage."""
        return ()

    def describe(self) -> str:
        return f"{self.created_by}: changes the image's config only, no layer"


class BaseStep(Step, frozen=True, kw_only=True):
    """FROM: what the stage begins with: an image, an earlier stage, or nothing (`scratch`)."""

    base: Base | None = None
    from_stage: int | None = None
    reference: str = ""

    @property
    def needs(self) -> tuple[int, ...]:
        return () if self.from_stage is None else (self.from_stage,)

    def describe(self) -> str:
        if self.from_stage is not None:
            return f"begin stage {self.stage} with the result of stage {self.from_stage}"
        if self.base is None:
            return f"begin stage {self.stage} with nothing"
        layers = len(self.base.chain_ids)
        return f"begin stage {self.stage} with the {layers} layers of {self.reference}"


class ConfigStep(Step, frozen=True, kw_only=True):
    """An instruction that only changes the config, or declares an ARG."""


class WorkdirStep(Step, frozen=True, kw_only=True):
    """WORKDIR: the directory is made if it is missing, in a layer of its own then, and belongs to
    `user`, which is as in USER."""

    path: str
    user: str = ""

    @property
    def identity(self) -> str:
        return json.dumps(["WORKDIR", self.path, self.user])

    def describe(self) -> str:
        return f"make the directory {self.path} if it is missing; commands run there from now on"


class StepMount(Struct, frozen=True, kw_only=True):
    """One `RUN --mount`, its words expanded. `target` is empty for a secret that is a variable
    only; `source` is a path in `source_stage`, for a cache one inside the cache.
    """

    kind: str  # "bind" | "cache" | "tmpfs" | "secret" | "ssh"
    target: str
    source: str = "/"
    source_stage: SourceStage | None = None  # of a cache: what a new one begins with
    read_only: bool = False
    id: str = ""
    sharing: str = "shared"
    size: int = 0
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    required: bool = False
    env: str = ""

    @property
    def identity(self) -> list[Any]:
        """What of it counts for the cache: no secret's value, no place that files come from."""
        return [
            self.kind, self.target, self.source, self.read_only, self.id, self.sharing, self.size,
            self.mode, self.uid, self.gid, self.required, self.env,
        ]  # fmt: skip


class RunStep(Step, frozen=True, kw_only=True):
    """RUN: a process in a container on top of the layers so far; what it writes is the layer.

    `script` is a heredoc that begins with `#!`: (name, contents), put where `argv` expects it.
    """

    argv: tuple[str, ...]
    variables: tuple[str, ...]  # `name=value` of ENV and ARG
    proxies: tuple[str, ...] = ()  # the same of the builder's proxies
    arguments: frozenset[str] = frozenset()  # the names of the ARGs
    working_dir: str = "/"
    user: str = ""
    network: str = "bridge"
    script: tuple[str, str] | None = None
    mounts: tuple[StepMount, ...] = ()
    privileged: bool = False
    add_hosts: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[int, ...]:
        numbers = (source.stage for source in self.sources_of_files)
        return tuple(number for number in numbers if number is not None)

    @property
    def sources_of_files(self) -> tuple[SourceStage, ...]:
        sources = (mount.source_stage for mount in self.mounts)
        return tuple(source for source in sources if source is not None)

    @property
    def env(self) -> tuple[str, ...]:
        """The environment of the process: what the Dockerfile sets goes before the proxies."""
        given = dict(entry.partition("=")[::2] for entry in (*self.proxies, *self.variables))
        return tuple(f"{name}={value}" for name, value in given.items())

    @property
    def command(self) -> str:
        return " ".join(self.argv)

    @property
    def identity(self) -> str:
        # neither proxies nor the request's network: they are the builder's, not the image's
        given = self.instruction
        network = given.network if isinstance(given, Run) else ""
        what = (self.argv, self.variables, self.working_dir, self.user, network, self.script)
        mounts = [mount.identity for mount in self.mounts]
        return json.dumps(["RUN", *what, mounts, self.privileged, self.add_hosts])

    def describe(self) -> str:
        who = f" as {self.user}" if self.user else ""
        targets = [mount.target for mount in self.mounts if mount.target]
        beside = f" with mounts on {', '.join(targets)}" if targets else ""
        return (
            f"run `{self.command}` in {self.working_dir}{who}{beside}; "
            "what it writes becomes a layer"
        )


class Remote(Struct, frozen=True, kw_only=True):
    """A source of ADD that is not here: a file on a server or a Git repository.

    `name` is what a file is called by its address; `checksum` is "sha256:…", or a commit.
    """

    url: str
    name: str = ""
    checksum: str = ""
    keep_git_dir: bool = False


class TransferStep(Step, frozen=True, kw_only=True):
    """COPY or ADD. `destination` is absolute; `into` means it is a directory whatever is there.

    `documents` are heredocs: (name, contents).
    """

    sources: tuple[str, ...]
    destination: str
    into: bool
    documents: tuple[tuple[str, str], ...] = ()
    remotes: tuple[Remote, ...] = ()
    source_stage: SourceStage = field(default_factory=SourceStage)
    chown: str = ""
    mode: Mode | None = None
    excludes: tuple[str, ...] = ()
    unpacks: bool | None = False  # archives become what is in them; None: local ones do
    link: bool = False
    parents: bool = False  # the directories of the sources are made below the destination

    @property
    def needs(self) -> tuple[int, ...]:
        return () if self.source_stage.stage is None else (self.source_stage.stage,)

    @property
    def sources_of_files(self) -> tuple[SourceStage, ...]:
        return (self.source_stage,) if self.sources else ()

    @property
    def keyword(self) -> str:
        return self.instruction.keyword

    @property
    def identity(self) -> str:
        return json.dumps([
            self.keyword,
            self.sources,
            self.destination,
            self.into,
            self.documents,
            self.chown,
            self.mode.text if self.mode else None,
            self.excludes,
            self.unpacks,
            self.link,
            self.parents,
            [(remote.url, remote.checksum, remote.keep_git_dir) for remote in self.remotes],
        ])  # fmt: skip

    def describe(self) -> str:
        names = [*self.sources, *(remote.url for remote in self.remotes)]
        names += [f"the text {name}" for name, _ in self.documents]
        source_stage = f"from {self.source_stage.describe()} " if self.sources else ""
        return f"copy {', '.join(names)} {source_stage}to {self.destination}, in a layer of its own"


class Load(Struct, frozen=True):
    """A step of the builder's own: something is made ready before the stages begin."""

    number: int
    name: str


class Plan(Selective, frozen=True, kw_only=True):
    """The steps of the target and of all it needs, in order, and what to warn of.

    `config` is the config of the target with the request's labels; `last_number` is that of the
    last step.
    """

    not_shown: ClassVar[frozenset[str]] = frozenset({"source"})

    steps: tuple[Step, ...]
    target: int
    config: StageConfig
    loads: tuple[Load, ...] = ()
    last_number: int = 0
    warnings: tuple[BuildWarning, ...] = field(default=())
    epoch: int | None = None
    uncached: frozenset[int] = frozenset()  # stages that are executed without asking the cache
    source: Dockerfile | None = None

    def excerpt(self, step: Step) -> str:
        """The step's lines in the Dockerfile, as BuildKit shows them."""
        return self.source.listing(step.instruction.position) if self.source else ""
