"""The façade: names resolved, rooms joined, locks taken. It owns no mechanism."""
