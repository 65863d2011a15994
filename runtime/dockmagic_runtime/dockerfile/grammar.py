"""One logical line → one typed instruction. A function for each keyword, all of the same shape.

What is wrong raises `Refusal` with the offset in the line; what is merely unwise is noted. Words
are checked for mistakes that no value of a variable can mend, so that all are reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.errors import Refusal, near
from dockmagic_runtime.dockerfile.expand import unquote
from dockmagic_runtime.dockerfile.flags import read_flags
from dockmagic_runtime.dockerfile.health import healthcheck
from dockmagic_runtime.dockerfile.lines import LogicalLine, as_heredoc
from dockmagic_runtime.dockerfile.mounts import run_mount
from dockmagic_runtime.dockerfile.ports import names_host_port, parse_ports
from dockmagic_runtime.dockerfile.request import Request, command, note_failed_json
from dockmagic_runtime.dockerfile.words import (
    Word,
    cut,
    json_strings,
    plain_words,
    quoted_words,
    skip_blanks,
)
from dockmagic_runtime.errors import InvalidInput

_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9\-_.]*")
_SECRET: Final = re.compile(
    r"(?i)(?:^|_)(?:apikey|auth|credentials?|key|passwd|password|pword|secret|token)(?:$|_)"
)
_PUBLIC: Final = re.compile(r"(?i)(?:^|_)(?:public|file|version)(?:$|_)")
_FLAGS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "FROM": (("platform",), ()),
    "RUN": (("network", "security"), ("mount", "device")),
    "COPY": (("from", "chown", "chmod", "link!", "parents!"), ("exclude",)),
    "ADD": (("chown", "chmod", "link!", "keep-git-dir!", "checksum", "unpack!"), ("exclude",)),
    "HEALTHCHECK": (("interval", "timeout", "start-period", "start-interval", "retries"), ()),
}


def parse_line(
    line: LogicalLine, escape: str, start: int = 0
) -> tuple[i.Instruction, list[tuple[Refusal, str]]]:
    """The instruction of a line, or of its part from `start` on, and what is to be noted."""
    keyword, arguments = cut(line.text, start)
    name = keyword.text.upper()
    parser = _PARSERS.get(name)
    if parser is None:
        suggestion = near(name, i.KEYWORDS)
        raise Refusal(f"unknown instruction: {keyword.text}", keyword.offset, suggestion)
    once, many = _FLAGS.get(name, ((), ()))
    flags, arguments = read_flags(line.text, arguments, escape, once=once, many=many)
    request = Request(line, escape, name, keyword.offset, arguments, flags)
    return parser(request), request.notes


def _from(request: Request) -> i.Instruction:
    words = plain_words(request.text, request.start)
    name = ""
    if len(words) == 3 and words[1].text.lower() == "as":
        name = words[2].text.lower()
        if not _STAGE_NAME.fullmatch(name):
            raise Refusal(
                f'invalid name for build stage: "{words[2].text}", '
                "name can't start with a number or contain symbols",
                words[2].offset,
            )
        _note_stage_name(request, words[2])
    elif len(words) != 1:
        raise Refusal("FROM requires either one or three arguments", request.keyword_at)
    request.checked(words[:1])
    return request.instruction(
        i.From, image=words[0].text, platform=request.flags.text("platform"), name=name
    )


def _note_stage_name(request: Request, word: Word) -> None:
    if word.text != word.text.lower():
        request.note(
            "StageNameCasing", f"Stage name '{word.text}' should be lowercase", word.offset
        )
    if word.text.lower() in ("scratch", "context"):
        request.note("ReservedStageName", f'Stage name should not use reserved name "{word.text}"')


def _pairs(request: Request) -> tuple[tuple[i.Pair, ...], bool]:
    """ENV's and LABEL's `name=value …`, or the old `name value`."""
    words = quoted_words(request.text, request.start, request.escape)
    if not words:
        raise request.needs("at least one argument")
    if "=" not in words[0].text:
        return (_legacy_pair(request),), True
    request.checked(words)
    return tuple(_pair(request, word) for word in words), False


def _pair(request: Request, word: Word) -> i.Pair:
    name, equals, value = word.text.partition("=")
    if not equals:
        raise Refusal(
            f'Syntax error - can\'t find = in "{word.text}". Must be of the form: name=value',
            word.offset,
        )
    if not name:
        raise Refusal(f"{request.keyword} names can not be blank", word.offset)
    request.checked([Word(name, word.offset)])
    return i.Pair(name, value)


def _legacy_pair(request: Request) -> i.Pair:
    name, value_at = cut(request.text, request.start)
    value = Word(request.text[value_at:], value_at)
    if not value.text:
        raise Refusal(f"{request.keyword} must have two arguments", request.keyword_at)
    request.checked([name, value])
    request.note(
        "LegacyKeyValueFormat",
        f'"{request.keyword} key=value" should be used instead of legacy '
        f'"{request.keyword} key value" format',
    )
    return i.Pair(name.text, value.text)


def _label(request: Request) -> i.Instruction:
    pairs, legacy = _pairs(request)
    return request.instruction(i.Label, pairs=pairs, legacy=legacy)


def _env(request: Request) -> i.Instruction:
    pairs, legacy = _pairs(request)
    _note_secrets(request, pairs)
    return request.instruction(i.Env, pairs=pairs, legacy=legacy)


def _arg(request: Request) -> i.Instruction:
    words = quoted_words(request.text, request.start, request.escape)
    if not words:
        raise request.needs("at least one argument")
    request.checked(words)
    pairs = []
    for word in words:
        name, equals, value = word.text.partition("=")
        if not name:
            raise Refusal("ARG names can not be blank", word.offset)
        request.checked([Word(name, word.offset)])
        pairs.append(i.Pair(name, value if equals else None))
    _note_secrets(request, tuple(pairs))
    return request.instruction(i.Arg, pairs=tuple(pairs))


def _note_secrets(request: Request, pairs: tuple[i.Pair, ...]) -> None:
    for pair in pairs:
        if _SECRET.search(pair.name) and not _PUBLIC.search(pair.name):
            request.note(
                "SecretsUsedInArgOrEnv",
                "Do not use ARG or ENV instructions for sensitive data "
                f'({request.keyword} "{pair.name}")',
            )


def _run(request: Request) -> i.Instruction:
    line = command(request, request.start)
    if not line.args:
        raise request.needs("at least one argument")
    return request.instruction(
        i.Run,
        command=line,
        mounts=tuple(run_mount(request, word) for word in request.flags.words("mount")),
        network=_choice(request, "network", ("default", "none", "host")),
        security=_choice(request, "security", ("sandbox", "insecure")),
        devices=request.flags.texts("device"),
    )


def _choice(request: Request, flag: str, values: tuple[str, ...]) -> str:
    value = request.flags.plain(flag)
    if value and value not in values:
        raise Refusal(
            f'{flag} "{value}" is not supported',
            request.flags.offset(flag),
            near(value, values),
        )
    return value


def _paths(request: Request) -> tuple[list[Word], bool]:
    """COPY's, ADD's and VOLUME's arguments, in JSON or separated by blanks."""
    strings = json_strings(request.text, request.start)
    if strings is not None:
        words = [Word(text, request.start) for text in strings]
    else:
        note_failed_json(request, request.start)
        words = plain_words(request.text, request.start)
    marked = (word for word in words if strings or not as_heredoc(word.text, request.escape))
    try:
        request.checked(marked)
    except Refusal as refusal:
        if strings is None and refusal.reason.endswith("-quote"):
            refusal.reason += "; paths with blanks need the JSON form"
        raise
    return words, strings is not None


def _transfer(request: Request) -> dict[str, Any]:
    words, is_json = _paths(request)
    if len(words) < 2:
        raise request.needs(
            "at least two arguments, but only one was provided. Destination could not be determined"
            if words
            else "at least two arguments"
        )
    *sources, destination = words
    if not is_json and as_heredoc(destination.text, request.escape):
        raise Refusal(
            f"{request.keyword} cannot accept a heredoc as a destination", destination.offset
        )
    return {
        "sources": tuple(word.text for word in sources),
        "destination": destination.text,
        "is_json": is_json,
        "chown": request.flags.text("chown"),
        "chmod": request.flags.text("chmod"),
        "link": bool(request.flags.switch("link")),
        "excludes": request.flags.texts("exclude"),
    }


def _copy(request: Request) -> i.Instruction:
    fields = _transfer(request)
    return request.instruction(
        i.Copy,
        from_=request.flags.plain("from"),
        parents=bool(request.flags.switch("parents")),
        **fields,
    )


def _add(request: Request) -> i.Instruction:
    fields = _transfer(request)
    return request.instruction(
        i.Add,
        keep_git_dir=bool(request.flags.switch("keep-git-dir")),
        checksum=request.flags.text("checksum"),
        unpack=request.flags.switch("unpack"),
        **fields,
    )


def _cmd(request: Request) -> i.Instruction:
    return request.instruction(i.Cmd, command=command(request, request.start))


def _entrypoint(request: Request) -> i.Instruction:
    return request.instruction(i.Entrypoint, command=command(request, request.start))


def _one_argument(request: Request) -> str:
    if not request.rest:
        raise request.needs("exactly one argument")
    request.checked([Word(request.rest, request.start)])
    return request.rest


def _workdir(request: Request) -> i.Instruction:
    return request.instruction(i.Workdir, path=_one_argument(request))


def _user(request: Request) -> i.Instruction:
    return request.instruction(i.User, user=_one_argument(request))


def _stop_signal(request: Request) -> i.Instruction:
    return request.instruction(i.StopSignal, signal=_one_argument(request))


def _maintainer(request: Request) -> i.Instruction:
    if not request.rest:
        raise request.needs("exactly one argument")
    request.note(
        "MaintainerDeprecated", "Maintainer instruction is deprecated in favor of using label"
    )
    return request.instruction(i.Maintainer, maintainer=request.rest)


def _expose(request: Request) -> i.Instruction:
    words = plain_words(request.text, request.start)
    if not words:
        raise request.needs("at least one argument")
    request.checked(words)
    for word in words:
        if "$" not in word.text:
            _check_port(request, word)
    return request.instruction(i.Expose, ports=tuple(word.text for word in words))


def _check_port(request: Request, word: Word) -> None:
    text = unquote(word.text, request.escape)
    try:
        parse_ports(text)
    except InvalidInput as error:
        raise Refusal(error.message, word.offset) from None
    if names_host_port(text):
        request.note(
            "ExposeInvalidFormat",
            "EXPOSE instruction should not define an IP address or host-port mapping, "
            f"found '{text}'",
            word.offset,
        )


def _volume(request: Request) -> i.Instruction:
    words, is_json = _paths(request)
    if not words:
        raise request.needs("at least one argument")
    if any(not word.text.strip() for word in words):
        raise Refusal("VOLUME specified can not be an empty string", request.keyword_at)
    return request.instruction(i.Volume, paths=tuple(word.text for word in words), is_json=is_json)


def _shell(request: Request) -> i.Instruction:
    args = json_strings(request.text, request.start)
    if args is None:
        raise Refusal("SHELL requires the arguments to be in JSON form", request.start)
    if not args:
        raise request.needs("at least one argument")
    return request.instruction(i.Shell, args=args)


def _onbuild(request: Request) -> i.Instruction:
    keyword, _ = cut(request.text, request.start)
    name = keyword.text.upper()
    if not name:
        raise request.needs("at least one argument")
    if name == "ONBUILD":
        raise Refusal("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", keyword.offset)
    if name in ("FROM", "MAINTAINER"):
        raise Refusal(f"{name} isn't allowed as an ONBUILD trigger", keyword.offset)
    start = skip_blanks(request.text, request.start)
    trigger, notes = parse_line(request.line, request.escape, start)
    request.notes += notes
    expression = request.text[start:] + "".join(
        f"\n{heredoc.content}{heredoc.name}" for heredoc in request.line.heredocs
    )
    return request.instruction(i.Onbuild, trigger=trigger, expression=expression)


_PARSERS: Final[dict[str, Callable[[Request], i.Instruction]]] = {
    "FROM": _from,
    "LABEL": _label,
    "ENV": _env,
    "ARG": _arg,
    "RUN": _run,
    "COPY": _copy,
    "ADD": _add,
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "WORKDIR": _workdir,
    "EXPOSE": _expose,
    "USER": _user,
    "VOLUME": _volume,
    "STOPSIGNAL": _stop_signal,
    "HEALTHCHECK": healthcheck,
    "SHELL": _shell,
    "ONBUILD": _onbuild,
    "MAINTAINER": _maintainer,
}
