"""Verbs that act on images."""
