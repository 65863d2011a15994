"""What Docker asks before it removes anything, asked in the cell."""

from __future__ import annotations

from dockmagic.commands.ask import ask
from dockmagic.commands.output.result import Nothing, Question, Result


def answered(question: Question) -> Result:
    """What follows the user's answer; anything but `y` is a no. Raises the question's error where
    no user can be asked, as when a notebook is run by a program."""
    answer = ask(f"{question.text} [y/N] ", input)
    if answer is None:
        raise question.unanswered()
    return question.proceed() if answer.strip().lower() == "y" else Nothing()
