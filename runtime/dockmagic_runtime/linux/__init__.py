"""The kernel: thin typed wrappers, the only room that knows ctypes. Imports nothing but errors."""
