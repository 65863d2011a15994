"""Reads and watches the host's network through pyroute2; no start of a container needs it."""
