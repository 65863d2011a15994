"""The lifecycle of a container, one module for each verb, and crash recovery."""
