"""Random names for containers: an adjective and the surname of a scientist or engineer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

_ADJECTIVES: Final = """
able amber azure blithe bold brave breezy bright calm candid careful cheerful civil clever
curious daring deft eager earnest easy exact fair fine fluent fond frank fresh gentle gifted
glad golden happy hardy honest humble jolly keen kind lively lucid lucky mellow merry modest
neat nimble noble patient placid plucky polite proud quick quiet ready serene sharp silent
sincere smart snug sober solid spry steady sunny swift tender tidy upbeat vivid warm wise witty
zesty
""".split()
_PEOPLE: Final = """
ampere antonelli babbage bartik bell bernerslee bohr borg boole carson cerf chandrasekhar clarke
cray curie darwin dijkstra driscoll easley engelbart euclid euler faraday fermat fermi feynman
floyd franklin galileo gauss germain goldberg goodall gray hamilton hawking heisenberg hertz
hodgkin hoare hopper hypatia jemison jennings johnson kalam kare keller kepler khayyam kilby
knuth lamarr lamport leavitt liskov lovelace maxwell mccarthy mcclintock meitner mendel
mirzakhani moore morse nash newton noether noyce payne perlman planck ramanujan ride ritchie
rubin shannon shaw sinoussi stallman swirles tesla thompson torvalds turing varahamihira villani
wilson wing yalow yonath
""".split()


def suggest(attempt: int) -> str:
    """A name; after six attempts with a number, as Docker does when many names are in use."""
    name = f"{_one_of(_ADJECTIVES)}_{_one_of(_PEOPLE)}"
    return name if attempt < 6 else f"{name}{_number(1000)}"


def _one_of(words: Sequence[str]) -> str:
    return words[_number(len(words))]


def _number(below: int) -> int:
    """Random enough for a name: `random` takes 2 ms to import."""
    return int.from_bytes(os.urandom(4), "little") % below
