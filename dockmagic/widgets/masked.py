"""Times, thread numbers and private addresses in a container's own words, replaced by names.

For deterministic notebooks: what a program logs is the same from run to run but for these.
"""

from __future__ import annotations

import re

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
_TIMES = (
    rf"\d{{4}}[-/]\d\d[-/]\d\d[T ]{_CLOCK}(?:Z| ?[+-]\d\d:?\d\d)?",  # ISO 8601, nginx, MySQL
    rf"{_DAY} {_MONTH} [ \d]\d {_CLOCK} \d{{4}}",  # Apache's error log
    rf"\d\d/{_MONTH}/\d{{4}}:{_CLOCK} [+-]\d{{4}}",  # access logs
    rf"{_MONTH} [ \d]\d {_CLOCK}",  # syslog
    rf"(?<![\d:]){_CLOCK}(?![\d:])",
)
_MASKS = (
    (re.compile("|".join(_TIMES)), "(time)"),
    (re.compile(r"\b(tid|pid) \d+\b"), r"\1 (number)"),
    (re.compile(r"\b(?:10|172\.(?:1[6-9]|2\d|3[01])|192\.168)(?:\.\d{1,3}){2,3}\b"), "(address)"),
    (re.compile(r"\b[0-9a-f]{64}\b|\b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{12}\b"), "(id)"),
)


def masked(text: str) -> str:
    """The text with names for what differs from run to run."""
    for pattern, name in _MASKS:
        text = pattern.sub(name, text)
    return text
