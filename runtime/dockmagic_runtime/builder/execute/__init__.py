"""Executing a plan: steps that the cache does not have."""
