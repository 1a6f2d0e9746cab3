"""What a reader should be careful about, in plain words. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ultralab.experiments.report.figures import change, fixed, number, percent, signed
from ultralab.experiments.report.rows import Row, finished, relative_spread, settled
from ultralab.experiments.report.scores import resolution
from ultralab.experiments.report.wording import (
    SPREAD_LIMIT,
    TIMING_LIMIT,
    Translate,
    fastest,
    listed,
    rivals,
)

_SHOWN = 4


def cautions(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    """One sentence per doubt that the figures themselves raise."""
    return (
        *_overlap(rows, _),
        *_spreads(rows, _),
        *_tiny(rows, _),
        *_agreement(rows, _),
        *_cached(rows, _),
        *_slow_client(rows, _),
    )


def _slow_client(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    wide = [
        _("{variant} ({value})").format(variant=row.label, value=change(row.timing_gap))
        for row in rows
        if row.timing_gap is not None and abs(row.timing_gap) > TIMING_LIMIT
    ]
    if not wide:
        return ()
    return (
        _(
            "Decode as the client saw it differs from the engine's own timings by more than {limit}: {variants}. "
            "Something beside the model took time; do not compare these speeds."
        ).format(limit=percent(TIMING_LIMIT, 0), variants=listed(wide, _)),
    )


def _overlap(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    best, close = fastest(rows), rivals(rows)
    if best is None or not close:
        return ()
    return (
        _("The decode ranges of {fastest} and {rivals} overlap: these repeats do not settle which is faster.").format(
            fastest=best[0].label, rivals=listed(close, _)
        ),
    )


def _spreads(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    wide: list[tuple[float, str]] = []
    for row, measured in finished(rows):
        for name, spread in (
            (_("decode"), measured.decode_tok_s),
            (_("prefill"), measured.prefill_tok_s),
            (_("TTFT"), measured.ttft_s),
        ):
            share = relative_spread(spread)
            if share > SPREAD_LIMIT:
                words = _("{variant} {figure} ({value})")
                wide.append((share, words.format(variant=row.label, figure=name, value=percent(share, 0))))
    if not wide:
        return ()
    widest = [text for _share, text in sorted(wide, key=lambda pair: -pair[0])]
    if len(widest) > _SHOWN:
        widest = [*widest[:_SHOWN], _("and {count} more").format(count=len(widest) - _SHOWN)]
    return (
        _(
            "Repeats spread by more than {limit} of their median: {figures}. Repeat on an idle machine before you "
            "build on differences in speed."
        ).format(limit=percent(SPREAD_LIMIT, 0), figures=listed(widest, _)),
    )


def _tiny(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    exact, rough, tokens = [], [], 0
    for row, measured in finished(rows):
        if row.nll_change is None or settled(row, measured):
            continue
        tokens = measured.scored_tokens
        if row.nll_margin is None:
            rough.append(_("{variant} ({value})").format(variant=row.label, value=signed(row.nll_change, 4)))
        else:
            value = f"{signed(row.nll_change, 4)} ± {row.nll_margin:.4f}"
            exact.append(_("{variant} ({value})").format(variant=row.label, value=value))
    sentences = []
    if exact:
        sentences.append(
            _(
                "Over {tokens} tokens, compared token by token, these differences in NLL are smaller than what chance "
                "alone may make (95% interval): {variants}. Count them as equal to the reference."
            ).format(tokens=tokens, variants=listed(exact, _))
        )
    if rough:
        sentences.append(
            _(
                "A text of {tokens} tokens cannot settle every difference in NLL: as a rule of thumb, what lies below "
                "about {limit} nats per token may be chance. Here that is {variants}."
            ).format(tokens=tokens, limit=number(resolution(tokens)), variants=listed(rough, _))
        )
    return tuple(sentences)


def _agreement(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    errors = [
        (1.96 * math.sqrt(row.agreement * (1 - row.agreement) / measured.scored_tokens), measured.scored_tokens)
        for row, measured in finished(rows)
        if row.nll_change is not None and row.agreement is not None and 0 < row.agreement < 1 and measured.scored_tokens
    ]
    if not errors:
        return ()
    widest, tokens = max(errors)
    return (
        _("Counted on {tokens} positions, a share of same favourite tokens is known to about ±{points} points.").format(
            tokens=tokens, points=fixed(100 * widest, 1)
        ),
    )


def _cached(rows: Sequence[Row], _: Translate) -> tuple[str, ...]:
    warm = [row.label for row, measured in finished(rows) if measured.cached_tokens > 0]
    if not warm:
        return ()
    return (
        _(
            "The engine took prompt tokens out of a cache for {variants}: their prefill speed and TTFT look better "
            "than they are."
        ).format(variants=listed(warm, _)),
    )
