"""The DNS server of a container: messages, zone, forwarding."""
