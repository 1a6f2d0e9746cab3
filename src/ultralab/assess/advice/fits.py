"""The well-known large models on one machine: which quantization would be chosen, what it takes, how fast, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ultralab.assess.advice.advise import advise
from ultralab.assess.advice.choice import enough_bits, is_slow, usable
from ultralab.assess.advice.data import row_data
from ultralab.assess.advice.quality import Loss
from ultralab.assess.advice.types import Candidate, Means, Row, Wish
from ultralab.assess.data import place_data
from ultralab.assess.known.models import KnownModel, models
from ultralab.assess.types import Place
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import format_bytes

NO_ROOM = N_("does not fit")
SLOW = N_("slower than wanted")
FEW_BITS = N_("only below four bits per weight")
UNKNOWN = N_("what its layers keep is not known")
RAISED = N_("more bits with a raised GPU limit")
SHORT = N_("trained for a shorter context")


@dataclass(frozen=True)
class Fit:
    """A model and the row that is chosen for it; without one, ``row`` is its smallest and ``fits`` says no or unknown.

    ``remarks`` are message ids; ``why_not`` is a sentence (translated), empty where it fits. ``machines``: how many
    machines like this one the row would take, None where nobody can say.
    """

    model: KnownModel
    row: Row
    fits: bool | None
    remarks: tuple[str, ...]
    why_not: str
    machines: int | None


def candidates_of(model: KnownModel) -> tuple[Candidate, ...]:
    """Its quantizations, as advice takes them."""
    return tuple(
        Candidate(
            name=model.name,
            format=one.format,
            quantization=one.name,
            shape=model.shape(one.name),
            names=(model.name, *model.also),
            size_band=one.band,
            size_basis=one.basis,
            ref=_ref(model, one.name),
            trained_bits=model.trained_bits,
        )
        for one in model.quantizations
    )


def fits(
    place: Place,
    means: Means,
    wish: Wish | None = None,
    *,
    known: Sequence[KnownModel] | None = None,
    measured: Sequence[Loss] = (),
) -> tuple[Fit, ...]:
    """Every known model on this machine, the best first: those that fit and are fast enough by their parameters, then
    those that fit with a remark, then those of which nobody can say, then the rest by what they lack.
    """
    asked = wish or Wish()
    found = [_fit(model, place, asked, means, measured) for model in (models() if known is None else known)]
    return tuple(sorted(found, key=_rank))


def to_data(found: Sequence[Fit], place: Place, wish: Wish) -> dict[str, Any]:
    """The ranking with stable keys."""
    return {
        "machine": place_data(place),
        "context": wish.context,
        "least_decode_tok_s": wish.least_decode,
        "models": [
            {
                "id": one.model.id,
                "name": one.model.name,
                "also": list(one.model.also),
                "parameters": one.model.parameters,
                "active_parameters": one.model.active,
                "licence": one.model.licence,
                "source": one.model.source,
                "fits": one.fits,
                "remarks": [_(remark) for remark in one.remarks],
                "why_not": one.why_not or None,
                "machines": one.machines,
                "choice": row_data(one.row),
            }
            for one in found
        ],
    }


def _fit(model: KnownModel, place: Place, wish: Wish, means: Means, measured: Sequence[Loss]) -> Fit:
    context = min(wish.context, model.trained_context)
    asked = replace(wish, context=context)
    advice = advise(model.name, candidates_of(model), place, asked, means, measured=measured)
    chosen = advice.chosen
    row = chosen or min(advice.rows, key=lambda one: one.needed)
    remarks = []
    if context < wish.context:
        remarks.append(SHORT)
    if not row.memory.known:
        remarks.append(UNKNOWN)
    if chosen and is_slow(row, wish):
        remarks.append(SLOW)
    if chosen and not enough_bits(row, wish):
        remarks.append(FEW_BITS)
    if chosen and any(change.kind == "limit" for change in advice.changes):
        remarks.append(RAISED)
    if row.fits is False:
        remarks.append(NO_ROOM)
    return Fit(model, row, row.fits, tuple(remarks), _why_not(row, place, asked), advice.machines)


def _why_not(row: Row, place: Place, wish: Wish) -> str:
    if row.fits:
        return ""
    facts = {
        "quantization": row.candidate.quantization,
        "needed": format_bytes(row.needed),
        "limit": format_bytes(usable(place.limit_bytes, wish)),
    }
    if row.fits is None:
        return _(
            "{quantization} needs at most {needed}; {limit} are there, and what its layers keep is not known."
        ).format(**facts)
    return _("even {quantization} needs {needed}; {limit} are there").format(**facts)


def _rank(one: Fit) -> tuple[int, float]:
    if one.fits is None:
        return 2, one.row.needed
    if not one.fits:
        return 3, one.row.needed
    held_back = SLOW in one.remarks or FEW_BITS in one.remarks
    return (1 if held_back else 0), -one.model.parameters


def _ref(model: KnownModel, quantization: str) -> str:
    """What ``ultralab models pull`` takes; empty where no repository is known to hold that quantization."""
    repository = model.files.get(quantization)
    return f"hf:{repository}:{quantization}" if repository else ""
