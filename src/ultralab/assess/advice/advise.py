"""Advice: which quantization of a model, in which engine, with which context, on a machine, and why.

The rule, in this order:

1. A row *fits* when its memory, with the error of the prediction and of the size, stays below the machine's limit. It is
   *tight* when it leaves less than a margin (2 % of the limit): it is shown so, and not chosen.
2. Of those that fit and are not tight, with the wanted context and decode at least the wanted tokens per second, the best quality wins: by
   the lab's own measurements of this very model where every such row has one, else by bits per weight, where bits
   beyond those that the model was trained in count for nothing. Equal quality: the faster one.
3. Fewer than four bits per weight are taken only where nothing else fits.
4. Where none is fast enough, the smallest of at least four bits is taken: the fastest that does not give up quality.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ultralab.assess.advice.changes import changes_for, faster, machines_needed
from ultralab.assess.advice.quality import Loss, known_loss, sentence
from ultralab.assess.advice.types import Advice, Candidate, Means, Row, Wish
from ultralab.assess.types import Place, Question
from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import format_bytes
from ultralab.models.formats.base import ModelHeader
from ultralab.planner.types import Demand

_EXACT = N_("the bytes of the tensors that the header lists")


def of_header(name: str, header: ModelHeader, ref: str = "") -> Candidate:
    """A model whose header was read, as something that could be loaded."""
    names = tuple(one for one in (name, header.title, *header.base_models) if one)
    return Candidate(name, header.format, header.quantization, header.shape, names, 0.0, _EXACT, ref or name)


def advise(
    name: str,
    candidates: Sequence[Candidate],
    place: Place,
    wish: Wish,
    means: Means,
    *,
    contexts: Iterable[int] = (),
    measured: Sequence[Loss] = (),
) -> Advice:
    """Compare candidates (of one model) on a machine. ``contexts``: further ones for the table; ``measured``: the lab's own.

    Pure; some milliseconds. Raises RequestError for a wish that nothing can be, and where there is no candidate.
    """
    require_sensible(wish)
    if not candidates:
        raise RequestError(
            _("There is no quantization of {name} to compare.").format(name=name),
            hint=_("Name a model of the library, a file, or a well-known model: ultralab plan fits lists them."),
        )
    lengths = sorted({wish.context, *contexts})
    rows = tuple(
        row(candidate, context, engine, place, wish, means, measured)
        for candidate in candidates
        for engine in means.engines(candidate.format)
        for context in lengths
    )
    wanted = [one for one in rows if one.question.demand.context == wish.context]
    chosen = choose(wanted, wish)
    smallest = min(wanted, key=lambda one: one.needed, default=None)
    slow = chosen is not None and _slow(chosen, wish)
    return Advice(
        name=name,
        place=place,
        wish=wish,
        rows=rows,
        chosen=chosen,
        why=_why(chosen, wanted, place, wish),
        changes=(faster(wanted, chosen) if slow else ()) if chosen else changes_for(wanted, place, wish, means),
        machines=machines_needed(chosen or smallest, place, wish) if smallest else None,
    )


def require_sensible(wish: Wish) -> None:
    """Raises RequestError for a context, a speed or a margin that cannot be."""
    problems = (
        (_("the context"), wish.context, 1, 100_000_000),
        (_("the prompt"), wish.prompt, 1, 100_000_000),
        (_("the number of sequences"), wish.sequences, 1, 256),
        (_("the speed"), wish.least_decode, 0, 100_000),
    )
    for what, value, least, most in problems:
        if not least <= value <= most:
            raise RequestError(
                _("{what} is {value}; it must be from {least} to {most}.").format(
                    what=what, value=value, least=least, most=most
                ),
                hint=_("Give a number that a model could be loaded with."),
            )


def row(
    candidate: Candidate, context: int, engine: str, place: Place, wish: Wish, means: Means, measured: Sequence[Loss] = ()
) -> Row:  # fmt: skip
    """One line of the table."""
    question = Question(demand_of(wish, context), engine, min(wish.prompt, context))
    memory = means.memory(candidate.shape, question.demand, engine)
    decode, prefill, ttft = means.speeds(candidate.shape, question, candidate.quantization)
    needed = round(memory.total * (1 + memory.error_band) + memory.weights.bytes * candidate.size_band)
    return Row(
        candidate=candidate,
        question=question,
        memory=memory,
        needed=needed,
        fits=_fits(needed, memory.known, memory.weights.bytes, place.limit_bytes),
        tight=usable(place, wish) < needed <= place.limit_bytes,
        decode=decode,
        prefill=prefill,
        ttft=ttft,
        loss=known_loss((*candidate.names, candidate.name), candidate.quantization, measured),
    )


def demand_of(wish: Wish, context: int) -> Demand:
    """How the wish would be loaded, with that context."""
    return Demand(context, wish.sequences, key_type=wish.key_type, value_type=wish.value_type)


def usable(place: Place, wish: Wish) -> int:
    """Bytes that a choice may take: the limit less the margin."""
    return round(place.limit_bytes * (1 - wish.margin))


def choose(rows: Sequence[Row], wish: Wish) -> Row | None:
    """The row that the rule of this module takes; None where nothing is known to fit."""
    fitting = [one for one in rows if one.fits and not one.tight]
    if not fitting:
        return None
    good = [one for one in fitting if _bits(one) >= wish.least_bits] or fitting
    fast = [one for one in good if not _slow(one, wish)]
    if fast:
        return max(fast, key=lambda one: (*_quality(one, fast), one.decode.prediction.value))
    return min(good, key=lambda one: (one.candidate.shape.bytes_per_token, one.needed))


def _fits(needed: int, known: bool, weights: int, limit: int) -> bool | None:
    if needed <= limit:
        return True
    return False if known or weights > limit else None


def _slow(one: Row, wish: Wish) -> bool:
    """Whether it is known to decode slower than wanted: an unknown speed is no reason against a model."""
    return 0 < one.decode.prediction.value < wish.least_decode


def _bits(one: Row) -> float:
    return min(one.candidate.bits_per_weight, one.candidate.trained_bits)


def _quality(one: Row, among: Sequence[Row]) -> tuple[float, float]:
    """A larger tuple is a better quality; own measurements count only where all have one, as else they tell nothing."""
    ratios = [_own_ratio(other) for other in among]
    own = _own_ratio(one)
    measured = -own if own is not None and None not in ratios else 0.0
    return measured, round(_bits(one), 2)


def _own_ratio(one: Row) -> float | None:
    found = one.loss
    return found.loss.perplexity_ratio if found and found.loss.is_own and not found.transferred else None


def _why(chosen: Row | None, rows: Sequence[Row], place: Place, wish: Wish) -> tuple[str, ...]:
    if chosen is None:
        return _why_nothing(rows, place, wish)
    said = [
        _(
            "{name} in {quantization} with {engine} is the choice: with {context} tokens of context it takes {total} "
            "of {limit} on {place}, and {margin} stays free."
        ).format(
            name=chosen.candidate.name,
            quantization=chosen.candidate.quantization,
            engine=chosen.question.engine,
            context=f"{wish.context:,}",
            total=format_bytes(chosen.memory.total),
            limit=format_bytes(place.limit_bytes),
            place=place.name,
            margin=format_bytes(place.limit_bytes - chosen.memory.total),
        ),
        _speed_said(chosen, wish),
        _("What this quantization costs: {loss}.").format(loss=sentence(chosen.loss)),
    ]
    if chosen.loss and chosen.loss.transferred:
        said.append(_("That was another model; on this one it may be more or less."))
    if (reason := _next_better(chosen, rows, place, wish)) is not None:
        said.append(reason)
    if chosen.candidate.size_band:
        said.append(
            _(
                "Its size is an estimate within {percent:.0f} %: the planner answers exactly once its header is read."
            ).format(percent=100 * chosen.candidate.size_band)
        )
    return tuple(said)


def _speed_said(chosen: Row, wish: Wish) -> str:
    decode, prefill = chosen.decode.prediction, chosen.prefill.prediction
    if decode.value <= 0:
        return _("How fast it would be is not known.")
    told = _("It should decode {decode:.1f} tokens per second ({low:.1f}–{high:.1f})").format(
        decode=decode.value, low=decode.low, high=decode.high
    )
    if prefill.value > 0 and chosen.ttft.value > 0:
        told += _(
            " and read a prompt at {prefill:.0f}, so {prompt} tokens of prompt mean a wait of {wait:.0f} s"
        ).format(prefill=prefill.value, prompt=f"{chosen.question.prompt:,}", wait=chosen.ttft.value)
    if _slow(chosen, wish):
        return told + _("; none that fits reaches the {least:g} that are wanted.").format(least=wish.least_decode)
    return told + _(".")


def _next_better(chosen: Row, rows: Sequence[Row], place: Place, wish: Wish) -> str | None:
    """Why the next better quality was not taken."""
    better = [one for one in rows if round(_bits(one), 2) > round(_bits(chosen), 2)]
    nearest = min(better, key=lambda one: (_bits(one), one.needed), default=None)
    if nearest is None:
        return None
    if nearest.tight:
        return _("The next better, {quantization}, would leave only {rest} of the limit.").format(
            quantization=nearest.candidate.quantization, rest=format_bytes(place.limit_bytes - nearest.needed)
        )
    if nearest.fits is not True:
        return _("The next better, {quantization}, would need {needed}.").format(
            quantization=nearest.candidate.quantization, needed=format_bytes(nearest.needed)
        )
    if _slow(nearest, wish):
        return _("The next better, {quantization}, would decode only {decode:.1f} tokens per second.").format(
            quantization=nearest.candidate.quantization, decode=nearest.decode.prediction.value
        )
    return None


def _why_nothing(rows: Sequence[Row], place: Place, wish: Wish) -> tuple[str, ...]:
    smallest = min(rows, key=lambda one: one.needed, default=None)
    if smallest is None:
        return (_("No engine here loads any of these formats."),)
    facts = {
        "quantization": smallest.candidate.quantization,
        "context": f"{wish.context:,}",
        "needed": format_bytes(smallest.needed),
        "limit": format_bytes(place.limit_bytes),
        "place": place.name,
    }
    if smallest.fits is None:
        said = _(
            "Nobody can say whether {quantization} fits with {context} tokens: what its layers keep is not known; "
            "{needed} is an upper bound, the limit of {place} is {limit}."
        )
    else:
        said = _(
            "Nothing fits: even {quantization} needs {needed} with {context} tokens of context, and models may take "
            "{limit} on {place}."
        )
    return (said.format(**facts),)
