"""`logs`: reading a container's log, also while it grows and its files are rotated."""
