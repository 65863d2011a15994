"""The log of a container: options, files, and other destinations."""
