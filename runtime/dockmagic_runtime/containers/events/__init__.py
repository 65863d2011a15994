"""The journal of events: writing and reading it."""
