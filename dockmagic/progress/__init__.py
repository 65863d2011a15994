"""A build's progress as BuildKit's client shows it: in place, as lines, or as JSON, on stderr."""
