"""Frozen values that all rooms share. They validate themselves and know no kernel and no disk."""
