"""What was made from what: whether the library has it already, and what it is called."""

from __future__ import annotations

from contextlib import suppress

from ultralab.kernel.errors import FileDamaged, NotFound
from ultralab.models.library import Library, model_path, records
from ultralab.models.types import Derivation, ModelRecord


def work_key(derived: Derivation, plain: str) -> str:
    """The name of this piece of work, for its lock and its staging folder; ``plain`` is the variant's plain name."""
    options = "".join(
        char for char in derived.get("options", "") if char.isascii() and (char.isalnum() or char in "-_")
    )
    return f"{derived['parent_sha256'][:24]}-{plain}{'-' + options[:60] if options else ''}"


def same_work(one: Derivation, other: Derivation) -> bool:
    """Whether both stand for the same parent, the same target and the same options, by whichever version of the tool."""
    return all(one.get(key, "") == other.get(key, "") for key in ("parent_sha256", "quantization", "options"))


def already_made(library: Library, derived: Derivation, *, any_version: bool) -> ModelRecord | None:
    """The complete model that this work would make. ``any_version``: by an older or newer tool too.

    Rules of our own change rarely and on purpose, so what older ones made is made again; an external tool changes with
    every update of the system, and that is no reason to spend hours again.
    """
    for record in records(library):
        made = record.derived
        if made is None or not same_work(made, derived):
            continue
        if any_version or made["tool_version"] == derived["tool_version"]:
            with suppress(FileDamaged, NotFound):
                model_path(library, record)
                return record
    return None


def variant_for(library: Library, parent: ModelRecord, derived: Derivation, plain: str) -> tuple[str, bool]:
    """The variant's name, and whether it replaces an older one: ``q8_0``, or ``q8_0-from-q4_1`` where that is taken."""
    taken = {record.variant: record for record in records(library) if record.name == parent.name}
    for variant in (plain, f"{plain}-from-{parent.variant}"):
        holder = taken.get(variant)
        if holder is None:
            return variant, False
        if holder.derived is not None and same_work(holder.derived, derived):
            return variant, True
    last = f"{plain}-from-{derived['parent_sha256'][:8]}"
    holder = taken.get(last)
    return last, holder is not None and holder.derived is not None and same_work(holder.derived, derived)
