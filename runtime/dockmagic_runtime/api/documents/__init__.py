"""The engine's values as the documents that clients of Docker read."""
