"""Executes a plan: looks each step up in the cache, and makes the layers that are missing."""
