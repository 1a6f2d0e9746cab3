"""Running checks: every one is run, none can stop the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ultralab.app import checks
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _
from ultralab.settings import is_lab
from ultralab.setup import tree

Kind = Literal["doctor", "selftest"]


@dataclass(frozen=True)
class Checked:
    """A check and what it found."""

    check: Check
    finding: Finding


def all_checks(kind: Kind, home: Path) -> tuple[Check, ...]:
    """The checks of every room, in the order of the floors."""
    if kind == "selftest":
        return checks.selftest_checks(home)
    own = tree.doctor_checks(home) if is_lab(home) else ()
    return (*checks.doctor_checks(home), *own)


def run_checks(found: tuple[Check, ...]) -> Iterator[Checked]:
    """Run each check; one that breaks is a failed check."""
    for check in found:
        try:
            yield Checked(check, check.run())
        except UltralabError as error:
            yield Checked(check, Finding("fail", error.message, error.hint))
        except Exception as error:  # noqa: BLE001 - a check that crashes is a finding, not the end of the others
            yield Checked(check, Finding("fail", _("The check itself broke: {error!r}").format(error=error)))
