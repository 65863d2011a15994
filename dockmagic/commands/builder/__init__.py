"""Verbs that build images and look after the build cache."""
