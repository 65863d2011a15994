"""Named and anonymous volumes: directories of the Docker area that outlive containers."""
