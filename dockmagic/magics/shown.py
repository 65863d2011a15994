"""Shows what each line magic of a cell returns, not only the last one's.

IPython shows the value of a cell's last expression. Two `%docker` lines in a cell, or one in a
loop, are commands that each have something to show. So the syntax tree of a cell is changed: a
statement that is nothing but one of our magics shows its value, unless IPython does.
"""

from __future__ import annotations

import ast
from collections.abc import Container
from typing import Any, Final

SHOW: Final = "_dockmagic_show"  # attribute of the shell


class ShowEach(ast.NodeTransformer):
    """Changes a cell's tree. `names` are those of the magics, `shell` is asked what it shows."""

    def __init__(self, shell: Any, names: Container[str]) -> None:
        self._shell = shell
        self._names = names

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """All statements but those that IPython shows by itself."""
        shows_all = self._shell.ast_node_interactivity == "all"
        last = len(node.body) - 1
        node.body = [
            statement
            if isinstance(statement, ast.Expr) and (shows_all or index == last)
            else self.visit(statement)
            for index, statement in enumerate(node.body)
        ]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if self._is_magic(node.value):
            show = ast.Attribute(_get_ipython(), SHOW, ast.Load())
            node.value = ast.copy_location(ast.Call(show, [node.value], []), node.value)
            ast.fix_missing_locations(node)
        return node

    def _is_magic(self, node: ast.expr) -> bool:
        """Whether it is what IPython writes for `%name …`."""
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Call(func=ast.Name(id="get_ipython")), attr="run_line_magic"
                ),
                args=[ast.Constant(value=str(name)), *_],
            ):
                return name in self._names
        return False


def _get_ipython() -> ast.Call:
    return ast.Call(ast.Name("get_ipython", ast.Load()), [], [])


def show(thing: object) -> None:
    """Shows a result in the cell, below what is there; nothing for None."""
    if thing is not None:
        from IPython.display import display

        shown: Any = display  # untyped in IPython
        shown(thing)
