"""The build cache: the local store, and import from and export to other places."""
