"""Build contexts and other sources of files, and the digests of their contents."""
