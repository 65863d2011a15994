"""`cp`, `export`, `diff` and `commit`: the files of a container."""
