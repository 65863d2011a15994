"""Tar archives of layers: reading and writing, by descriptors only."""
