"""Trees that steps copy from and into: build contexts, stages, images, archives, Git, HTTP."""
