"""Everything a report says, as translated text in reading order; Markdown and HTML only lay it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ultralab.experiments.report import tables
from ultralab.experiments.report.figures import MISSING, change, day, number, percent, size
from ultralab.experiments.report.findings import Findings, closest, find, smallest
from ultralab.experiments.report.provenance import Fact, RunDetails, details, facts_of_place, labels, origin, setup
from ultralab.experiments.report.rows import Row, finished, reference_of
from ultralab.experiments.report.tables import Table
from ultralab.experiments.report.wording import Translate, fastest, rivals
from ultralab.experiments.types import ExperimentRecord, RunRecord
from ultralab.kernel.units import format_seconds


@dataclass(frozen=True)
class Card:
    """One key figure: what it is, the figure, who has it, and what that means against the reference."""

    title: str
    figure: str
    owner: str
    note: str


@dataclass(frozen=True)
class Content:
    """A whole report in words."""

    experiment_id: str
    title: str
    question: str
    state: str
    summary: str
    findings: Findings
    cards: tuple[Card, ...]
    comparison: Table
    predictions: Table
    method: tuple[str, ...]
    origin: tuple[Fact, ...]
    labels: tuple[Fact, ...]
    setup: tuple[Fact, ...]
    place: tuple[Fact, ...]
    packages: tuple[str, ...]
    runs: tuple[RunDetails, ...]
    next_steps: tuple[str, ...]


def compose(experiment: ExperimentRecord, runs: Sequence[RunRecord], rows: Sequence[Row], _: Translate) -> Content:
    """The report of an experiment and its runs; ``rows`` is their comparison."""
    return Content(
        experiment_id=experiment.id,
        title=experiment.title or experiment.id,
        question=experiment.question,
        state=_state(experiment, rows, _),
        summary=_summary(experiment, rows, _),
        findings=find(rows, _),
        cards=_cards(rows, _),
        comparison=tables.comparison(rows, _),
        predictions=tables.predictions(rows, _),
        method=_method(rows, _),
        origin=origin(experiment, _),
        labels=labels(experiment, runs, _),
        setup=setup(runs, _),
        place=facts_of_place(experiment, _),
        packages=experiment.provenance.packages,
        runs=tuple(details(row, _) for row in rows),
        next_steps=_next_steps(rows, _),
    )


def _state(experiment: ExperimentRecord, rows: Sequence[Row], _: Translate) -> str:
    """A sentence where the experiment is not whole, else nothing."""
    done = len(finished(rows))
    if experiment.status == "finished" and done == len(rows):
        return ""
    words = {
        "failed": _("This experiment failed: {done} of {total} runs finished."),
        "interrupted": _("This experiment was interrupted: {done} of {total} runs finished."),
        "finished": _("Not every run finished: {done} of {total} did."),
    }
    other = _("This experiment has not ended yet: {done} of {total} runs finished.")
    sentence = words.get(experiment.status, other).format(done=done, total=len(rows))
    return f"{sentence} {experiment.problem}".strip()


def _summary(experiment: ExperimentRecord, rows: Sequence[Row], _: Translate) -> str:
    parts = [
        day(experiment.started),
        _("runs finished: {done} of {total}").format(done=len(finished(rows)), total=len(rows)),
    ]
    if took := _seconds(experiment.started, experiment.ended):
        parts.append(_("took {duration}").format(duration=format_seconds(took)))
    return " · ".join(parts)


def _seconds(start: str, end: str) -> float:
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _cards(rows: Sequence[Row], _: Translate) -> tuple[Card, ...]:
    cards = []
    least, quickest, nearest = smallest(rows), fastest(rows), closest(rows)
    reference = reference_of(rows)
    against = _("{change} against {reference}")

    def note(row: Row, share: float | None, *, unsure: bool = False) -> str:
        if reference is None or len(finished(rows)) < 2:
            return ""
        if share is None:
            return _("it is the reference") if row is reference else ""
        words = against.format(change=change(share), reference=reference.label)
        return _("{change}, but repeats overlap").format(change=words) if unsure else words

    if least:
        row, measured = least
        cards.append(Card(_("Least memory"), size(measured.memory_bytes), row.label, note(row, row.memory_change)))
    if quickest:
        row, measured = quickest
        speed = _("{number} tok/s").format(number=number(measured.decode_tok_s.median))
        cards.append(
            Card(_("Fastest decode"), speed, row.label, note(row, row.decode_change, unsure=bool(rivals(rows))))
        )
    if nearest:
        row, measured = nearest
        share = percent(measured.agreement)
        cards.append(Card(_("Closest to the reference"), share, row.label, _("of its favourite tokens are the same")))
    errors = [abs(row.memory_error) for row in rows if row.memory_error is not None]
    if errors:
        cards.append(Card(_("Memory prediction"), f"±{percent(max(errors))}", _("all runs"), _("largest error")))
    return tuple(cards)


def _method(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    done = finished(rows)
    if not done:
        return (_("No run finished, so nothing was measured."),)
    repeats = sorted({len(measured.decode_tok_s.values) for _row, measured in done})
    tokens = sorted({measured.scored_tokens for _row, measured in done})
    cold = all(measured.cached_tokens == 0 for _row, measured in done)
    return (
        _("Each variant was loaded alone, by an engine in a process of its own, measured, and unloaded."),
        _(
            "Speed: after a warm-up, prompts of one length were answered, the same for every variant; repeats: "
            "{repeats}. Tables show medians, details the range. Prefill is the reading of the prompt, decode the "
            "writing of the answer, TTFT the time until the first token, all as the client saw them."
        ).format(repeats=_numbers(repeats)),
        _("The prompt cache was off, and the engine's own count of cached prompt tokens was 0 each time.")
        if cold
        else _("Some prompt tokens came out of a cache: see what to be careful about."),
        _("Memory: what the engine's process held after use (its footprint), not the size of the file."),
        _(
            "Quality: every variant scored the same fixed text of {tokens} tokens, each token after the true ones "
            "before it (teacher forcing). NLL is the mean negative log-likelihood in nats per token, perplexity is "
            "exp(NLL)."
        ).format(tokens=_numbers(tokens)),
        _(
            "Same favourite token: the share of positions of that text where a variant and the reference like the same token best."
        ),
        _("Predictions were made before the runs, from the file's header and this machine's figures alone."),
    )


def _numbers(values: Sequence[int]) -> str:
    return f"{values[0]}–{values[-1]}" if len(values) > 1 else str(values[0]) if values else MISSING


def _next_steps(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    steps = []
    if any(row.measured is None for row in rows):
        steps.append(_("Mend what stopped the unfinished runs, then run the experiment again."))
    done = finished(rows)
    if any(row.nll_change is not None and row.nll_change < 0 and not row.run.reference for row, _m in done):
        steps.append(_("Score a longer text: no variant can really be better than the source it was made from."))
    reference = reference_of(rows)
    if reference and any(row.run.bits_per_weight > reference.run.bits_per_weight for row, _m in done):
        steps.append(_("Start from a source with more bits (F16, BF16) to see what each level itself costs."))
    steps.append(_("Repeat with texts and prompts of your own work: quality on one text is not quality on all."))
    return tuple(steps)
