"""Command line options: the parser, and the families of flags that several verbs share."""
