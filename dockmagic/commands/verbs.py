"""The registry of Docker's verbs: names, groups, summaries, and where the module of each is.

A verb has one key: `ps`, or `network_create` for one that exists in a group only. Its module is
imported when the verb is used, so that a terminal command pays for one verb only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Verb:
    """A verb that may stand first on a line. `own` verbs are not Docker's; help does not list
    `hidden` ones.

    No `msgspec.Struct`: `--help` and an unknown command are to end before that is imported.
    """

    __slots__ = ("hidden", "name", "own", "summary")

    def __init__(self, *, name: str, summary: str, own: bool = False, hidden: bool = False) -> None:
        self.name = name
        self.summary = summary
        self.own = own
        self.hidden = hidden


# Key: (module below this package, summary in Docker's words).
_TABLE: Final[dict[str, tuple[str, str]]] = {
    "__complete": (
        "system.complete", "Request shell completion choices for the specified command-line"
    ),
    "attach": (
        "container.attach",
        "Attach local standard input, output, and error streams to a running container",
    ),
    "build": ("builder.build", "Build an image from a Dockerfile"),
    "builder_prune": ("builder.prune", "Remove build cache"),
    "buildx_du": ("builder.disk_usage", "Disk usage"),
    "commit": ("container.commit", "Create a new image from a container's changes"),
    "completion": (
        "system.completion", "Generate the autocompletion script for the specified shell"
    ),
    "compose": ("system.compose", "Define and run multi-container applications with Docker"),
    "container_inspect": (
        "container.inspect", "Display detailed information on one or more containers"
    ),
    "container_prune": ("container.prune", "Remove all stopped containers"),
    "cp": ("container.cp", "Copy files/folders between a container and the local filesystem"),
    "create": ("container.create", "Create a new container"),
    "diff": (
        "container.diff", "Inspect changes to files or directories on a container's filesystem"
    ),
    "events": ("system.events", "Get real time events from the server"),
    "exec": ("container.exec", "Execute a command in a running container"),
    "explain": (
        "container.explain", "Show how a container was made or an image built, step by step"
    ),
    "export": ("container.export", "Export a container's filesystem as a tar archive"),
    "files": (
        "system.files", "List the files in a directory of a container or an image"
    ),
    "history": ("image.history", "Show the history of an image"),
    "image_inspect": (
        "image.inspect", "Display detailed information on one or more images"
    ),
    "image_prune": ("image.prune", "Remove unused images"),
    "images": ("image.images", "List images"),
    "import": (
        "image.import", "Import the contents from a tarball to create a filesystem image"
    ),
    "info": ("system.info", "Display system-wide information"),
    "inspect": ("system.inspect", "Return low-level information on Docker objects"),
    "kill": ("container.kill", "Kill one or more running containers"),
    "layers": ("image.layers", "Show the layers of an image, or what two images share"),
    "load": ("image.load", "Load an image from a tar archive or STDIN"),
    "login": ("registry.login", "Authenticate to a registry"),
    "logout": ("registry.logout", "Log out from a registry"),
    "logs": ("container.logs", "Fetch the logs of a container"),
    "manifest_annotate": (
        "registry.manifest_annotate", "Add additional information to a local image manifest"
    ),
    "manifest_create": (
        "registry.manifest_create",
        "Create a local manifest list for annotating and pushing to a registry",
    ),
    "manifest_inspect": (
        "registry.manifest_inspect", "Display an image manifest, or manifest list"
    ),
    "manifest_push": ("registry.manifest_push", "Push a manifest list to a repository"),
    "manifest_rm": (
        "registry.manifest_rm", "Delete one or more manifest lists from local storage"
    ),
    "network_connect": ("network.connect", "Connect a container to a network"),
    "network_create": ("network.create", "Create a network"),
    "network_disconnect": ("network.disconnect", "Disconnect a container from a network"),
    "network_draw": ("network.draw", "Draw the networks of the engine as a picture"),
    "network_inspect": (
        "network.inspect", "Display detailed information on one or more networks"
    ),
    "network_ls": ("network.ls", "List networks"),
    "network_prune": ("network.prune", "Remove all unused networks"),
    "network_rm": ("network.rm", "Remove one or more networks"),
    "network_trace": ("network.trace", "Show the way of a packet to an address"),
    "pause": ("container.pause", "Pause all processes within one or more containers"),
    "port": ("container.port", "List port mappings or a specific mapping for the container"),
    "ps": ("container.ps", "List containers"),
    "pull": ("image.pull", "Download an image from a registry"),
    "push": ("image.push", "Upload an image to a registry"),
    "rename": ("container.rename", "Rename a container"),
    "restart": ("container.restart", "Restart one or more containers"),
    "rm": ("container.rm", "Remove one or more containers"),
    "rmi": ("image.rmi", "Remove one or more images"),
    "run": ("container.run", "Create and run a new container from an image"),
    "save": (
        "image.save", "Save one or more images to a tar archive (streamed to STDOUT by default)"
    ),
    "search": ("registry.search", "Search Docker Hub for images"),
    "serve": (
        "system.serve", "Serve Docker's Engine API to docker, docker-py, Compose and other clients"
    ),
    "start": ("container.start", "Start one or more stopped containers"),
    "stats": (
        "container.stats", "Display a live stream of container(s) resource usage statistics"
    ),
    "stop": ("container.stop", "Stop one or more running containers"),
    "system_df": ("system.df", "Show docker disk usage"),
    "system_prune": ("system.prune", "Remove unused data"),
    "system_dial-stdio": (
        "system.dial_stdio",
        "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
    ),
    "system_repair": (
        "system.repair", "Rebuild a damaged database from the files beside it"
    ),
    "tag": ("image.tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    "top": ("container.top", "Display the running processes of a container"),
    "unpause": ("container.unpause", "Unpause all processes within one or more containers"),
    "update": ("container.update", "Update configuration of one or more containers"),
    "version": ("system.version", "Show the Docker version information"),
    "volume_create": ("volume.create", "Create a volume"),
    "volume_inspect": ("volume.inspect", "Display detailed information on one or more volumes"),
    "volume_ls": ("volume.ls", "List volumes"),
    "volume_prune": ("volume.prune", "Remove unused local volumes"),
    "volume_rm": ("volume.rm", "Remove one or more volumes"),
    "volume_update": ("volume.update", "Update a volume (cluster volumes only)"),
    "wait": (
        "container.wait",
        "Block until one or more containers stop, then print their exit codes",
    ),
}  # fmt: skip
_HIDDEN: Final = frozenset(["__complete", "completion"])
_OWN: Final = frozenset(
    ["explain", "files", "layers", "network_draw", "network_trace", "serve", "system_repair"]
)
# Docker's help shows these first.
COMMON: Final = (
    "run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version",
    "info",
)  # fmt: skip
_CONTAINER: Final = (
    "attach", "commit", "cp", "create", "diff", "exec", "explain", "export", "kill", "logs",
    "pause", "port", "rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause",
    "update", "wait",
)  # fmt: skip
_IMAGE: Final = ("build", "history", "import", "layers", "load", "pull", "push", "save", "tag")
_NETWORK: Final = (
    "connect", "create", "disconnect", "draw", "inspect", "ls", "prune", "rm", "trace",
)  # fmt: skip
_MANIFEST: Final = ("annotate", "create", "inspect", "push", "rm")

# `docker container ls` and its like: the same verbs under the name of what they act on.
GROUPS: Final[dict[str, dict[str, str]]] = {
    "builder": {"build": "build", "prune": "builder_prune"},
    "buildx": {"build": "build", "b": "build", "du": "buildx_du", "prune": "builder_prune"},
    "container": {
        **{name: name for name in _CONTAINER},
        "inspect": "container_inspect", "prune": "container_prune", "ls": "ps", "list": "ps",
        "ps": "ps", "remove": "rm",
    },
    "image": {
        **{name: name for name in _IMAGE},
        "inspect": "image_inspect", "prune": "image_prune", "ls": "images", "list": "images",
        "rm": "rmi", "remove": "rmi",
    },
    "manifest": {name: f"manifest_{name}" for name in _MANIFEST},
    "network": {
        **{name: f"network_{name}" for name in _NETWORK},
        "list": "network_ls", "remove": "network_rm",
    },
    "system": {"df": "system_df", "events": "events", "info": "info", "prune": "system_prune",
        "repair": "system_repair", "dial-stdio": "system_dial-stdio"},
    "volume": {
        **{name: f"volume_{name}" for name in ("create", "inspect", "ls", "prune", "rm", "update")},
        "list": "volume_ls", "remove": "volume_rm",
    },
}  # fmt: skip
GROUP_SUMMARIES: Final = {
    "builder": "Manage builds",
    "buildx": "Docker Buildx",
    "container": "Manage containers",
    "image": "Manage images",
    "manifest": "Manage Docker image manifests and manifest lists",
    "network": "Manage networks",
    "system": "Manage Docker",
    "volume": "Manage volumes",
}
# Where Docker's help of a group says more than the list of groups does.
GROUP_DESCRIPTIONS: Final = {
    "manifest": """\
The **docker manifest** command has subcommands for managing image manifests and
manifest lists. A manifest list allows you to use one name to refer to the same image
built for multiple architectures.

To see help for a subcommand, use:

    docker manifest CMD --help

For full details on using docker manifest lists, see the registry v2 specification.

EXPERIMENTAL:
  docker manifest is an experimental feature.
  Experimental features provide early access to product functionality. These
  features may change between releases without warning, or can be removed from a
  future release. Learn more about experimental features in our documentation:
  https://docs.docker.com/go/experimental/"""
}
_GROUPED: Final = frozenset(key for verbs in GROUPS.values() for key in verbs.values())
VERBS: Final = tuple(
    Verb(name=key, summary=summary, own=key in _OWN, hidden=key in _HIDDEN)
    for key, (_, summary) in _TABLE.items()
    if key not in _GROUPED or "_" not in key
)


def names() -> list[str]:
    """Every word that can stand first on a line."""
    return sorted([verb.name for verb in VERBS if not verb.hidden] + list(GROUPS))


def module_of(key: str) -> str:
    """The full name of a verb's module."""
    return f"dockmagic.commands.{_TABLE[key][0]}"


def summary_of(key: str) -> str:
    return _TABLE[key][1]


def is_own(key: str) -> bool:
    return key in _OWN


def first_names(group: str) -> dict[str, str]:
    """The name of each verb in its group: of `ls` and `list` only `ls`."""
    return {verb: name for name, verb in reversed(GROUPS[group].items())}


def aliases(key: str) -> list[str]:
    """All ways to write a verb: `container ls`, `container list`, `container ps`, `ps`."""
    forms = [
        f"{group} {name}"
        for group, verbs in GROUPS.items()
        if group not in ("builder", "buildx")
        for name, verb in verbs.items()
        if verb == key
    ]
    forms += [key] if "_" not in key else []
    forms += [
        f"{group} {name}"
        for group in ("builder", "buildx")
        for name, verb in GROUPS[group].items()
        if verb == key
    ]
    return forms
