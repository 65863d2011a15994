"""Verbs that talk to a registry: login, logout, search, manifest."""
