"""Jinja2 templates that live beside the code that fills them."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from ultralab.kernel.language import translation

if TYPE_CHECKING:
    import jinja2

_PIPE = re.compile(r"(\\*)\|")
_BLOCK_START = re.compile(r"^(\d{0,9})([`~#>*+|=_.)-])")


def render(package: str, name: str, language: str, **values: object) -> str:
    """The template ``name`` (a path inside ``package``) filled with values.

    ``_`` in the template translates into ``language``; a value that is not given is an error, not an empty text.
    """
    return _environment(package, language).get_template(name).render(values)


def inline(text: str) -> str:
    """A text as one line: any run of white space, line ends included, becomes one space."""
    return " ".join(text.split())


def cell(value: object) -> str:
    """A value as the text of one cell of a Markdown table: on one line, with no ``|`` and no HTML that would work.

    Backslashes before a ``|`` are doubled: readers of GitHub's dialect disagree on an even number of them.
    """
    plain = _PIPE.sub(lambda match: match.group(1) * 2 + r"\|", inline(str(value)))
    return plain.replace("<", "&lt;")


def prose(text: str) -> str:
    """A foreign text as one paragraph that cannot turn into a heading, a list, a code block or a fence."""
    return _BLOCK_START.sub(r"\1\\\2", inline(text).replace("<", "&lt;"))


@lru_cache(maxsize=32)
def _environment(package: str, language: str) -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: files(package).joinpath(name).read_text(encoding="utf-8")),
        extensions=("jinja2.ext.i18n",),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown, not HTML; `cell` escapes what goes into tables
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    catalogue = translation(language)
    environment.globals.update(gettext=catalogue.gettext, ngettext=catalogue.ngettext)
    environment.filters.update(cell=cell, inline=inline, prose=prose)
    return environment
