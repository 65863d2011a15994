"""Which verb a line asks for, behind the global options."""

from __future__ import annotations

from dockmagic.commands.usage import HelpAsked, WrongUsage
from dockmagic.commands.verbs import GROUPS, VERBS, names
from dockmagic.version import __version__
from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockmagic.commands.options.flags import Arguments

_SEE = "See 'docker --help' for the commands that are."
_ENGINES = "commands go to the engine of this machine"
_SWARM = (
    "there is no Swarm here: 'docker run --restart always' keeps a container running, "
    "'docker network create' joins several"
)
# Commands of Docker that are still to come, or that need what is not here: what to do instead.
PLANNED: dict[str, str] = {
    "checkpoint": "'docker commit' keeps a container's files, and nothing keeps its processes",
    "config": _SWARM,
    "context": _ENGINES,
    "node": _SWARM,
    "plugin": "volumes, networks and logs have their built-in drivers only",
    "secret": "there is no Swarm here: mount a file with 'docker run -v FILE:/run/secrets/NAME:ro'",
    "service": _SWARM,
    "stack": _SWARM,
    "swarm": _SWARM,
    "trust": "signatures of images are not verified",
}
_PLANNED_IN_GROUPS: dict[str, dict[str, str]] = {
    "buildx": dict.fromkeys(
        "bake create debug dial-stdio history imagetools inspect ls rm stop use version".split(),
        "",
    ),
}


class Line:
    """The key of a verb, the form in which it was asked for, and the words behind it.

    `config` is the directory of client config files, if the line names one. (See `verbs.Verb`.)
    """

    __slots__ = ("config", "form", "verb", "words")

    def __init__(self, *, verb: str, form: str, words: list[str], config: str = "") -> None:
        self.verb = verb
        self.form = form
        self.words = words
        self.config = config


def resolve(words: Sequence[str]) -> Line:
    """Raises HelpAsked for `--help` and for no command at all, InvalidInput and Unsupported."""
    config = ""
    if len(words) == 1 and words[0] in ("--help", "-h"):  # without the grammar of the others
        raise _help()
    if words and words[0].startswith("-"):
        options = _global_options(words)
        words, config = options.words, options.flag("config")
        if options.flag("version"):
            raise HelpAsked(f"dockmagic version {__version__}")
    if not words:
        raise _help(on_stderr=True)
    first, rest = words[0], list(words[1:])
    if first == "help":
        raise HelpAsked(_help_on(rest))
    if first in GROUPS:
        verb, form, rest = _in_group(first, rest)
        return Line(verb=verb, form=form, words=rest, config=config)
    if first in {verb.name for verb in VERBS}:
        return Line(verb=first, form=first, words=rest, config=config)
    if "--help" in rest and first not in PLANNED:  # asked for what is there, as with cobra
        raise _help()
    raise _unknown(first)


def _global_options(words: Sequence[str]) -> Arguments:
    from dockmagic.commands.global_options import check_global_options, read_global_options

    options = read_global_options(words)
    check_global_options(options)
    return options


def _help(*, on_stderr: bool = False) -> HelpAsked:
    from dockmagic.commands.help import help_text

    return HelpAsked(help_text(), on_stderr=on_stderr)


def _unknown(first: str) -> InvalidInput | Unsupported:
    if first in PLANNED:
        return Unsupported(f"'docker {first}' is not supported yet", hint=PLANNED[first])
    hint = did_you_mean(first, names())
    return WrongUsage(f"unknown command: docker {first}", verb="", hint=hint, exit_code=1)


def _in_group(group: str, rest: list[str]) -> tuple[str, str, list[str]]:
    from dockmagic.commands.help import group_help

    if not rest or rest[0] in ("--help", "-h"):
        raise HelpAsked(group_help(group), on_stderr=not rest)
    name, *words = rest
    form = f"{group} {name}"
    absent = _PLANNED_IN_GROUPS.get(group, {})
    if name in absent:
        raise Unsupported(f"'docker {form}' is not supported yet", hint=absent[name] or _SEE)
    if name in GROUPS[group]:
        return GROUPS[group][name], form, words
    if name.startswith("-"):
        raise WrongUsage(
            f"unknown flag: {name}"
            if name.startswith("--")
            else f"unknown shorthand flag: '{name[1:2]}' in {name}",
            verb=group,
            usage=f"docker {group}",
        )
    if "--help" in words:
        raise HelpAsked(group_help(group))
    raise WrongUsage(
        f"unknown command: docker {form}",
        verb=group,
        hint=did_you_mean(name, GROUPS[group]),
        exit_code=1,
        usage=f"docker {group}",
    )


def _no_topic(words: Sequence[str], hint: str) -> InvalidInput:
    return InvalidInput(f"unknown help topic: {words[-1]}", hint=hint)


def _help_on(words: Sequence[str]) -> str:
    """`docker help run` is `docker run --help`."""
    from dockmagic.commands.help import group_help, help_text

    if not words:
        return help_text()
    if words[0] in GROUPS and len(words) == 1:
        return group_help(words[0])
    from dockmagic.commands import parser
    from dockmagic.commands.help import verb_help

    try:
        line = resolve(words)
    except WrongUsage as error:
        raise _no_topic(words, error.hint) from None
    if line.words:
        raise _no_topic(words, "")
    return verb_help(parser(line.verb, form=line.form))
