"""SHA-256 of small texts, without the 3 ms that `hashlib` takes to load OpenSSL.

OpenSSL is faster from a few kilobytes on: blobs and layers are hashed by `hashlib`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256  # Python 3.11
        except ImportError:  # a Python that was built without it
            from hashlib import sha256


def digest(data: bytes) -> bytes:
    return sha256(data).digest()


def hex_digest(data: bytes) -> str:
    return sha256(data).hexdigest()
