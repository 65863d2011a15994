"""`ImageStore`: images by name and by id: which there are, what is in them, what their names are.

An image is its config document, kept as the bytes it came as, and a list of layers. Decoded
configs are cached by id, which never goes stale; names and sizes are asked of the database each
time, since another process may have moved a tag.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.images import rmi
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.image import History, Image
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.model.suggest import similar
from dockmagic_runtime.store import events
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database

_ID_PREFIX = r"(?:sha256:)?([a-f0-9]{1,64})"
_TAGS_OF = "SELECT reference FROM tags WHERE image_id = ? ORDER BY reference"


class ImageStore:
    """The images of one Docker area."""

    def __init__(self, data_root: DataRoot, database: Database, layers: LayerStore) -> None:
        self._data_root = data_root
        self._database = database
        self._layers = layers
        self._decoded: dict[str, Image] = {}

    # --- finding ---------------------------------------------------------------------------

    def resolve(self, reference: str) -> Image:
        """By tag, then full id, then unique prefix of an id.

        Raises NotFound, with similar names as its hint, and InvalidInput for an ambiguous prefix.
        """
        return self._image(self.id_of(reference))

    def id_of(self, reference: str) -> str:
        """The id of the image that `resolve` would return. Raises as it does."""
        return self._find_tag(reference) or self._find_id(reference)

    def id_of_name(self, name: str) -> str:
        """The id that a tag or name@digest points to, or ""."""
        return self._find_tag(name)

    def digests_of(self, repository: str) -> frozenset[str]:
        """By which a registry knows images of a repository, which is named in full."""
        query = "SELECT reference FROM tags WHERE reference >= ? AND reference < ?"
        rows = self._database.rows(query, f"{repository}@", f"{repository}A")  # "A" follows "@"
        return frozenset(key.partition("@")[2] for (key,) in rows)

    def _find_tag(self, text: str) -> str:
        """The id that a name points to, or ""."""
        try:
            key = _key(ImageReference.parse(text))
        except InvalidInput:
            if re.fullmatch(_ID_PREFIX, text):
                return ""  # 64 digits are no name, on purpose
            raise
        row = self._database.row("SELECT image_id FROM tags WHERE reference = ?", key)
        return str(row[0]) if row else ""

    def _find_id(self, text: str) -> str:
        match = re.fullmatch(_ID_PREFIX, text)
        if match is None:
            raise self._no_such_image(text)
        prefix = f"sha256:{match[1]}"
        # "g" comes after every hexadecimal digit
        query = "SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2"
        rows = self._database.rows(query, prefix, f"{prefix}g")
        if len(rows) > 1:
            raise InvalidInput(
                f"multiple IDs found with provided prefix: {text}", hint="give more of its digits"
            )
        if not rows:
            raise self._no_such_image(text)
        return str(rows[0][0])

    def _no_such_image(self, text: str) -> NotFound:
        if re.fullmatch(_ID_PREFIX, text):
            try:
                text = ImageReference.parse(text).familiar
            except InvalidInput:
                pass  # 64 digits are no name: they are shown as they are
            return NotFound(f"No such image: {text}")
        name = ImageReference.parse(text)
        near = ", ".join(self._similar(name))
        hint = f"similar: {near}" if near else "'docker images' lists those that are here"
        return NotFound(f"No such image: {name.familiar}", hint=hint)

    def _similar(self, name: ImageReference) -> Sequence[str]:
        """Tags of repositories that are written like it."""
        tags: dict[str, list[str]] = {}
        for (key,) in self._database.rows("SELECT reference FROM tags ORDER BY reference"):
            known = ImageReference.parse(key)
            if not known.digest:
                tags.setdefault(known.familiar_name, []).append(known.familiar)
        near = similar(name.familiar_name, tags)
        return [tag for repository in near for tag in tags[repository]][:3]

    @staticmethod
    def _familiar(key: str) -> str:
        return ImageReference.parse(key).familiar

    def references(self, image_id: str) -> tuple[ImageReference, ...]:
        """All names of an image, tags and digests."""
        rows = self._database.rows(_TAGS_OF, image_id)
        return tuple(ImageReference.parse(key) for (key,) in rows)

    def tags_of(self, repository: str) -> tuple[ImageReference, ...]:
        """The tags of a repository, which is named in full."""
        query = "SELECT reference FROM tags WHERE reference >= ? AND reference < ? ORDER BY 1"
        rows = self._database.rows(query, f"{repository}:", f"{repository};")  # ";" follows ":"
        return tuple(ImageReference.parse(key) for (key,) in rows)

    def manifest_digest(self, image_id: str) -> str:
        """Of the manifest that the image was pulled by; "" if it was not."""
        row = self._database.row("SELECT manifest FROM images WHERE id = ?", image_id)
        return str(row[0]) if row else ""

    def known_repositories(self, blob: str, registry: str) -> tuple[str, ...]:
        """Where a registry has a layer's blob, as pulls and pushes have shown; last first."""
        rows = self._database.rows(
            "SELECT DISTINCT reference FROM layers JOIN image_layers USING (chain_id) "
            "JOIN tags USING (image_id) WHERE blob = ? AND reference LIKE '%@%' "
            "ORDER BY changed DESC",
            blob,
        )
        names = (ImageReference.parse(key) for (key,) in rows)
        return tuple(dict.fromkeys(n.repository for n in names if n.registry == registry))

    def _image(self, image_id: str) -> Image:
        image = self._decoded.get(image_id)
        if image is None:
            image = self._decoded[image_id] = self._decode(image_id)
        names = self._database.rows(_TAGS_OF, image_id)
        tags = tuple(self._familiar(key) for (key,) in names if "@" not in key)
        return replace(image, tags=tags) if tags else image

    def _decode(self, image_id: str) -> Image:
        from dockmagic_runtime.images import oci_documents  # msgspec: not before the first image

        sizes = self._database.rows(
            "SELECT size FROM image_layers JOIN layers USING (chain_id) "
            "WHERE image_id = ? ORDER BY position",
            image_id,
        )
        try:
            decoded = oci_documents.decode_config(self.config_bytes(image_id))
            return oci_documents.to_image(
                image_id, decoded, tags=(), sizes=[size for (size,) in sizes]
            )
        except (InvalidInput, ValueError) as error:  # it was valid when it was put
            raise self._database.damaged("images", image_id) from error

    def config_bytes(self, image_id: str) -> bytes:
        """The image's OCI config document as it came. Raises NotFound."""
        row = self._database.row("SELECT config FROM images WHERE id = ?", image_id)
        if row is None:
            raise NotFound(f"No such image: {image_id}")
        return bytes(row[0])

    def config(self, image_id: str) -> dict[str, Any]:
        """The same, decoded whole."""
        import json  # with NaN and lone surrogates, unlike msgspec

        decoded: dict[str, Any] = json.loads(self.config_bytes(image_id))
        return decoded

    def list(self, *, all: bool = False) -> tuple[Image, ...]:
        """Newest first; without `all`, no nameless images that others are built on."""
        ids = [key for (key,) in self._database.rows("SELECT id FROM images ORDER BY created DESC")]
        images = list(self._present(ids))
        if not all:
            below = {chain for image in images for chain in image.chain_ids[:-1]}
            images = [i for i in images if i.tags or not below.intersection(i.chain_ids[-1:])]
        return tuple(images)

    def _present(self, ids: Sequence[str]) -> Iterator[Image]:
        for image_id in ids:
            try:
                yield self._image(image_id)
            except NotFound:
                pass  # another process has removed it since the ids were read

    # --- changing --------------------------------------------------------------------------

    def put(
        self,
        config: bytes,
        chain_ids: Sequence[str],
        *,
        manifest: str = "",
        names: Sequence[str] = (),
    ) -> Image:
        """Keep an image made of layers that are kept already. Idempotent: one id, one image.

        `manifest` is the digest of the manifest it was pulled by. It gets its `names`, tags and
        digests, at once: one without a name may be pruned. Raises InvalidInput if the
        config names other layers, NotFound if one of them is missing.
        """
        from dockmagic_runtime.images import oci_documents

        decoded = oci_documents.decode_config(config)
        if oci_documents.chain_ids(decoded.diff_ids) != tuple(chain_ids):
            raise InvalidInput("the image config does not name the layers that came with it")
        image_id = oci_documents.image_id(config)
        created = oci_documents.timestamp(decoded.created)
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT OR IGNORE INTO images (id, config, created, manifest) "
                    "VALUES (?, ?, ?, ?)",
                    (image_id, config, created, manifest),
                )
                connection.executemany(
                    "INSERT OR IGNORE INTO image_layers (image_id, position, chain_id) "
                    "VALUES (?, ?, ?)",
                    [(image_id, n, chain_id) for n, chain_id in enumerate(chain_ids)],
                )
                for name in names:
                    _point(connection, _key(ImageReference.parse(name)), image_id)
        except sqlite3.IntegrityError:
            raise NotFound(f"a layer of the image {image_id} is missing") from None
        return self._image(image_id)

    def tag(self, image_id: str, reference: str) -> None:
        """Let the name point to the image, whatever it pointed to before."""
        name = ImageReference.parse(reference)
        if name.digest:
            raise InvalidInput("refusing to create a tag with a digest reference")
        self._point(_key(name), image_id)
        self.emit_tag(self._image(image_id), reference)

    def emit_tag(self, image: Image, reference: str) -> None:
        """`events` knows a tag by the name that was given."""
        self._emit("tag", image, ImageReference.parse(reference).familiar)

    def emit_pull(self, image: Image, reference: str, *, about: str = "") -> None:
        """`events` knows a pull by the name that was pulled: `about`, if it was a repository's."""
        name = ImageReference.parse(reference)
        self._emit("pull", image, name.familiar_name, about=about or name.familiar)

    def tell_imported(self, image: Image) -> None:
        """`events` knows an import by the new image's id."""
        self._emit("import", image, image.id)

    def emit(self, action: str, image: Image) -> None:
        """For `events`, under the image's own id."""
        self._emit(action, image, image.id)

    def _emit(self, action: str, image: Image, name: str, *, about: str = "") -> None:
        attributes = {**image.config.labels, "name": name}
        event = Event(type="image", action=action, id=about or image.id, attributes=attributes)
        events.emit(self._data_root.path, event)

    def note_digest(self, image_id: str, reference: str) -> None:
        """Remember that a registry knows the image as `reference`, a name@digest."""
        name = ImageReference.parse(reference)
        if not name.digest:
            raise InvalidInput(f"{reference} has no digest")
        self._point(_key(name), image_id)

    def _point(self, key: str, image_id: str) -> None:
        try:
            with self._database.transaction() as connection:
                _point(connection, key, image_id)
        except sqlite3.IntegrityError:
            raise NotFound(f"No such image: {image_id}") from None

    def untag(self, reference: str) -> bool:
        """Take the name away; whether there was one. The image stays."""
        key = _key(ImageReference.parse(reference))
        with self._database.transaction() as connection:
            cursor = connection.execute("DELETE FROM tags WHERE reference = ?", (key,))
            return cursor.rowcount > 0

    def remove(
        self,
        reference: str,
        *,
        force: bool = False,
        used_by: Mapping[str, str] | None = None,
        alive: Collection[str] = (),
        spare_named: bool = False,
        spare_used: bool = False,
    ) -> tuple[str, ...]:
        """Docker's `rmi`: untag, and delete what nothing needs any more; its lines about it.

        `used_by` gives, for the id of each image in use, the id of a container that uses it;
        `alive` are the images of running containers. What is to be spared is refused, also if it
        got its name or container only now. Raises NotFound, Conflict.
        """
        with self._database.transaction() as connection:
            by_name = self._find_tag(reference)
            image = self._image(by_name or self._find_id(reference))
            if (spare_named and image.tags) or (spare_used and self._is_used(image.id)):
                raise Conflict(f"the image {image.short_id} is needed")
            decision = rmi.decide(
                image,
                self.references(image.id),
                reference=reference if by_name else "",
                force=force,
                container=(used_by or {}).get(image.id, ""),
                is_alive=image.id in alive,
            )
            for name in decision.untag:
                connection.execute("DELETE FROM tags WHERE reference = ?", (_key(name),))
            if decision.delete:
                connection.execute("DELETE FROM images WHERE id = ?", (image.id,))
        lines = [f"Untagged: {_shown(name)}" for name in decision.untag]
        for _ in decision.untag:
            self._emit("untag", image, image.id)
        if decision.delete:
            self._emit("delete", image, image.id)
            self._decoded.pop(image.id, None)
            removed = self._layers.remove_unused(image.chain_ids[::-1])
            lines += [f"Deleted: {image.id}", *(f"Deleted: {layer.chain_id}" for layer in removed)]
        return tuple(lines)

    def _is_used(self, image_id: str) -> bool:
        query = "SELECT 1 FROM containers WHERE image_id = ?"
        return self._database.row(query, image_id) is not None

    # --- looking inside --------------------------------------------------------------------

    def history(self, image: Image) -> tuple[History, ...]:
        """What made the image, newest first."""
        return image.history[::-1]

    def shared_with(self, chain_id: str, image_id: str) -> tuple[str, ...]:
        """The tags of other images that have the layer too."""
        rows = self._database.rows(
            "SELECT DISTINCT reference FROM image_layers JOIN tags USING (image_id) "
            "WHERE chain_id = ? AND image_id != ? ORDER BY reference",
            chain_id,
            image_id,
        )
        return tuple(self._familiar(key) for (key,) in rows if "@" not in key)

    def inspect(self, image: Image) -> dict[str, Any]:
        """One element of `docker image inspect`."""
        from dockmagic_runtime.images.inspect import inspect

        row = self._database.row("SELECT max(changed) FROM tags WHERE image_id = ?", image.id)
        return inspect(
            image,
            self.config(image.id),
            self.references(image.id),
            changed=float(row[0] or 0) if row else 0.0,
            directories=[self._layers.path(chain_id) for chain_id in image.chain_ids[::-1]],
        )


def _point(connection: sqlite3.Connection, key: str, image_id: str) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO tags (reference, image_id, changed) VALUES (?, ?, ?)",
        (key, image_id, time.time()),
    )


def _key(name: ImageReference) -> str:
    """How a name is kept: in full; with a digest, the tag does not count."""
    return (replace(name, tag="") if name.digest else name).canonical


def _shown(name: ImageReference) -> str:
    return (replace(name, tag="") if name.digest else name).familiar
