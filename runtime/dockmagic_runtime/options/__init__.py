"""Docker's options as texts and modes: what the command line and the Engine API read alike.

`-v` and `Binds`, `--link` and `Links`, the modes of namespaces, addresses of endpoints, and what
contradicts what. Each function raises InvalidInput in Docker's words.
"""
