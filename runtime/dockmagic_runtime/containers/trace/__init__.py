"""`network trace`: the path of one connection, measured."""
