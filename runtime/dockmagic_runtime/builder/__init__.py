"""Dockerfile → image: a pure plan of steps, then their execution, reported as events.

`plan.make_plan` reads no disk: it expands variables, follows stages and computes what each step
changes of the image's config. `Builder.build(…)` runs the steps that the cache does not know.
"""

from dockmagic_runtime.builder.build import Builder
from dockmagic_runtime.builder.cache.remote_cache import RemoteCache
from dockmagic_runtime.builder.plan.plan import Base, Plan, needed_images

__all__ = ["Base", "Builder", "Plan", "RemoteCache", "needed_images"]
