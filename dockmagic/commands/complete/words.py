"""The words around the cursor, as the grammar of a verb reads them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from dockmagic.commands.options.flags import Flag, Parser


class Words(Struct, frozen=True):
    """`typed` is the word at the cursor, `before` and `after` are those around it."""

    grammar: Parser
    before: Sequence[str]
    typed: str = ""
    after: Sequence[str] = ()

    @property
    def plain(self) -> list[str]:
        """Of those before, the words that are neither flags nor their values."""
        return plain_words(self.grammar, self.before)

    @property
    def are_flags_over(self) -> bool:
        """Whether a word with a dash is no flag of the verb any more."""
        return "--" in self.before or bool(self.grammar.stops_at_word and self.plain)

    @property
    def subject(self) -> str:
        """The first plain word of the line, the image or container that it is about; or ""."""
        return next(iter([*self.plain, *plain_words(self.grammar, self.after)]), "")


def pending(before: Sequence[str], grammar: Parser) -> Flag | None:
    """The flag that the last word gives a value to, if it is one that waits for it."""
    last = before[-1] if before else ""
    if last.startswith("--"):
        flag = grammar.find(last[2:])
    elif last.startswith("-") and len(last) > 1:
        flag = grammar.find_short(last[-1])
    else:
        return None
    return flag if flag and flag.takes_value else None


def plain_words(grammar: Parser, words: Sequence[str]) -> list[str]:
    """The words that are neither flags nor their values."""
    plain: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if (plain and grammar.stops_at_word) or not word.startswith("-") or word == "-":
            plain.append(word)
        elif "=" not in word and pending([word], grammar):
            at += 1
        at += 1
    return plain
