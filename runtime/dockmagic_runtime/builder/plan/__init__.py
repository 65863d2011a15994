"""From a parsed Dockerfile to a plan of steps. Pure: no disk, no clock."""
