"""The table of models: references whole, and as many columns as the terminal has room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ultralab.cli.models.views import origin
from ultralab.cli.output import table
from ultralab.kernel.language import N_, _
from ultralab.kernel.text import display_width
from ultralab.kernel.units import format_bytes, format_count

if TYPE_CHECKING:
    from rich.console import Console

    from ultralab.app.model_catalog import Listed

_UNSAFE: Final = "⚠"
_MARKS: Final = {"": "", "unplugged": "⏏", "missing": "✗"}
_MEANING: Final = {
    "⚠": N_("can run code when it is loaded; 'ultralab models show MODEL' says why"),
    "⏏": N_("its disk is not plugged in; 'ultralab models show MODEL' says which"),
    "✗": N_("bytes are missing; 'ultralab models show MODEL' says what"),
}
_ALWAYS: Final = 2
_BETWEEN: Final = 3
_EDGES: Final = 2
_NARROWEST: Final = 16


def draw_models(console: Console, listed: Sequence[Listed]) -> None:
    """Print the models as a table, and below it what its marks mean."""
    names = [_("Model"), _("Size"), _("Bits/w"), _("Parameters"), _("Context"), _("Format"), _("From")]
    rows = [_row(one) for one in listed]
    widths = [max(map(display_width, column)) for column in zip(names, *rows, strict=True)]
    widths[-1] = min(widths[-1], _NARROWEST)
    count = columns_that_fit(widths, console.width)
    drawn = table(*names[:count], numbers=(1, 2, 3, 4))
    for column in drawn.columns:
        column.no_wrap = True
    drawn.columns[0].no_wrap = widths[0] + _EDGES <= console.width  # a reference is typed as it stands
    if count == len(names):
        drawn.columns[-1].overflow = "ellipsis"
        drawn.columns[-1].max_width = console.width - sum(widths[:-1]) - _BETWEEN * (count - 1) - _EDGES
    for row in rows:
        drawn.add_row(*row[:count])
    console.print(drawn)
    for mark, meaning in _MEANING.items():
        if any(mark in row[0].split(" ")[1:] for row in rows):
            console.print(f"{mark} {_(meaning)}", soft_wrap=True)


def columns_that_fit(widths: Sequence[int], room: int) -> int:
    """How many columns, from the first, fit side by side into ``room`` terminal cells; at least the first two."""
    count, used = 0, _EDGES - _BETWEEN
    for width in widths:
        used += width + _BETWEEN
        if used > room and count >= _ALWAYS:
            break
        count += 1
    return count


def _row(one: Listed) -> tuple[str, ...]:
    record = one.record
    marks = (_UNSAFE if record.unsafe else "", _MARKS[one.state])
    return (
        " ".join([record.ref, *filter(None, marks)]),
        format_bytes(record.size),
        f"{record.bits_per_weight:.2f}",
        format_count(record.parameters),
        str(record.context or "–"),
        record.format,
        origin(record),
    )
