"""What is said about a choice, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ultralab.assess.advice.choice import HALF, is_slow, quality_of
from ultralab.assess.advice.quality import sentence
from ultralab.assess.advice.types import Row, Wish
from ultralab.assess.types import Place
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes


def reasons(chosen: Row | None, rows: Sequence[Row], place: Place, wish: Wish) -> tuple[str, ...]:
    """Why that row was chosen of ``rows``, or why none was, in sentences (translated)."""
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
            place=_("this machine") if place.name == "this" else place.name,
            margin=format_bytes(place.limit_bytes - chosen.memory.total),
        ),
        _speed_said(chosen, wish),
        *_slow_said(chosen, wish),
        _("What this quantization costs: {loss}.").format(loss=sentence(chosen.loss)),
    ]
    if chosen.loss and chosen.loss.transferred:
        said.append(_("That was another model; on this one it may be more or less."))
    if (reason := _next_better(chosen, rows, place, wish)) is not None:
        said.append(reason)
    if 0 < (trained := chosen.candidate.shape.trained_context) < wish.context:
        said.append(
            _("It was trained for {trained} tokens of context: beyond them its answers may get worse.").format(
                trained=f"{trained:,}"
            )
        )
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
    if is_slow(chosen, wish):
        return told + _("; none that fits reaches the {least:g} that are wanted.").format(least=wish.least_decode)
    return told + _(".")


def _slow_said(chosen: Row, wish: Wish) -> tuple[str, ...]:
    """What decided where no row that fits has the wanted speed."""
    if not is_slow(chosen, wish):
        return ()
    if is_slow(chosen, wish, HALF):
        return (_("None has even half of it, so the fastest was taken that keeps enough bits per weight."),)
    return (
        _(
            "So the best quality was taken that decodes at least half as fast ({half:g} tokens per second); more than "
            "six and a half bits per weight are not worth more waiting."
        ).format(half=HALF * wish.least_decode),
    )


def _next_better(chosen: Row, rows: Sequence[Row], place: Place, wish: Wish) -> str | None:
    """Why the next better quality was not taken."""
    better = [one for one in rows if quality_of(one) > quality_of(chosen)]
    nearest = min(better, key=lambda one: (quality_of(one), one.needed), default=None)
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
    if is_slow(nearest, wish):
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
        "place": _("this machine") if place.name == "this" else place.name,
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
