"""Deleting what was agreed to: what could go (read from the disk), the deletions with their log, and the standing yes.

Each deletion is one line in ``<home>/state/logs/storage.jsonl`` (JSON): what, bytes, why, and how to get it back. It is
written before the bytes go, so that none goes unrecorded; a line ``"act": "kept"`` follows where it then did not go.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.checks import Finding
from ultralab.kernel.errors import Busy, NotFound, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.kernel.units import format_bytes
from ultralab.models.catalog.tags import KEEP
from ultralab.models.download.leftovers import discard
from ultralab.models.library import Library, model_path, records, remove
from ultralab.models.neighbours import NEIGHBOURS, neighbour
from ultralab.models.pruning.candidates import frees, newest_change
from ultralab.models.pruning.proposals import Candidate, Class, Proposal, proposals, way_back
from ultralab.models.sharing.expose import exposed_to, unexpose
from ultralab.models.store import acts
from ultralab.models.store.moving import COPY
from ultralab.models.types import ModelRecord
from ultralab.system import clock, files, locks

_SHOWN: Final = 3
_KEY: Final = re.compile("[0-9a-f]{24}")
"""What a download is called by (``ultralab.models.download``)."""


@dataclass(frozen=True)
class Act:
    """What became of one proposal: ``freed`` bytes, or the ``error`` that kept it (a sentence)."""

    what: str
    freed: int
    why: str
    back: str
    error: str = ""


@dataclass(frozen=True)
class Rules:
    """The standing yes: which classes may go unasked, after how many days without use, until how many bytes are free."""

    classes: frozenset[Class]
    age_days: int
    wanted: int


def rules_for(prune: str, age_days: int, wanted: int) -> Rules:
    """The rules that the settings ``models.prune`` (``ask|refetchable|derived|both``), ``prune_age``, ``prune_free`` mean."""
    allowed: Mapping[str, frozenset[Class]] = {
        "refetchable": frozenset({"refetchable"}),
        "derived": frozenset({"derived"}),
        "both": frozenset({"refetchable", "derived"}),
    }
    return Rules(allowed.get(prune, frozenset()), age_days, wanted)


def apply(
    library: Library, chosen: Sequence[Proposal], progress: Progress = SILENT, *, standing: bool = False
) -> tuple[Act, ...]:
    """Delete what was proposed, one after another; what became of each. One that cannot go keeps no other from going.

    A model is left alone that is loaded (its lock ``model-<sha256>`` is held), that is another one now, or that got the
    tag ``keep`` since. Deleting needs no space; where the log has none, its line is written after the bytes went.
    """
    done: list[Act] = []
    with progress.step(_("Deleting"), len(chosen), "items") as step:
        for proposal in chosen:
            step.describe(proposal.what)
            done.append(_act(library, proposal, standing, progress))
            step.advance()
    return tuple(done)


def standing(
    library: Library,
    rules: Rules,
    *,
    free: Callable[[], Mapping[str, int]],
    look: Callable[[], Sequence[Candidate]],
    verify_refetch: Callable[[ModelRecord], bool],
    progress: Progress = SILENT,
) -> tuple[Act, ...]:
    """Delete what the standing yes allows, until each volume has the wanted space; no more, and nothing unproven.

    ``free`` tells each volume's free bytes now, ``look`` what could go now, ``verify_refetch`` asks the source right now
    whether it still gives the same hashes: only its yes lets a fetched model go. A derived one goes only while its
    parent is here in full. Nothing is done where another process is at it.
    """
    if not rules.classes:
        return ()
    try:
        with locks.exclusive(library.lock("prune"), _("pruning the library"), timeout=0):
            return _standing(library, rules, free, look, verify_refetch, progress)
    except Busy:
        return ()


def low_space_finding(offered: Sequence[Proposal], free: Mapping[str, int], wanted: int) -> Finding:
    """For doctor: whether each volume has ``wanted`` bytes free, and if not, what could go first."""
    shown = ", ".join(_("{volume}: {size} free").format(volume=name, size=format_bytes(free[name])) for name in free)
    low = [name for name in sorted(free) if free[name] < wanted]
    if not low:
        return Finding("pass", shown)
    helping = [one for one in offered if any(one.frees.get(name, 0) for name in low)]
    if not helping:
        return Finding("warn", shown, _("Nothing in the library can go without a loss; move models to another disk."))
    could = "; ".join(f"{one.what} ({format_bytes(one.freed)}): {one.reason}" for one in helping[:_SHOWN])
    return Finding("warn", _("{shown}. Could go: {could}").format(shown=shown, could=could), "ultralab models prune")


def _standing(
    library: Library,
    rules: Rules,
    free: Callable[[], Mapping[str, int]],
    look: Callable[[], Sequence[Candidate]],
    verify_refetch: Callable[[ModelRecord], bool],
    progress: Progress,
) -> tuple[Act, ...]:
    done: list[Act] = []
    begun = dict(free())
    gained = dict.fromkeys(begun, 0)
    tried: set[str] = set()
    while True:
        # A snapshot of the file system may keep the bytes of what went: what was gained counts, or all would go.
        have = {name: max(size, begun.get(name, size) + gained.get(name, 0)) for name, size in free().items()}
        short = {name for name, size in have.items() if size < rules.wanted}
        offered = proposals(look(), now=clock.now(), free=have, wanted=rules.wanted, age_days=rules.age_days)
        fitting = (
            one
            for one in offered
            if one.class_ in rules.classes and one.what not in tried and any(one.frees.get(name) for name in short)
        )
        chosen = next(fitting, None)
        if chosen is None or chosen.record is None:
            return tuple(done)
        tried.add(chosen.what)
        if not _comes_back(library, chosen.record, verify_refetch):
            continue
        (act,) = apply(library, [chosen], progress, standing=True)
        done.append(act)
        if not act.error:
            for name, size in chosen.frees.items():
                gained[name] = gained.get(name, 0) + size


def _comes_back(library: Library, record: ModelRecord, verify_refetch: Callable[[ModelRecord], bool]) -> bool:
    try:
        if record.derived is None:
            return verify_refetch(record)
        wanted = record.derived["parent_sha256"]
        parents = [other for other in records(library) if other.sha256 == wanted and other.ref != record.ref]
        for parent in parents:
            model_path(library, parent)
    except UltralabError:
        return False
    return bool(parents)


def _act(library: Library, proposal: Proposal, by_rule: bool, progress: Progress) -> Act:
    logged = False

    def log() -> None:
        nonlocal logged
        logged = logged or acts.record(library, _line(proposal, by_rule), synced=True)

    try:
        if proposal.remnant is not None:
            _delete_remnant(library, proposal, log)
        else:
            _delete_model(library, proposal, log)
    except UltralabError as error:
        if logged:
            acts.record(library, {"act": "kept", "what": proposal.what, "why": error.message}, synced=True)
        return Act(proposal.what, 0, proposal.reason, proposal.back, error.message)
    log()
    if not logged:
        progress.say(_("{what} was deleted; the log could not be written.").format(what=proposal.what))
    return Act(proposal.what, proposal.freed, proposal.reason, proposal.back)


def _delete_model(library: Library, proposal: Proposal, log: Callable[[], None]) -> None:
    agreed = proposal.record
    assert agreed is not None, "a proposal is of a model or of a remnant"

    def last_look(now: ModelRecord) -> None:
        if now.sha256 != agreed.sha256 or KEEP in now.tags:
            raise RequestError(
                _("{ref} was changed since it was proposed.").format(ref=agreed.ref),
                hint=_("Look again: ultralab models prune"),
                ref=agreed.ref,
            )
        log()
        _hide(library, now)

    remove(library, agreed.ref, before=last_look)


def delete(library: Library, ref: str) -> tuple[ModelRecord, int]:
    """Remove a model because its owner says so, recorded like any other; it, and the bytes that went with it.

    Other tools that it was shown to see it no longer. Raises NotFound, RequestError, Busy (it is loaded), FileAccess.
    """
    freed: dict[str, int] = {}

    def last_look(now: ModelRecord) -> None:
        _hide(library, now)  # a second name that we made for another tool would keep the bytes
        freed.update(frees(library, now))
        asked = Proposal("model", now.ref, "neither", freed, (_("Its owner removed it."),), way_back(now), record=now)
        acts.record(library, _line(asked, by_rule=False), synced=True)

    gone = remove(library, ref, before=last_look)
    return gone, sum(freed.values())


def _hide(library: Library, model: ModelRecord) -> None:
    """Take away what this lab made of a model in other tools' folders: dead links would stay there."""
    for tool in exposed_to(library, model, NEIGHBOURS):
        unexpose(library, model, neighbour(tool))


def _delete_remnant(library: Library, proposal: Proposal, log: Callable[[], None]) -> None:
    remnant = proposal.remnant
    assert remnant is not None, "the caller looked"
    # The lock that whoever downloads or moves it holds.
    busy = f"move-{remnant.label[:2]}" if remnant.label.endswith(COPY) else remnant.label
    with locks.exclusive(library.lock(busy), proposal.what, timeout=0):
        paths = [Path(path) for path in remnant.paths]
        changed = newest_change(paths)
        if changed is None:
            raise NotFound(_("{what} is gone already.").format(what=proposal.what), path=remnant.paths[0])
        if changed > remnant.changed:
            raise Busy(_("{what} is being worked on.").format(what=proposal.what), path=remnant.paths[0])
        log()
        if remnant.kind == "unfinished" and _KEY.fullmatch(remnant.label):
            discard(paths[0].parent, remnant.label)
            return
        for path in paths:
            with files.explained(path):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)


def _line(proposal: Proposal, by_rule: bool) -> dict[str, object]:
    record, remnant = proposal.record, proposal.remnant
    line: dict[str, object] = {
        "act": "removed",
        "what": proposal.what,
        "kind": proposal.kind,
        "class": proposal.class_,
        "bytes": proposal.freed,
        "volumes": dict(proposal.frees),
        "why": proposal.reason,
        "back": proposal.back,
        "standing": by_rule,
    }
    if record is not None:
        line |= {"sha256": record.sha256, "source": record.source, "revision": record.revision}
        line |= {"derived": record.derived, "files": [asdict(file) for file in record.files]}
    if remnant is not None:
        line["paths"] = list(remnant.paths)
    return line
