"""How help is laid out: click's layout, with lines measured in columns, so that Chinese wraps as well."""

from __future__ import annotations

from collections.abc import Iterable

import click

from ultralab.kernel.text import display_width, wrap

_FIRST_COLUMN = 30
_BETWEEN = 2


class Formatter(click.HelpFormatter):
    """Click's formatter; only what measures and breaks lines is replaced."""

    def write_text(self, text: str) -> None:
        """Paragraphs, indented and wrapped."""
        indent = " " * self.current_indent
        for line in wrap(" ".join(text.split()), self.width - self.current_indent):
            self.write(f"{indent}{line}\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = _FIRST_COLUMN, col_spacing: int = _BETWEEN
    ) -> None:
        """Two columns: a term, and what it means."""
        pairs = list(rows)
        column = min(max(display_width(first) for first, _second in pairs), col_max) + col_spacing
        margin = " " * self.current_indent
        for first, second in pairs:
            lines = wrap(" ".join(second.split()), max(10, self.width - column - self.current_indent))
            if display_width(first) > column - col_spacing or not lines:
                self.write(f"{margin}{first}\n")
            else:
                self.write(f"{margin}{first}{' ' * (column - display_width(first))}{lines.pop(0)}\n")
            for line in lines:
                self.write(f"{margin}{' ' * column}{line}\n")


class Context(click.Context):
    """A click context that formats help so."""

    formatter_class = Formatter
