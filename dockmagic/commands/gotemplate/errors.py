"""The errors of the template package; their texts are Go's."""

from __future__ import annotations


class TemplateError(Exception):
    """A template cannot be parsed or executed: the text begins with `template: `."""


class GoError(Exception):
    """A function was given what it cannot work on."""
