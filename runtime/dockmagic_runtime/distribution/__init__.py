"""Registry and image store joined: neither knows the other, this room knows both."""
