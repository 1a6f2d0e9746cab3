"""What to change when nothing fits, or nothing is fast enough: each change that helps, with the figures it comes to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ultralab.assess.advice.choice import choose, enough_bits, is_slow, quality_of, under, usable
from ultralab.assess.advice.types import Change, Means, Row, Wish
from ultralab.assess.limits import recommended_limit
from ultralab.assess.types import Place
from ultralab.kernel.errors import UnknownChoice, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.planner.types import Demand

_STEP: Final = 256
_LEAST_CONTEXT: Final = 2_048
_WORTH_BITS: Final = 0.5  # bits per weight: for fewer nobody should change a setting of the system


@dataclass(frozen=True)
class Cluster:
    """A public measurement with 1, 2 and 4 Macs: decoded tokens per second."""

    way: str
    model: str
    tok_s: tuple[float, float, float]
    source: str


CLUSTERS: Final = (
    Cluster(
        "exo, RDMA", "DeepSeek V3.1", (21.1, 27.8, 32.5),
        "jeffgeerling.com/blog/2025/15-tb-vram-on-mac-studio-rdma-over-thunderbolt-5",
    ),
    Cluster(
        "llama.cpp RPC, TCP", "DeepSeek V3.1", (14.8, 16.0, 14.6),
        "jeffgeerling.com/blog/2025/15-tb-vram-on-mac-studio-rdma-over-thunderbolt-5",
    ),
)  # fmt: skip
"""M3 Ultra machines of 256 and 512 GB. RDMA needs macOS 26.2, Thunderbolt 5 and ``rdma_ctl enable`` in Recovery (Apple
TN3205)."""


def changes_for(rows: Sequence[Row], place: Place, wish: Wish, means: Means) -> tuple[Change, ...]:
    """What would help where nothing fits, the smallest sacrifice first; ``rows`` have the wanted context."""
    if not rows:
        return ()
    smallest = min(rows, key=_needed)
    base = min((one for one in rows if one.candidate.bits_per_weight >= wish.least_bits), key=_needed, default=smallest)
    found: list[Change] = []
    for one in (base,) if base.candidate is smallest.candidate else (base, smallest):
        found += _raised_limit(one, place)
        found += _cheaper_cache(one, place, wish, means)
        found += _shorter(one, place, wish, means)
        found += _fewer(one, place, wish, means)
    if (count := machines_needed(base, place, wish)) and count > 1:
        said = _("Take {count} machines like this one for {quantization}: {needed} divided by layers, buffers in each.")
        told = said.format(count=count, quantization=base.candidate.quantization, needed=format_bytes(base.needed))
        found.append(Change("machines", told, base.needed, True))
    return tuple(found)


def better_ones(rows: Sequence[Row], chosen: Row, place: Place, wish: Wish) -> tuple[Change, ...]:
    """What would be better than the choice: with the GPU's limit raised, and faster where the choice is slow."""
    found = list(_with_raised_limit(rows, chosen, place, wish))
    if is_slow(chosen, wish):
        fitting = [one for one in rows if one.fits and not one.tight]
        found += _faster([one for one in fitting if enough_bits(one, wish)], chosen)
        found += [one for one in _faster(fitting, chosen) if one not in found]
    return tuple(found)


def _with_raised_limit(rows: Sequence[Row], chosen: Row, place: Place, wish: Wish) -> Iterator[Change]:
    raised = recommended_limit(place.memory_bytes)
    if not place.hardware.chip.startswith("Apple") or raised <= place.limit_bytes:
        return
    best = choose(under(rows, place, raised, wish), wish)
    if best is None or not best.memory.known or quality_of(best) < quality_of(chosen) + _WORTH_BITS:
        return
    said = _(
        "With the GPU's limit raised from {limit} to {raised}, {quantization} with {engine} would be the choice: "
        "{needed}, {decode:.1f} tokens per second. “ultralab plan limits” tells how, and how to undo it."
    )
    told = said.format(
        limit=format_bytes(place.limit_bytes),
        raised=format_bytes(raised),
        quantization=best.candidate.quantization,
        engine=best.question.engine,
        needed=format_bytes(best.needed),
        decode=best.decode.prediction.value,
    )
    yield Change("limit", told, best.needed, True)


def _faster(rows: Sequence[Row], chosen: Row) -> list[Change]:
    """What would decode fastest of these, if it is faster than the choice."""
    best = max(rows, key=lambda one: one.decode.prediction.value, default=chosen)
    if best.decode.prediction.value <= chosen.decode.prediction.value:
        return []
    said = _(
        "{quantization} with {engine} should decode {decode:.1f} tokens per second, at {bits:.1f} bits per weight."
    )
    told = said.format(
        quantization=best.candidate.quantization,
        engine=best.question.engine,
        decode=best.decode.prediction.value,
        bits=best.candidate.bits_per_weight,
    )
    return [Change("quantization", told, best.needed, best.fits)]


def machines_needed(row: Row, place: Place, wish: Wish) -> int | None:
    """How many machines like ``place`` the row would take, if weights and cache are divided among them and each has the
    buffers and a process of its own; None where that is not known or no number would do.
    """
    if not row.memory.known:
        return None
    own = row.memory.compute.bytes + row.memory.overhead.bytes
    room = place.limit_bytes * (1 - wish.margin) - own
    divided = row.needed - own
    return max(1, math.ceil(divided / room)) if room > 0 else None


def _needed(row: Row) -> int:
    return row.needed


def _total(row: Row, demand: Demand, means: Means) -> int:
    """What the row would need under another demand, with its errors."""
    memory = means.memory(row.candidate.shape, demand, row.question.engine)
    return round(memory.total * (1 + memory.error_band) + memory.weights.bytes * row.candidate.size_band)


def _raised_limit(row: Row, place: Place) -> Iterator[Change]:
    if not row.memory.known or row.needed <= place.limit_bytes:
        return
    if not place.hardware.chip.startswith("Apple") or row.needed > recommended_limit(place.memory_bytes):
        return
    said = _(
        "Raise the GPU's limit from {limit} for {quantization}, which needs {needed}: {memory} of memory leave {rest} to "
        "macOS and to programs. The planner only prints the command, and the one that undoes it."
    )
    yield Change(
        "limit",
        said.format(
            limit=format_bytes(place.limit_bytes),
            quantization=row.candidate.quantization,
            needed=format_bytes(row.needed),
            memory=format_bytes(place.memory_bytes),
            rest=format_bytes(place.memory_bytes - row.needed),
        ),
        row.needed,
        True,
    )


def _cheaper_cache(row: Row, place: Place, wish: Wish, means: Means) -> Iterator[Change]:
    """The cache in fewer bits: the first kind that makes it fit."""
    if row.needed <= usable(place.limit_bytes, wish):
        return
    for kind in ("q8_0", "q4_0"):
        try:
            total = _total(row, replace(row.question.demand, key_type=kind, value_type=kind), means)
        except (Unsupported, UnknownChoice):  # mlx-lm quantizes no latents and no windows
            return
        if total < row.needed and total <= usable(place.limit_bytes, wish):
            said = _("Keep the KV cache of {quantization} in {kind}: {total} instead of {needed}.").format(
                quantization=row.candidate.quantization,
                kind=kind,
                total=format_bytes(total),
                needed=format_bytes(row.needed),
            )
            yield Change("kv", said, total, True)
            return


def _shorter(row: Row, place: Place, wish: Wish, means: Means) -> Iterator[Change]:
    """The longest context that fits, looked for in steps of 256."""
    limit, demand = usable(place.limit_bytes, wish), row.question.demand
    if row.needed <= limit or not row.memory.known:
        return
    low, high = 0, -(-demand.context // _STEP)
    while high - low > 1:
        middle = (low + high) // 2
        fits = _total(row, replace(demand, context=middle * _STEP), means) <= limit
        low, high = (middle, high) if fits else (low, middle)
    context = low * _STEP
    if context < _LEAST_CONTEXT:
        return
    total = _total(row, replace(demand, context=context), means)
    said = _("Take a context of {context} tokens with {quantization}: {total}.").format(
        context=f"{context:,}", quantization=row.candidate.quantization, total=format_bytes(total)
    )
    yield Change("context", said, total, True)


def _fewer(row: Row, place: Place, wish: Wish, means: Means) -> Iterator[Change]:
    total = _total(row, replace(row.question.demand, sequences=1, outputs=1), means) if wish.sequences > 1 else 0
    if not 0 < total <= usable(place.limit_bytes, wish):
        return
    said = _("Serve one sequence at a time instead of {count}: {total}.").format(
        count=wish.sequences, total=format_bytes(total)
    )
    yield Change("sequences", said, total, True)
