"""Who was made from whom. Pure: records in, records out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ultralab.models.types import ModelRecord


class Lineage(NamedTuple):
    """``ancestors`` from the parent upwards, as far as they are in the library; ``descendants`` nearest first."""

    ancestors: tuple[ModelRecord, ...]
    descendants: tuple[ModelRecord, ...]


def lineage(records: Sequence[ModelRecord], record: ModelRecord) -> Lineage:
    """What ``record`` was made from, and what was made from it, by the parents' hashes: a new name changes nothing."""
    ancestors: list[ModelRecord] = []
    current: ModelRecord | None = record
    while current is not None and len(ancestors) < len(records):  # records come from files: they may form a ring
        current = parent_of(records, current)
        if current is not None:
            ancestors.append(current)
    descendants: list[ModelRecord] = []
    seen = {record.sha256}
    generation = [record]
    while generation:
        hashes = {one.sha256 for one in generation}
        generation = [
            one for one in records
            if one.derived is not None and one.derived["parent_sha256"] in hashes and one.sha256 not in seen
        ]  # fmt: skip
        seen |= {one.sha256 for one in generation}
        descendants += generation
    return Lineage(tuple(ancestors), tuple(descendants))


def parent_of(records: Sequence[ModelRecord], record: ModelRecord) -> ModelRecord | None:
    """The model that ``record`` was made from, where the library has it."""
    if record.derived is None:
        return None
    wanted = record.derived["parent_sha256"]
    same = [one for one in records if one.sha256 == wanted and one.ref != record.ref]
    return next((one for one in same if one.ref == record.derived["parent"]), same[0] if same else None)


def can_remake(records: Sequence[ModelRecord], record: ModelRecord, tools: Collection[str]) -> bool:
    """Whether ``record`` can be made again from what is in the library: its parent is, and so is the tool (``tools``)."""
    return record.derived is not None and record.derived["tool"] in tools and parent_of(records, record) is not None
