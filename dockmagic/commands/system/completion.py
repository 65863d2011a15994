"""`docker completion bash|zsh|fish`: scripts that ask `docker __complete` for candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Text
from dockmagic.commands.program import program
from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.suggest import did_you_mean

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_BASH = """\
# bash completion for {name}
__{function}_complete() {{
    local line="${{COMP_LINE:0:COMP_POINT}}" rest="${{COMP_LINE:COMP_POINT}}" IFS=$'\\n'
    COMPREPLY=($("${{COMP_WORDS[0]}}" __complete bash "$COMP_WORDBREAKS" "$line" "$rest" \\
        2>/dev/null))
    [[ ${{COMPREPLY[0]}} == *[/=:] ]] && compopt -o nospace 2>/dev/null
    return 0
}}
complete -o default -F __{function}_complete {name}
"""
_ZSH = """\
#compdef {name}
# zsh completion for {name}
__{function}_complete() {{
    local -a candidates
    candidates=("${{(@f)$({name} __complete zsh "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
    if [[ -n "$candidates" ]]; then
        _describe '{name}' candidates
    else
        _files
    fi
}}
compdef __{function}_complete {name}
"""
_FISH = """\
# fish completion for {name}
function __{function}_complete
    set -l words (commandline -opc) (commandline -ct)
    {name} __complete fish $words[2..-1] 2>/dev/null
end
complete -c {name} -a '(__{function}_complete)'
"""
_SCRIPTS = {"bash": _BASH, "fish": _FISH, "zsh": _ZSH}


def parser() -> Parser:
    return Parser(
        verb="completion",
        usage="bash|fish|zsh",
        summary="Generate the autocompletion script for the specified shell",
        also="In bash:  source <(docker completion bash)\n"
        "In zsh:   source <(docker completion zsh)\n"
        "In fish:  docker completion fish | source",
        minimum=1,
        maximum=1,
    )


def run(engine: EngineApi, arguments: Arguments) -> Text:
    shell = arguments.words[0]
    if shell == "powershell":
        raise Unsupported("'docker completion powershell' is not supported", hint="bash, fish, zsh")
    if shell not in _SCRIPTS:
        hint = did_you_mean(shell, _SCRIPTS, otherwise="bash, fish or zsh")
        raise InvalidInput(f"unknown shell: {shell}", hint=hint)
    name = program()
    function = "".join(letter if letter.isalnum() else "_" for letter in name)
    return Text(_SCRIPTS[shell].format(name=name, function=function).rstrip("\n"))
