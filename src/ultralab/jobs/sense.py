"""What a job must be to make sense, whatever machine it is for. Pure: whether the command is there is asked elsewhere."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Final

from ultralab.jobs.types import JobSpec
from ultralab.kernel.errors import RequestError
from ultralab.kernel.ids import is_name, slug
from ultralab.kernel.language import _
from ultralab.kernel.text import display_width, printable, shorten

LAST: Final = "last"
LONGEST_NAME: Final = 100  # columns

_CONTROLS: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))  # also line separators, and bytes that were no UTF-8


def require_sense(spec: JobSpec) -> None:
    """Raises RequestError: a name by which it could not be found or shown, a kind that is no name, no command, no time."""
    if not spec.argv or not spec.argv[0]:
        raise RequestError(
            _("The command is empty: its first word is the program to run."),
            hint=_("Write it behind two dashes: ultralab jobs submit -- COMMAND"),
        )
    if problem := _name_problem(spec.name):
        raise RequestError(
            _("{name} cannot be a job's name: {problem}.").format(name=printable(repr(spec.name), 60), problem=problem),
            hint=_("Choose another one, of at most {count} columns.").format(count=LONGEST_NAME),
            name=printable(spec.name),
        )
    if not is_name(spec.kind):
        raise RequestError(
            _("{kind} cannot be a kind of jobs.").format(kind=printable(repr(spec.kind), 60)),
            hint=_("Use lower-case letters, digits and “._-”, for example {example}.").format(
                example=slug(spec.kind, "bench")
            ),
            kind=printable(spec.kind),
        )
    if spec.timeout is not None and spec.timeout <= 0:
        raise RequestError(
            _("A job needs some time to run: --timeout must be more than 0."),
            hint=_("Leave it out, and it may run as long as it wants."),
            timeout=spec.timeout,
        )


def fit_name(text: str) -> str:
    """The nearest name that a job can have: for one that nobody chose."""
    plain = "".join("\N{REPLACEMENT CHARACTER}" if _is_control(char) else char for char in text)
    name = shorten(plain.strip(), LONGEST_NAME) or "-"
    return f"job-{name}"[:LONGEST_NAME] if _name_problem(name) else name


def default_name(argv: tuple[str, ...]) -> str:
    """How a job is called that was given no name: as its program is."""
    return fit_name(Path(argv[0]).name if argv else "")


def _name_problem(name: str) -> str:
    """What is wrong with a name, empty if nothing is."""
    if not name.strip():
        return _("it is empty")
    if name.isdecimal():
        return _("only digits mean a job's number")
    if name == LAST:
        return _("it means the newest job")
    if any(map(_is_control, name)):
        return _("it has control characters")
    return _("it is too long") if display_width(name) > LONGEST_NAME else ""


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in _CONTROLS
