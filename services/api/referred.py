"""This file is what blobs refer to: a bundle to its files and its lock, a snapshot's manifest to its files."""

from __future__ import annotations

import asyncio

import msgspec

from services.core.errors import Invalid
from services.core.ids import Digest
from services.core.records import Bundle, Manifest
from services.kit.blobs import Blobs


async def of_bundle(blobs: Blobs, artifact: Digest) -> set[Digest]:
    """The artifact itself and what it is made of. Raises what reading it raises."""
    bundle = await blobs.get_document(artifact, Bundle)
    return {artifact, bundle.files, bundle.lock}


async def of_snapshot(blobs: Blobs, digest: Digest) -> set[Digest]:
    """The manifest itself and every file in it. Raises what reading it raises."""
    data = await blobs.get(digest)
    return {digest, *await asyncio.to_thread(_files_in, data)}


def _files_in(manifest: bytes) -> set[Digest]:
    try:
        return {entry.digest for entry in msgspec.json.decode(manifest, type=Manifest).files}
    except msgspec.MsgspecError as error:
        raise Invalid(f"a project's manifest cannot be read: {error}") from error
