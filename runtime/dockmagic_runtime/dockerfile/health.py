"""HEALTHCHECK: `NONE`, or `[--flags] CMD command`."""

from __future__ import annotations

import re
from typing import Final

from dockmagic_runtime.dockerfile.errors import Refusal
from dockmagic_runtime.dockerfile.instructions import Healthcheck, Instruction
from dockmagic_runtime.dockerfile.request import Request, command
from dockmagic_runtime.dockerfile.words import cut
from dockmagic_runtime.model.go_values import parse_duration

_MINIMUM_INTERVAL: Final = 1_000_000


def healthcheck(request: Request) -> Instruction:
    kind, start = cut(request.text, request.start)
    match kind.text.upper():
        case "":
            raise request.needs("at least one argument")
        case "NONE":
            if request.text[start:]:
                raise Refusal("HEALTHCHECK NONE takes no arguments", start)
            return request.instruction(Healthcheck, test=("NONE",))
        case "CMD":
            return _health_command(request, start)
        case _:
            raise Refusal(f'Unknown type "{kind.text}" in HEALTHCHECK (try CMD)', kind.offset)


def _health_command(request: Request, start: int) -> Instruction:
    test = command(request, start)
    if not test.args:
        raise Refusal("Missing command after HEALTHCHECK CMD", request.keyword_at)
    return request.instruction(
        Healthcheck,
        test=("CMD-SHELL" if test.is_shell else "CMD", *test.args),
        interval=_interval(request, "interval"),
        timeout=_interval(request, "timeout"),
        start_period=_interval(request, "start-period"),
        start_interval=_interval(request, "start-interval"),
        retries=_retries(request),
    )


def _interval(request: Request, flag: str) -> int:
    text = request.flags.plain(flag)
    try:
        value = parse_duration(text) if text else 0
    except ValueError as error:
        raise Refusal(str(error), request.flags.offset(flag)) from None
    if value and value < _MINIMUM_INTERVAL:
        raise Refusal(f'Interval "{flag}" cannot be less than 1ms', request.flags.offset(flag))
    return value


def _retries(request: Request) -> int:
    text = request.flags.plain("retries")
    if not text:
        return 0
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise Refusal(f'invalid number of retries: "{text}"', request.flags.offset("retries"))
    if int(text) < 0:
        raise Refusal(f"--retries cannot be negative ({text})", request.flags.offset("retries"))
    return int(text)
