"""What the figures say, in plain words: answers, what to be careful about, what failed. Pure.

Every function takes ``_``, the translation of the report's language, which need not be the process's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultralab.experiments.report.cautions import cautions
from ultralab.experiments.report.figures import change, number, percent, size
from ultralab.experiments.report.rows import Row, doubt, finished, overlap, reference_of, settled
from ultralab.experiments.report.wording import TIMING_LIMIT, Translate, fastest, listed, rivals
from ultralab.experiments.types import Measured


@dataclass(frozen=True)
class Findings:
    """Translated sentences: ``answer`` in one, ``tradeoff`` one per variant, then what else was seen."""

    answer: str
    tradeoff: tuple[str, ...]
    points: tuple[str, ...]
    cautions: tuple[str, ...]
    failures: tuple[str, ...]


def find(rows: Sequence[Row], _: Translate) -> Findings:
    """Everything that can be said about the rows."""
    reference = reference_of(rows)
    base = reference.measured if reference else None
    return Findings(
        answer=answer(rows, _),
        tradeoff=tuple(
            _tradeoff(row, its, base, _) for row, its in finished(rows) if base and row.memory_change is not None
        ),
        points=(*_bits(rows, _), *_needless(rows, _), *_predictions(rows, _), *_timings(rows, _)),
        cautions=cautions(rows, _),
        failures=failures(rows, _),
    )


def smallest(rows: Sequence[Row]) -> tuple[Row, Measured] | None:
    """The finished run that held the least memory."""
    return min(finished(rows), key=lambda pair: pair[1].memory_bytes, default=None)


def closest(rows: Sequence[Row]) -> tuple[Row, Measured] | None:
    """The finished run, the reference aside, that agrees with the reference most often; then by its NLL."""
    others = [pair for pair in finished(rows) if pair[0].nll_change is not None]
    return max(others, key=lambda pair: (pair[1].agreement or 0, -abs(pair[0].nll_change or 0)), default=None)


def answer(rows: Sequence[Row], _: Translate) -> str:
    """The answer in one sentence."""
    done, reference = finished(rows), reference_of(rows)
    least, quickest, nearest = smallest(rows), fastest(rows), closest(rows)
    if least is None or quickest is None:
        return _("No run finished, so there is no answer yet.")
    if len(done) == 1:
        row, measured = done[0]
        return _(
            "Only {variant} finished ({memory} of memory, decode {decode} tok/s, perplexity {perplexity}): "
            "there is nothing to compare it with."
        ).format(
            variant=row.label,
            memory=size(measured.memory_bytes),
            decode=number(measured.decode_tok_s.median),
            perplexity=number(row.perplexity),
        )
    if reference is None or nearest is None:
        return _(
            "The reference did not finish, so the variants can only be compared with each other: {smallest} needs "
            "the least memory ({memory}), {fastest} decodes fastest ({decode} tok/s)."
        ).format(
            smallest=least[0].label,
            memory=size(least[1].memory_bytes),
            fastest=quickest[0].label,
            decode=number(quickest[1].decode_tok_s.median),
        )
    return _(
        "Compared with {reference}, {smallest} needs the least memory ({memory}), {fastest} decodes fastest ({decode}), "
        "and {closest} stays closest in quality (the same favourite token {agreement} of the time)."
    ).format(
        reference=reference.label,
        smallest=least[0].label,
        memory=_or_itself(least[0].memory_change, _),
        fastest=quickest[0].label,
        decode=_hedged(_or_itself(quickest[0].decode_change, _), rows, _),
        closest=nearest[0].label,
        agreement=percent(nearest[1].agreement),
    )


def failures(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    """One sentence per run that has no figures."""
    words = {
        "failed": _("{variant} failed: {problem}"),
        "interrupted": _("{variant} was interrupted: {problem}"),
    }
    other = _("{variant} did not finish: {problem}")
    return tuple(
        words.get(row.run.status, other).format(
            variant=row.label, problem=row.run.problem or _("no reason was recorded.")
        )
        for row in rows
        if row.measured is None
    )


def _or_itself(share: float | None, _: Translate) -> str:
    return _("it is the reference") if share is None else change(share)


def _hedged(words: str, rows: Sequence[Row], _: Translate) -> str:
    return _("{change}, but repeats overlap").format(change=words) if rivals(rows) else words


def _tradeoff(row: Row, measured: Measured, reference: Measured, _: Translate) -> str:
    memory = _compared(row.memory_change, _("{percent} more memory"), _("{percent} less memory"), _("as much memory"))
    speed = _("decode {change} (repeats overlap)").format(change=change(row.decode_change))
    if not overlap(measured.decode_tok_s, reference.decode_tok_s):
        speed = _compared(row.decode_change, _("decode {percent} faster"), _("decode {percent} slower"), speed)
    quality = _("quality not measurably different")
    if settled(row, measured):
        quality = _compared(
            row.perplexity_change,
            _("perplexity {percent} higher (worse)"),
            _("perplexity {percent} lower (better)"),
            quality,
        )
    return _("{variant}: {memory}, {speed}, {quality}.").format(
        variant=row.label, memory=memory, speed=speed, quality=quality
    )


def _compared(share: float | None, more: str, less: str, same: str) -> str:
    if share is None or abs(share) < 0.0005:
        return same
    return (more if share > 0 else less).format(percent=percent(abs(share)))


def _bits(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    """Of variants only: every run of an experiment that is not the reference was made from it (``Subject.target``)."""
    reference = reference_of(rows)
    if reference is None:
        return ()
    wider = [
        row.label
        for row, _m in finished(rows)
        if not row.run.reference and row.run.bits_per_weight > reference.run.bits_per_weight
    ]
    if not wider:
        return ()
    return (
        _(
            "{variants}: more bits per weight than the reference {reference} they were made from. More bits cannot "
            "give back what the source had already lost; they cost memory and can at best repeat its quality."
        ).format(variants=listed(wider, _), reference=reference.label),
    )


def _needless(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    beaten: dict[str, list[str]] = {}
    for row, mine in finished(rows):
        better = next((other.label for other, its in _by_memory(rows) if _dominates(other, its, row, mine)), None)
        if better and row.memory_change is not None:
            beaten.setdefault(better, []).append(row.label)
    return tuple(
        _(
            "Nothing in these figures speaks for {variants}: {better} needs less memory, decodes no slower, and its "
            "quality is not measurably worse."
        ).format(variants=listed(labels, _), better=better)
        for better, labels in beaten.items()
    )


def _by_memory(rows: Sequence[Row]) -> list[tuple[Row, Measured]]:
    return sorted(finished(rows), key=lambda pair: (not pair[0].run.reference, pair[1].memory_bytes))


def _dominates(better: Row, its: Measured, row: Row, mine: Measured) -> bool:
    pairs = ((better, its), (row, mine))
    slack = max((doubt(one, figures) for one, figures in pairs if one.nll_change is not None), default=0.0)
    return (
        its.memory_bytes < mine.memory_bytes
        and its.decode_tok_s.median >= mine.decode_tok_s.median
        and (its.agreement or 0) >= (mine.agreement or 0)
        and its.nll <= mine.nll + slack
    )


def _predictions(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    sentences = []
    errors = [(abs(row.memory_error), row) for row in rows if row.memory_error is not None]
    if errors:
        worst, row = max(errors, key=lambda pair: pair[0])
        sentences.append(
            _("Memory was predicted to within {worst} of what was measured ({variant} was furthest off).").format(
                worst=percent(worst), variant=row.label
            )
        )
    judged = [row for row in rows if row.decode_inside is not None]
    outside = [row.label for row in judged if not row.decode_inside]
    if judged and not outside:
        sentences.append(_("Every measured decode speed fell inside its predicted band."))
    elif judged:
        sentences.append(
            _("Decode speed fell outside its predicted band for {variants}, out of {total} predictions.").format(
                variants=listed(outside, _), total=len(judged)
            )
        )
    return tuple(sentences)


def _timings(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    gaps = [abs(row.timing_gap) for row in rows if row.timing_gap is not None]
    if not gaps or max(gaps) > TIMING_LIMIT:
        return ()
    return (
        _("Decode as the client saw it and as the engine timed it differ by at most {gap} (allowed: {limit}).").format(
            gap=percent(max(gaps)), limit=percent(TIMING_LIMIT, 0)
        ),
    )
