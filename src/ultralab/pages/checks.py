"""What `ultralab doctor` asks of the lab's documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_, _, ngettext
from ultralab.pages.fences import parts_of
from ultralab.pages.writing import read_page

_NOT_OURS = frozenset({"store", "state", ".git", ".venv", "node_modules", "__pycache__"})
_SHOWN = 3


def doctor_checks(home: Path) -> tuple[Check, ...]:
    """The fences of every Markdown document of the lab are balanced."""
    return (Check("pages.fences", N_("Generated parts of documents"), lambda: _fences(home)),)


def documents(home: Path) -> Iterator[Path]:
    """Every Markdown file of the lab's text, sorted; `store/`, `state/` and hidden machinery left out."""
    for folder, folders, names in os.walk(home):
        folders[:] = sorted(name for name in folders if name not in _NOT_OURS)
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".md"))


def _fences(home: Path) -> Finding:
    count = 0
    problems: list[UltralabError] = []
    for path in documents(home):
        count += 1
        try:
            parts_of(read_page(path), path)
        except UltralabError as error:
            problems.append(error)
    if not problems:
        return Finding("pass", ngettext("{count} document", "{count} documents", count).format(count=count))
    shown = "; ".join(error.message for error in problems[:_SHOWN])
    more = len(problems) - _SHOWN
    detail = _("{shown}; and {more} more").format(shown=shown, more=more) if more > 0 else shown
    return Finding("fail", detail, problems[0].hint)
