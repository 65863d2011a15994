"""The texts of a container's `/etc/hosts` and `/etc/resolv.conf`, and the host's own files."""
