"""Stand-ins for the course's images, made from the packages of the host's own distribution."""
