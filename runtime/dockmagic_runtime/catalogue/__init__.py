"""Stand-ins for the course's images, made from the packages of the host's own distribution."""

from dockmagic_runtime.catalogue.catalogue import Catalogue
from dockmagic_runtime.catalogue.recipe import Recipe
from dockmagic_runtime.model.image import STAND_IN_LABEL

__all__ = ["STAND_IN_LABEL", "Catalogue", "Recipe"]
