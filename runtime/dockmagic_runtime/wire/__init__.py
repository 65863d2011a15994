"""Values of Docker's Engine API: one definition for `inspect`, templates, service, client."""
