"""The words of a magic's line: those that `sh` makes of it, and values of the notebook.

Everything is as in a shell's command line: quotation marks, `\\`, comments, `~`, `$NAME`,
`${NAME:-default}` and its like, `$(command)`, backticks, `$((1 + 2))`, `*.txt`. Besides:

- `{expression}` outside single quotes, if it begins with a name, is a value of the notebook:
  text, a number or a path. The value is one word or part of one, whatever it contains, and nothing
  in it is expanded again. A list that stands alone is one word for each item. Any other value, and
  a name that the notebook has not got, is an error. `{a,b}`, `{}`, `{1..3}`, `{"a": 1}` are no
  such expressions and stay as they are; `\\{` is a brace.
- `$name` is the notebook's value of this name, if it has one (again text, a number or a path, and
  never split); otherwise the environment's.
- `{{…}}` is a template of Docker's and stays whole, also in double quotes, but for the `$name` in
  it that are known. `{{range $k, $v := .Config.Env}}` keeps its variables.
- What stands in single quotes is left alone, entirely.

A magic of one verb (`%ps`, `%run_container`) takes one command. `%docker` takes what a line of a
shell has, and `%%docker` what a script has:

- `;`, `&&`, `||`, a new line. The commands of Docker among them run in the notebook and each shows
  its result. A new line after a command that failed is not reached.
- A command with a pipe or a redirection, a loop, a condition, a function, and any program that is
  not Docker, runs in `sh`. It finds a `docker` of ours first in its PATH, whatever other Docker
  the machine has.
- `export`, `cd`, `unset` and `. FILE` change the kernel's environment and folder, for later cells
  too; `NAME=value` is a variable until the cell ends.
- A background job (`&`) is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockmagic.magics.shell import script, words
from dockmagic.magics.shell.host import is_complete
from dockmagic.magics.shell.scope import Scope, Substitute
from dockmagic_runtime.errors import InvalidInput


def split_line(
    text: str, namespace: Mapping[str, Any] | None = None, substitute: Substitute | None = None
) -> list[str]:
    """The words of one command. Raises InvalidInput for what only a shell could do."""
    scope = Scope(namespace or {})
    if substitute is not None:
        scope.substitute = substitute
    return one_command(text, scope)


def one_command(text: str, scope: Scope) -> list[str]:
    """The same, with names of a scope."""
    parsed = list(script.commands(text, is_complete))
    if not parsed:
        return []
    if len(parsed) > 1:
        raise InvalidInput("one command on a line", hint="several go into a %%docker cell")
    if not parsed[0].is_simple:
        raise InvalidInput(
            f"a {_kind(text)} is the shell's, and this magic has none",
            hint="put it in quotes, or write the line behind %docker",
        )
    return [word for source in parsed[0].words for word in words.fields(source, scope)]


def _kind(text: str) -> str:
    if "|" in text:
        return "pipe ('|')"
    return "redirection" if "<" in text or ">" in text else "command of several parts"
