"""The Docker area on disk: its paths, its database, its locks."""
