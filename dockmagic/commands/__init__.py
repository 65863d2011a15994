"""Docker's verbs: one module each, with `parser()` and `run(engine, arguments)`.

`VERBS` is the registry; a verb's module is imported when the verb is used, so that a terminal
command pays for one verb only. `parse` reads a line, `execute` runs it. Nothing
here prints, exits or knows a notebook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Flag, HelpAsked, Parser, WrongUsage
from dockmagic.commands.output.result import Outcome, Result, Verb
from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.suggest import did_you_mean

if TYPE_CHECKING:
    from dockmagic_runtime.engine.engine import Engine

VERBS: tuple[Verb, ...] = (
    Verb(name="run", summary="Make a container from an image and run it"),
    Verb(name="exec", summary="Run a command in a running container"),
    Verb(name="ps", summary="List containers"),
    Verb(name="build", summary="Build an image from a Dockerfile"),
    Verb(name="pull", summary="Download an image"),
    Verb(name="images", summary="List images"),
    Verb(name="attach", summary="Join the input and output of a running container"),
    Verb(name="commit", summary="Create a new image from a container's changes"),
    Verb(name="cp", summary="Copy files/folders between a container and the local filesystem"),
    Verb(name="create", summary="Make a container without starting it"),
    Verb(name="diff", summary="Show what a container changed in its files"),
    Verb(name="events", summary="Show what happens to containers, images, networks and volumes"),
    Verb(name="explain", summary="Show how a container was made or an image built, step by step"),
    Verb(name="export", summary="Export a container's filesystem as a tar archive"),
    Verb(name="history", summary="Show the history of an image"),
    Verb(name="import", summary="Create an image from the contents of a tarball"),
    Verb(name="info", summary="Show what the engine knows of itself and of this machine"),
    Verb(name="inspect", summary="Show all that is known of objects: containers, images, …"),
    Verb(name="kill", summary="Kill running containers"),
    Verb(name="layers", summary="Show the layers of an image"),
    Verb(name="load", summary="Load images from a tar archive"),
    Verb(name="login", summary="Log in to a registry"),
    Verb(name="logout", summary="Log out from a registry"),
    Verb(name="logs", summary="Show what a container wrote"),
    Verb(name="pause", summary="Freeze all processes of containers"),
    Verb(name="port", summary="List port mappings or a specific mapping for the container"),
    Verb(name="push", summary="Upload an image to a registry"),
    Verb(name="rename", summary="Rename a container"),
    Verb(name="restart", summary="Stop containers and start them again"),
    Verb(name="rm", summary="Remove containers"),
    Verb(name="rmi", summary="Remove images"),
    Verb(name="save", summary="Save images to a tar archive"),
    Verb(name="search", summary="Search a registry for images"),
    Verb(name="start", summary="Start stopped containers"),
    Verb(name="stats", summary="Show what containers use"),
    Verb(name="stop", summary="Stop running containers"),
    Verb(name="tag", summary="Give an image one more name"),
    Verb(name="top", summary="Display the running processes of a container"),
    Verb(name="unpause", summary="Let paused containers go on"),
    Verb(name="update", summary="Change the limits of containers"),
    Verb(name="version", summary="Show the version"),
    Verb(name="wait", summary="Wait until containers stop, then show their exit codes"),
)

# Where the module of each verb is: its package, and its name there.
_PACKAGES: dict[str, str] = {
    "build": "builder.build",
    "builder_prune": "builder.prune",
    "buildx_du": "builder.disk_usage",
    "attach": "container.attach",
    "commit": "container.commit",
    "cp": "container.cp",
    "create": "container.create",
    "diff": "container.diff",
    "exec": "container.exec",
    "explain": "container.explain",
    "export": "container.export",
    "kill": "container.kill",
    "logs": "container.logs",
    "pause": "container.pause",
    "port": "container.port",
    "ps": "container.ps",
    "rename": "container.rename",
    "restart": "container.restart",
    "rm": "container.rm",
    "run": "container.run",
    "start": "container.start",
    "stats": "container.stats",
    "stop": "container.stop",
    "top": "container.top",
    "unpause": "container.unpause",
    "update": "container.update",
    "wait": "container.wait",
    "container_prune": "container.prune",
    "history": "image.history",
    "image_prune": "image.prune",
    "images": "image.images",
    "import": "image.import",
    "layers": "image.layers",
    "load": "image.load",
    "pull": "image.pull",
    "push": "image.push",
    "rmi": "image.rmi",
    "save": "image.save",
    "tag": "image.tag",
    "network_connect": "network.connect",
    "network_create": "network.create",
    "network_disconnect": "network.disconnect",
    "network_draw": "network.draw",
    "network_inspect": "network.inspect",
    "network_ls": "network.ls",
    "network_prune": "network.prune",
    "network_rm": "network.rm",
    "network_trace": "network.trace",
    "login": "registry.login",
    "logout": "registry.logout",
    "manifest_inspect": "registry.manifest_inspect",
    "search": "registry.search",
    "events": "system.events",
    "info": "system.info",
    "inspect": "system.inspect",
    "system_df": "system.df",
    "system_prune": "system.prune",
    "version": "system.version",
    "volume_create": "volume.create",
    "volume_inspect": "volume.inspect",
    "volume_ls": "volume.ls",
    "volume_prune": "volume.prune",
    "volume_rm": "volume.rm",
}

# Docker's, and still to come: asking for one says so.
PLANNED = frozenset(
    [
        "compose",
        "config",
        "context",
        "node",
        "plugin",
        "secret",
        "service",
        "stack",
        "swarm",
        "trust",
    ]
)

# `docker container ls` and its like: the same verbs under the name of what they act on.
GROUPS: dict[str, dict[str, str]] = {
    "builder": {"build": "build", "prune": "builder_prune"},
    "buildx": {"build": "build", "b": "build", "du": "buildx_du", "prune": "builder_prune"},
    "container": {
        **{name: name for name in (
            "attach", "commit", "cp", "create", "diff", "exec", "explain", "export", "inspect",
            "kill", "logs", "pause", "port", "rename", "restart", "rm", "run", "start", "stats",
            "stop", "top", "unpause", "update", "wait",
        )},
        "prune": "container_prune", "ls": "ps", "list": "ps", "ps": "ps", "remove": "rm",
    },
    "image": {
        **{name: name for name in (
            "build", "history", "import", "inspect", "layers", "load", "pull", "push", "save",
            "tag",
        )},
        "prune": "image_prune", "ls": "images", "list": "images", "rm": "rmi", "remove": "rmi",
    },
    "manifest": {"inspect": "manifest_inspect"},
    "network": {
        **{name: f"network_{name}" for name in (
            "connect", "create", "disconnect", "draw", "inspect", "ls", "prune", "rm", "trace",
        )},
        "list": "network_ls", "remove": "network_rm",
    },
    "system": {
        "df": "system_df", "events": "events", "info": "info", "prune": "system_prune",
    },
    "volume": {
        **{name: f"volume_{name}" for name in ("create", "inspect", "ls", "prune", "rm")},
        "list": "volume_ls", "remove": "volume_rm",
    },
}  # fmt: skip
_PLANNED_IN_GROUPS = {
    "buildx": frozenset(
        "bake create debug dial-stdio history imagetools inspect ls rm stop use version".split()
    ),
    "manifest": frozenset(["annotate", "create", "push", "rm"]),
    "system": frozenset(["dial-stdio"]),
    "volume": frozenset(["update"]),  # of volumes that a Swarm shares
}


def names() -> list[str]:
    """Every verb that can be written first on a line."""
    return sorted([verb.name for verb in VERBS] + list(GROUPS))


def module(verb: str) -> Any:
    """The module of a verb: `volume create` is `volume_create`, found in `volume/create.py`."""
    verb = verb.replace(" ", "_")
    return import_module(f"dockmagic.commands.{_PACKAGES[verb]}")


def parser(verb: str, extra: Mapping[str, tuple[Flag, ...]] | None = None) -> Parser:
    """A verb's grammar, with the flags that the caller has of its own."""
    grammar = cast("Parser", module(verb).parser())
    more = (extra or {}).get(verb, ())
    return replace(grammar, flags=(*grammar.flags, *more)) if more else grammar


def resolve(words: Sequence[str]) -> tuple[str, list[str]]:
    """The verb that a line means, and the words behind it.

    Raises HelpAsked for `--help` and for no words at all, WrongUsage and Unsupported.
    """
    if not words or words[0] in ("--help", "-h", "help"):
        raise HelpAsked(_help_on(words[1:]))
    first, rest = words[0], list(words[1:])
    if first in ("--version", "-v"):
        return "version", rest
    if first.startswith("-"):
        raise _unknown(f"unknown flag: {first}", did_you_mean(first, ("--help", "--version")))
    if first in GROUPS:
        return _resolve_in_group(first, rest)
    if first in {verb.name for verb in VERBS}:
        return first, rest
    if first in PLANNED:
        raise Unsupported(f"'docker {first}' is not supported yet", hint=_SEE)
    raise _unknown(f"unknown command: docker {first}", did_you_mean(first, names()))


_SEE = "See 'docker --help' for the commands that are."


def _unknown(message: str, hint: str, group: str = "") -> InvalidInput:
    see = f"See 'docker {group} --help'." if group else "See 'docker --help'."
    error = InvalidInput(message, hint=" ".join(filter(None, [hint, see])))
    error.exit_code = 1
    return error


def _resolve_in_group(group: str, rest: list[str]) -> tuple[str, list[str]]:
    verbs = GROUPS[group]
    if not rest or rest[0] in ("--help", "-h"):
        raise HelpAsked(_group_help(group))
    name, *words = rest
    if name in _PLANNED_IN_GROUPS.get(group, ()):
        raise Unsupported(f"'docker {group} {name}' is not supported yet", hint=_SEE)
    if name not in verbs:
        message = f"unknown command: docker {group} {name}"
        raise _unknown(message, did_you_mean(name, verbs), group)
    if verbs[name] == "inspect":
        words = [f"--type={group}", *words]
    return verbs[name], words


def parse(words: Sequence[str], extra: Mapping[str, tuple[Flag, ...]] | None = None) -> Arguments:
    """The arguments of a whole line. No effect, and no engine is needed."""
    verb, rest = resolve(words)
    return parser(verb, extra).parse(rest)


def execute(engine: Engine, arguments: Arguments) -> Outcome:
    """Not called `run`: the module of that verb becomes an attribute of this package."""
    return cast("Outcome", module(arguments.verb).run(engine, arguments))


def _help_on(words: Sequence[str]) -> str:
    """`docker help run` is `docker run --help`."""
    if not words:
        return help_text()
    verb, _ = resolve(words)
    return parser(verb).help()


def help_text() -> str:
    """What `docker --help` prints."""
    commands = _listed({verb.name: verb.summary for verb in VERBS})
    return "\n".join(
        [
            "",
            "Usage:  docker COMMAND [OPTIONS]",
            "",
            "Commands:",
            *commands,
            "",
            f"Also as 'docker GROUP COMMAND' with the groups {', '.join(GROUPS)}.",
            "Run 'docker COMMAND --help' for more on a command. In a terminal,",
            "'docker --trace COMMAND' also tells what each operation of a start took.",
        ]
    )


def _group_help(group: str) -> str:
    """Each of its verbs once: `list` and `remove` are understood, and written `ls` and `rm`."""
    first = {verb: name for name, verb in reversed(GROUPS[group].items())}
    summaries = {name: parser(verb).summary for verb, name in first.items()}
    return "\n".join(
        [
            "",
            f"Usage:  docker {group} COMMAND",
            "",
            "Commands:",
            *_listed(summaries),
            "",
            f"Run 'docker {group} COMMAND --help' for more on a command.",
        ]
    )


def _listed(summaries: Mapping[str, str]) -> list[str]:
    width = max(map(len, summaries)) + 2
    return [f"  {name:<{width}}{summary}" for name, summary in sorted(summaries.items())]


__all__ = [
    "GROUPS", "PLANNED", "VERBS", "HelpAsked", "Result", "WrongUsage", "execute", "help_text",
    "module", "names", "parse", "parser", "resolve",
]  # fmt: skip
