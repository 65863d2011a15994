"""The kernel: thin typed wrappers, and the only room that uses ctypes."""
