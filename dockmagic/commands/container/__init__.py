"""Verbs that act on containers."""
