"""Stand-ins for the course's images, made from the packages of the host's own distribution."""

from dockmagic_runtime.catalogue.catalogue import STAND_IN_LABEL, Catalogue
from dockmagic_runtime.catalogue.recipe import Recipe

__all__ = ["STAND_IN_LABEL", "Catalogue", "Recipe"]
