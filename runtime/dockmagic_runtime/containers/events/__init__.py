"""Events of containers: writing them to the journal, and reading the journal."""
