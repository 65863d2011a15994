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
from dockmagic_runtime.model.selective import Selective


class BuildWarning(Struct, frozen=True, kw_only=True):
    """What is allowed and unwise. `rule` names a build check; `line` to `last_line` (0 for none)
    are in the Dockerfile, and `excerpt` shows them."""

    text: str  # in one line, as a terminal shows it
    reason: str = ""  # the same without rule and line
    rule: str = ""
    line: int = 0
    last_line: int = 0
    excerpt: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def url(self) -> str:
        """Docker's page about the rule; "" without a rule."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", self.rule).lower()
        return f"https://docs.docker.com/go/dockerfile/rule/{name}/" if name else ""


class PlannedStep(Struct, frozen=True, kw_only=True):
    """A step that will be executed or found in the cache, known before the first one begins.

    `number`, `name` and `instruction` are those that its StepStarted will have; it stands in the
    lines `line` to `last_line`. It is the `place`th of `count` in the stage `stage`, and waits for
    the stages `needs`. The builder's own steps have a number and a name only.
    """

    number: int
    name: str
    instruction: str = ""
    line: int = 0
    last_line: int = 0
    stage: str = ""
    place: int = 0
    count: int = 0
    needs: tuple[str, ...] = ()


class BuildStarted(Struct, frozen=True, kw_only=True):
    """The plan is made: `steps` is the number of its last step, and those that have not been done
    yet are `planned`, in `stages` stages at the same time."""

    steps: int
    stages: int = 1
    warnings: tuple[BuildWarning, ...] = ()
    planned: tuple[PlannedStep, ...] = ()


class StepStarted(Struct, frozen=True, kw_only=True):
    """A step begins: one of the Dockerfile, or one of the builder's own around them.

    `number` counts from 1 over all of a build. `name` is what BuildKit calls the step:
    `[base 2/3] RUN make`, `[internal] load .dockerignore`, `exporting to image`. `instruction` is
    as written, continuation lines joined, and empty for the builder's own steps; so is `line` 0.
    `time` is in seconds since the epoch.
    """

    number: int
    name: str
    instruction: str = ""
    line: int = 0
    last_line: int = 0
    time: float = 0.0


class StepOutput(Struct, frozen=True, kw_only=True):
    number: int
    stream: str  # "stdout" | "stderr"
    data: bytes


class StepStatus(Struct, frozen=True, kw_only=True):
    """Part of a step: `transferring context`, `naming to docker.io/library/x`, a layer's pull.

    A later status with the same `id` takes the place of an earlier one. `current` and `total`
    count bytes; both are 0 where there is nothing to count.
    """

    number: int
    id: str
    current: int = 0
    total: int = 0
    done: bool = False
    is_note: bool = False  # a line for the user, such as that a stand-in is used


class StepDone(Struct, frozen=True, kw_only=True):
    """A step has ended. `error` is set where it failed and the build goes on without it. `time` is
    in seconds since the epoch."""

    number: int
    cached: bool = False
    seconds: float = 0.0
    chain_id: str = ""
    size: int = 0  # bytes of the layer the step made, 0 for metadata
    reason: str = ""  # why the cache was missed
    created: str = ""  # when the result was made, RFC 3339
    files: int = 0  # that were compared
    error: str = ""
    time: float = 0.0


class StepFailed(Struct, frozen=True, kw_only=True):
    """The step for which the build fails: the error is raised next, and is the reason.

    `line` to `last_line` are its lines in the Dockerfile, 0 for one of the builder's own. `left`
    names the files as the step left them, "" if there are none: `builds.failed(left)` is an image
    that begins with a shell there, as is `docker run -it --from-failed` for the last one.
    """

    number: int
    reason: str
    line: int = 0
    last_line: int = 0
    left: str = ""
    time: float = 0.0


class BuildDone(Struct, frozen=True, kw_only=True):
    image: Image
    tags: tuple[str, ...]
    seconds: float
    warnings: tuple[BuildWarning, ...] = ()
    explanation: BuildExplanation | None = None
    last_step: int = 0  # the number of the last step, for steps that the caller adds


BuildEvent = (
    BuildStarted | StepStarted | StepOutput | StepStatus | StepDone | StepFailed | BuildDone
)


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
