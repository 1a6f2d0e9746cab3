"""Whether the library's models fit into memory, without reading every header for every list.

What a model needs follows from its bytes and the context alone, so it is kept in ``state/fits.json`` by the hash of the
bytes, for the version of ultralab that said so. What may be taken is compared anew each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab import __version__
from ultralab.app.lab import Lab
from ultralab.app.model_access import fit
from ultralab.kernel.errors import UltralabError
from ultralab.system import files

if TYPE_CHECKING:
    from ultralab.models import ModelRecord
    from ultralab.models.pulling.plan import FitCheck

_KEPT: Final = "fits.json"


def fitting(lab: Lab, records: Iterable[ModelRecord]) -> tuple[ModelRecord, ...]:
    """Those of ``records`` that are known to fit into what models may take here."""
    path = lab.home / "state" / _KEPT
    limit, about = lab.ledger.limit, f"{__version__}:{lab.settings.engines.context}"
    before = _read(path, about)
    needed = dict(before)
    found = tuple(record for record in records if _fits(lab, record, limit, needed))
    if needed != before:
        with suppress(UltralabError):  # a cache: a full disk keeps nobody from asking
            files.write(path, json.dumps({"about": about, "needed": needed}))
    return found


def _fits(lab: Lab, record: ModelRecord, limit: int, needed: dict[str, int]) -> bool:
    if record.sha256 not in needed:
        judged = _judged(lab, record)
        if judged is None or judged.fits is None:
            return False
        needed[record.sha256] = judged.needed
    return needed[record.sha256] <= limit


def _judged(lab: Lab, record: ModelRecord) -> FitCheck | None:
    from ultralab.app.models import header_of

    try:
        return fit(lab, header_of(lab, record)[1])
    except UltralabError:
        return None


def _read(path: Path, about: str) -> dict[str, int]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["about"] == about:
            return {str(sha256): int(needed) for sha256, needed in kept["needed"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # none yet, or not ours
        pass
    return {}
