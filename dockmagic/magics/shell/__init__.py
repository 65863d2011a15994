"""The shell language of `%docker` lines: what is written, what it stands for, and what runs it.

`scan` finds where a quotation or an expansion ends, `script` cuts a cell into commands, `words`
expands the words of a command, and `host` runs what only a real `sh` can do. None of them knows
IPython or the engine.
"""
