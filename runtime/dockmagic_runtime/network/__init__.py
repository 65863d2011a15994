"""Bridge, leases, veth pairs, NAT and published ports: what connects a container."""
