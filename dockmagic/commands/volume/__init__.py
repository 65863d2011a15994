"""Verbs that act on volumes."""
