"""A build: what is asked for (`BuildRequest`), and the events that it yields, in order."""

from __future__ import annotations

import re
from typing import ClassVar, Protocol

from msgspec import Struct, field

from dockmagic_runtime.model import forms
from dockmagic_runtime.model.checked import Checked
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.model.explanation import BuildExplanation
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullStatus
from dockmagic_runtime.model.selective import Selective


class BuildWarning(Struct, frozen=True, kw_only=True):
    """What is allowed and unwise. `rule` names a build check, `line` (0 for none) is in the
    Dockerfile, and `excerpt` shows it."""

    text: str  # in one line, as a terminal shows it
    reason: str = ""  # the same without rule and line
    rule: str = ""
    line: int = 0
    excerpt: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def url(self) -> str:
        """Docker's page about the rule; "" without a rule."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", self.rule).lower()
        return f"https://docs.docker.com/go/dockerfile/rule/{name}/" if name else ""


class BuildStarted(Struct, frozen=True, kw_only=True):
    steps: int
    stages: int = 1  # that are built, in parallel
    warnings: tuple[BuildWarning, ...] = ()


class StepStarted(Struct, frozen=True, kw_only=True):
    number: int  # 1-based, of `BuildStarted.steps`
    instruction: str  # as written, continuation lines joined
    line: int


class StepOutput(Struct, frozen=True, kw_only=True):
    number: int
    stream: str  # "stdout" | "stderr"
    data: bytes


class StepDone(Struct, frozen=True, kw_only=True):
    number: int
    cached: bool
    seconds: float
    chain_id: str = ""
    size: int = 0  # bytes of the layer the step made, 0 for metadata
    reason: str = ""  # why the cache was missed
    created: str = ""  # when the result was made, RFC 3339
    files: int = 0  # that were compared


class BuildDone(Struct, frozen=True, kw_only=True):
    image: Image
    tags: tuple[str, ...]
    seconds: float
    warnings: tuple[BuildWarning, ...] = ()
    explanation: BuildExplanation | None = None


BuildEvent = BuildStarted | StepStarted | StepOutput | StepDone | PullStatus | BuildDone


class BuildOutput(Struct, frozen=True):
    """`--output`: the image's files besides the image: "local" into the directory `path`, or
    "tar" into that file, "-" for standard output. `names` are further tags."""

    kind: str
    path: str
    names: tuple[str, ...] = ()


class BuildCacheSpec(Struct, frozen=True, kw_only=True):
    """`--cache-from` or `--cache-to`. `kind` is "local" (a directory), "registry" (a reference)
    or "inline" (the image itself, only to). `mode` is "min", for what the image is made of, or
    "max", for all steps. `tag` and `digest` choose in a directory.
    """

    kind: str
    where: str = ""
    mode: str = "min"
    tag: str = "latest"
    digest: str = ""
    ignore_error: bool = False


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class BuildRequest(Selective, Checked, frozen=True, kw_only=True):
    """One `build`. `dockerfile` is the text, or None: then `file_name` is read in the context.
    `context` is a directory on the host, an address (http, https, Git), or None; or `context_tar`
    is read, an archive or the text of a Dockerfile.

    `secrets` are their values by id; `ssh` the socket of an agent by id. `build_contexts` replace
    an image or a stage of that name: a directory, an address, or `docker-image://NAME`. `allow`
    are the entitlements that a Dockerfile may make use of: "network.host", "security.insecure".
    """

    not_shown: ClassVar[frozenset[str]] = frozenset({"context_tar", "secrets"})
    unchecked: ClassVar[frozenset[str]] = frozenset({"context_tar"})
    forms: ClassVar = {
        "build_args": forms.mapping,
        "labels": forms.mapping,
        "add_hosts": forms.hosts,
        "resources": forms.resources,
        "ulimits": forms.ulimits,
        "shm_size": forms.size,
    }

    dockerfile: str | None
    context: str | None
    context_tar: Readable | None = None
    tags: tuple[str, ...] = ()
    file_name: str = "Dockerfile"
    build_args: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    target: str = ""
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()  # names or numbers: their steps are done anew
    pull: bool = False
    network: str = "bridge"
    secrets: dict[str, bytes] = field(default_factory=dict)
    ssh: dict[str, str] = field(default_factory=dict)
    build_contexts: dict[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    resources: Resources = Resources()
    ulimits: dict[str, tuple[int, int]] = field(default_factory=dict)
    shm_size: int = 64 * 1024 * 1024
    cgroup_parent: str = ""
    outputs: tuple[BuildOutput, ...] = ()
    ignore: str | None = None  # instead of the context's .dockerignore: that beside the Dockerfile
    cache_from: tuple[BuildCacheSpec, ...] = ()
    cache_to: tuple[BuildCacheSpec, ...] = ()
    check: bool = False  # only look for what is wrong or unwise: `BuildStarted` is the last event
