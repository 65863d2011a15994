"""Verbs that act on networks."""
