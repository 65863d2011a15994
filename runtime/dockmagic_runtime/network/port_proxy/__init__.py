"""The port proxy: published ports of loopback addresses, for TCP, UDP and SCTP."""
