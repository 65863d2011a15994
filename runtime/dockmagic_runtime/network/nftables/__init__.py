"""nftables over netlink: the wire form, our ruleset, connection tracking."""
