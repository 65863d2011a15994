"""IP address management: pools, subnets and leases."""
