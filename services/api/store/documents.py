"""This file is how states, entries and outbox rows look as stored documents.

    models, projects, environments, people,
    organisations, configuration, quotas     {_id, revision, head, state}    one per aggregate
    events                                   {_id, aggregate, aggregate_id, revision, at, actor, event,
                                              previous_hash, hash, sampled_at}     the last: one in `ONE_IN`
    outbox                                   {_id, aggregate_id, revision, place, bucket, key, body}   until published
    unchecked                                {_id, aggregate, aggregate_id, revision, head}   until a checkpoint has it
    checkpoints                              {_id: number, at, heads, previous_hash, hash}
    secrets                                  {_id, ciphertext}
    key_uses                                 {_id, used_at}                           observed: see people.py
    writers                                  {_id, process}                           of each session: see orphans.py
    meta                                     {_id: "schema", version}

Instants are stored with milliseconds, which is all the database keeps; `kit.clock` makes no finer ones.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import msgspec

from services.core.audit import Link
from services.core.events import Entry
from services.core.subjects import Bucket

T = TypeVar("T")
Document = dict[str, Any]

COLLECTIONS = {
    "model": "models",
    "project": "projects",
    "environment": "environments",
    "person": "people",
    "organisation": "organisations",
    "configuration": "configuration",
    "quotas": "quotas",
}


_SAMPLED = ("00", "01", "02", "03")
ONE_IN = 64
"""Hashes are as good as random: events whose hashes begin like this are a sample, and nobody has to draw it."""


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something stored and not yet published. Rows of one aggregate are published in the order of their places."""

    aggregate_id: str
    revision: int  # the aggregate's, after the change that caused it
    place: int
    bucket: Bucket | None  # None: `key` is a subject
    key: str
    body: bytes  # JSON

    @property
    def id(self) -> str:
        return f"{self.aggregate_id}.{self.revision}.{self.place}"


def plain(value: msgspec.Struct) -> Document:
    """`value` as a document: plain types, and instants as they are."""
    document: Document = msgspec.to_builtins(value, builtin_types=(datetime,))
    return document


def read(document: Any, cls: type[T]) -> T:
    """The value that `plain` made `document` from."""
    return msgspec.convert(document, cls)


def link_document(link: Link) -> Document:
    fields = plain(link.entry)
    fields["_id"] = fields.pop("id")
    document = {**fields, "previous_hash": link.previous_hash, "hash": link.hash}
    return {**document, "sampled_at": link.entry.at} if link.hash.startswith(_SAMPLED) else document


def read_link(document: Document) -> Link:
    fields = dict(document)
    fields["id"] = fields.pop("_id")
    return Link(entry=read(fields, Entry), previous_hash=fields["previous_hash"], hash=fields["hash"])


def row_document(row: OutboxRow) -> Document:
    fields = {name: getattr(row, name) for name in ("aggregate_id", "revision", "place", "key", "body")}
    return {"_id": row.id, "bucket": None if row.bucket is None else str(row.bucket), **fields}


def read_row(document: Document) -> OutboxRow:
    bucket = document["bucket"]
    return OutboxRow(
        aggregate_id=document["aggregate_id"],
        revision=document["revision"],
        place=document["place"],
        bucket=None if bucket is None else Bucket(bucket),
        key=document["key"],
        body=bytes(document["body"]),
    )
