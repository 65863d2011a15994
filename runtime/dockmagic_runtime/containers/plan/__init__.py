"""From a container's record to the plan of its sandbox."""
