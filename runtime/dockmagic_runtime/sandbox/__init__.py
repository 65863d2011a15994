"""The plan of one isolated process, and the child that carries it out."""
