"""The process that stays with a container, and the launcher that forks it."""
