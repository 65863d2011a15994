"""Containers on networks: connect, disconnect, list, inspect."""
