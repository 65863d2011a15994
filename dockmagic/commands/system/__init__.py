"""Verbs about the engine as a whole: info, events, disk usage."""
