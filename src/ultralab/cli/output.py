"""How results are shown: one console, tables that fit 80 columns, JSON with a stable shape."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ultralab.cli.frame import Request

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table


def show(request: Request, data: Any, draw: Callable[[Console], None]) -> None:
    """Print ``data`` as JSON where that was asked for; else let ``draw`` show it to a person."""
    if request.json:
        print_json(data)
        sys.stdout.flush()
    else:
        draw(console())


def print_json(data: Any) -> None:
    """Print JSON to standard output."""
    print(lossless(json.dumps(data, ensure_ascii=False, indent=2, default=str)))


def lossless(text: str) -> str:
    """JSON whose every character can be written as UTF-8: a byte that was none comes out as the escape of its surrogate."""
    return text.encode(errors="backslashreplace").decode()


def console() -> Console:
    """The console on standard output. What it prints is text: ``[x]`` in a title or a path is no markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def table(*columns: str, numbers: Sequence[int] = (), title: str = "") -> Table:
    """A calm table: rules above and below the head only; the columns in ``numbers`` are right-aligned."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", pad_edge=False)
    for position, name in enumerate(columns):
        made.add_column(name, justify="right" if position in numbers else "left", overflow="fold", header_style="bold")
    return made


def pairs(rows: Sequence[tuple[str, RenderableType]]) -> Table:
    """Two columns without a head: a name and what it is."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value)
    return made
