"""Containers: what they are asked to be, what they are, and one file for each verb."""
