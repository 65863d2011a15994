"""What registries have, looked at without pulling it."""

from __future__ import annotations

from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.registry.client import clients_for


def manifest(reference: str) -> bytes:
    """The manifest or index under a name. Raises NotFound, RegistryUnreachable, AccessDenied."""
    name = ImageReference.parse(reference)
    *mirrors, client = clients_for(name.registry)
    for mirror in mirrors:
        mirror.close()
    with client:
        try:
            return client.manifest(name.repository, name.digest or name.tag).data
        except NotFound as error:
            raise NotFound(f"no such manifest: {name.familiar}", hint=error.message) from None
