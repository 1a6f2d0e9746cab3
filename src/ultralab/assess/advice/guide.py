"""The guide to very large models, ``models/large_models.md`` of the lab: a part made from the planner's figures.

The part is named ``machine``; the part ``guide`` of the same page belongs to the lab's tree, and all else to its owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ultralab.assess.advice import quality
from ultralab.assess.advice.advise import advise, row
from ultralab.assess.advice.changes import CLUSTERS
from ultralab.assess.advice.fits import Fit, candidates_of, fits
from ultralab.assess.advice.quality import Loss, published
from ultralab.assess.advice.types import Advice, Means, Row, Wish
from ultralab.assess.known.models import find
from ultralab.assess.limits import LimitAdvice, advice_on_limit
from ultralab.assess.types import Place
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _, current_language, use_language
from ultralab.kernel.units import format_bytes, format_count, format_rate, format_seconds
from ultralab.pages import Metadata, render, write_page

PAGE: Final = "models/large_models.md"
LARGE: Final = "deepseek-r1"
"""The 671 billion parameters that the lab's rules promise a guide to (their §4.2)."""

_PACKAGE: Final = "ultralab.assess.advice"
_VERSION: Final = "1.0"
_CONTEXTS: Final = (8_192, 32_768, 131_072)
_PROMPTS: Final = (512, 8_192, 32_768)


def guide_text(
    place: Place, means: Means, language: str, wish: Wish | None = None, *, measured: Sequence[Loss] = ()
) -> str:  # fmt: skip
    """The whole page as it would be new, in ``language``. Pure but for reading its template."""
    asked = wish or Wish()
    with _speaking(language):
        ranked = fits(place, means, asked, measured=measured)
        large = _large(place, means, asked, measured)
        waiting = next((one for one in ranked if one.model.id == LARGE and one.fits), ranked[0]).row
        values = {
            "place": _place(place),
            "limit": _limit(place),
            "context": f"{asked.context:,}",
            "prompt": f"{asked.prompt:,}",
            "least": f"{asked.least_decode:g}",
            "rows": [_ranked(one) for one in ranked],
            "large": large,
            "waiting": f"{waiting.candidate.name}, {waiting.candidate.quantization}",
            "waits": list(_waits(waiting, place, means, asked)),
            "clusters": CLUSTERS,
            "sizes": _named(size.source for one in ranked for size in one.model.quantizations if not size.band),
            "losses": _named(loss.source for loss in published()),
        }
        return render(_PACKAGE, f"templates/{language}/large_models.md", language, **values)


def write_guide(
    home: Path, place: Place, means: Means, language: str, author: str, date: str, wish: Wish | None = None, *,
    measured: Sequence[Loss] = (),
) -> tuple[str, ...]:  # fmt: skip
    """Make the page or bring its part up to date; what changed, relative to ``home``. The owner's text is kept.

    ``date`` is today's (ISO 8601). Raises InvalidSpec (the document's fences are broken), FileAccess, DiskFull.
    """
    text = guide_text(place, means, language, wish, measured=measured)
    title = text.partition("\n")[0].removeprefix("# ")
    changed = write_page(home / PAGE, text, Metadata(title, date, author, _VERSION), language)
    return (PAGE,) if changed else ()


@contextmanager
def _speaking(language: str) -> Iterator[None]:
    """Sentences of the planner in the lab's language, whatever the process speaks."""
    before = current_language()
    use_language(language)
    try:
        yield
    finally:
        use_language(before)


def _place(place: Place) -> dict[str, str]:
    hardware = place.hardware
    rate = f", {format_rate(hardware.bandwidth)}" if hardware.bandwidth else ""
    return {
        "name": _("this machine") if place.name == "this" else place.name,
        "chip": f"{hardware.chip}{rate}",
        "memory": format_bytes(place.memory_bytes),
        "limit": format_bytes(place.limit_bytes),
        "basis": place.basis,
    }


def _limit(place: Place) -> LimitAdvice | None:
    if not place.hardware.chip.startswith("Apple"):
        return None
    return advice_on_limit(place.memory_bytes, place.limit_bytes, 0)


def _ranked(one: Fit) -> dict[str, str]:
    remarks = [_(remark) for remark in one.remarks]
    if one.fits is False and one.machines and one.machines > 1:
        remarks.append(_("{count} such machines").format(count=one.machines))
    return {
        "name": one.model.name,
        "parameters": format_count(one.model.parameters),
        "active": format_count(one.model.active),
        "remarks": "; ".join(remarks),
        **_figures(one.row),
    }


def _figures(one: Row) -> dict[str, str]:
    """A row's figures as people read them; ``≈`` before a size that is an estimate, ``≤`` before an upper bound."""
    about = "≈ " if one.candidate.size_band else ""
    return {
        "quantization": one.candidate.quantization,
        "engine": one.question.engine,
        "weights": about + format_bytes(one.memory.weights.bytes),
        "bits": f"{one.candidate.bits_per_weight:.2f}",
        "kv": format_bytes(one.memory.kv_cache.bytes) if one.memory.kv_cache.known else "–",
        "total": ("" if one.memory.known else "≤ ") + format_bytes(one.memory.total),
        "fits": _("tight") if one.tight else {True: _("yes"), False: _("no"), None: _("nobody can say")}[one.fits],
        "decode": _speed(one.decode.prediction.value),
        "prefill": _speed(one.prefill.prediction.value),
        "loss": quality.short(one.loss),
    }


def _speed(value: float) -> str:
    if value <= 0:
        return "–"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _large(place: Place, means: Means, wish: Wish, measured: Sequence[Loss]) -> dict[str, Any]:
    model = find(LARGE)
    advice = advise(model.name, candidates_of(model), place, wish, means, measured=measured)
    shown = advice.chosen or min(advice.rows, key=lambda one: one.needed)
    return {
        "name": model.name,
        "parameters": format_count(model.parameters),
        "also": ", ".join(model.also),
        "why": advice.why,
        "contexts": [_at(shown, context, place, wish, means) for context in _CONTEXTS],
        "quantizations": [_figures(one) for one in _by_size(advice)],
        "changes": [change.sentence for change in advice.changes],
        "ref": shown.candidate.ref if advice.chosen else "",
        "plain_context": wish.context,
    }


def _by_size(advice: Advice) -> list[Row]:
    return sorted(advice.rows, key=lambda one: (-one.memory.weights.bytes, one.question.engine))


def _at(shown: Row, context: int, place: Place, wish: Wish, means: Means) -> dict[str, str]:
    plain = row(shown.candidate, context, shown.question.engine, place, wish, means)
    cheap = replace(wish, key_type="q8_0", value_type="q8_0")
    try:
        small = format_bytes(row(shown.candidate, context, shown.question.engine, place, cheap, means).memory.total)
    except Unsupported:  # mlx-lm quantizes no latents and no windows
        small = "–"
    return {**_figures(plain), "context": f"{context:,}", "total_q8": small}


def _waits(shown: Row, place: Place, means: Means, wish: Wish) -> Iterator[dict[str, str]]:
    """For each length of a prompt, the time until it is read and the speed right behind it."""
    for prompt in _PROMPTS:
        asked = replace(wish, prompt=prompt)
        at = row(shown.candidate, prompt, shown.question.engine, place, asked, means)
        wait = format_seconds(at.ttft.value) if at.ttft.value > 0 else "–"
        yield {"prompt": f"{prompt:,}", "wait": wait, "decode": _speed(at.decode.prediction.value)}


def _named(sources: Iterable[str]) -> str:
    """Sources in one line, each once."""
    return "; ".join(sorted(set(sources)))
