"""The block that every document carries: date, author, version and what else its kind asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ultralab.kernel.language import N_, translation
from ultralab.pages.templates import inline

_DATE = re.compile(r"^- \*\*[^*]+\*\*: (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


@dataclass(frozen=True)
class Metadata:
    """What a document says of itself. ``date`` is ISO 8601 (``2026-11-23``); ``title`` becomes the first heading.

    ``extra`` are further lines, (label, value), labels already in the document's language.
    """

    title: str
    date: str
    author: str
    version: str
    extra: tuple[tuple[str, str], ...] = ()


def metadata_part(metadata: Metadata, language: str) -> str:
    """The inside of the part ``metadata``: a heading and a list, in the document's language."""
    say = translation(language).gettext
    rows = (
        (say(N_("Date")), metadata.date),
        (say(N_("Author")), metadata.author),
        (say(N_("Version")), metadata.version),
        *metadata.extra,
    )
    listed = (f"- **{inline(label)}**: {inline(value)}".rstrip() for label, value in rows)
    return "\n".join((f"## {say(N_('Metadata'))}", "", *listed))


def date_in(part: str) -> str | None:
    """The date that a rendered metadata part carries: its first line that holds one, in whatever language."""
    match = _DATE.search(part)
    return match.group(1) if match else None
