"""One copy of the bytes for every tool: adopting, sharing, showing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab
from ultralab.app.model_access import limits
from ultralab.app.model_catalog import size as size_of
from ultralab.app.models import write_pages
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress

if TYPE_CHECKING:
    from ultralab.models.neighbours import Neighbour
    from ultralab.models.sharing.adopt import Found


@dataclass(frozen=True)
class FoundLine:
    """A model of another tool: ``ref`` in the library, empty if it is new; ``problem`` why it cannot be adopted."""

    name: str
    tool: str
    size: int
    ref: str
    problem: str
    adopted: bool
    paths: tuple[str, ...]

    @property
    def state(self) -> str:
        """The same in words."""
        if self.problem:
            return self.problem
        if self.adopted:
            return _("registered as {ref}").format(ref=self.ref)
        return _("in the library as {ref}").format(ref=self.ref) if self.ref else _("new")


@dataclass(frozen=True)
class DedupeLine:
    """One file that shares, or could share, the bytes of ``keeper``; or is left, and ``what`` says why.

    ``state``: ``equal`` (it could), ``shared`` (it does since now), ``left``.
    """

    path: str
    size: int
    keeper: str
    what: str
    state: str


@dataclass(frozen=True)
class Deduped:
    """What sharing saved (``shared``), or would save. Bytes."""

    files: tuple[DedupeLine, ...]
    saved: int
    already_shared: int
    shared: bool


@dataclass(frozen=True)
class Shown:
    """What another tool sees of a model."""

    ref: str
    paths: tuple[str, ...]
    how_to: str


def adopt(
    lab: Lab, folders: Sequence[Path], tools: Sequence[str], progress: Progress, *, register: bool
) -> tuple[FoundLine, ...]:
    """What other tools and ``folders`` hold; with ``register``, what is new is registered where it is.

    With folders and no tools, only the folders are looked through. What cannot be adopted hinders no other.
    """
    from ultralab.models import records
    from ultralab.models.sharing.adopt import find_holdings

    neighbours = () if folders and not tools else _neighbours(tools)
    found = find_holdings(
        lab.library,
        neighbours,
        lab.formats,
        [folder.expanduser().absolute() for folder in folders],
        limits=limits(lab),
    )
    known = {record.ref for record in records(lab.library)}
    lines = tuple(_line(lab, one, known, progress, register=register) for one in found)
    if any(line.adopted for line in lines):
        write_pages(lab)
    return lines


def _line(lab: Lab, found: Found, known: set[str], progress: Progress, *, register: bool) -> FoundLine:
    from ultralab.models.sharing.adopt import adopt as adopt_one
    from ultralab.models.store.hashing import hash_of

    holding = found.holding
    ref, problem, adopted = found.already or "", found.problem, False
    if register and not problem and not ref:
        try:
            record = adopt_one(
                lab.library,
                found,
                lab.formats,
                lambda path: hash_of(lab.library, path),
                progress,
                added_by=lab.author,
                limits=limits(lab),
            )
            ref, adopted = record.ref, record.ref not in known
            known.add(record.ref)
            if adopted:
                _log(lab, "adopted", record.ref, [str(file.path) for file in holding.files])
        except UltralabError as error:
            problem = error.message
    size = sum(file.size for file in holding.files)
    paths = tuple(str(file.path) for file in holding.files) or (str(holding.where),)
    return FoundLine(holding.name, holding.tool, size, ref, problem, adopted, paths)


def _neighbours(tools: Sequence[str]) -> tuple[Neighbour, ...]:
    from ultralab.models.neighbours import NEIGHBOURS, neighbour

    return tuple(neighbour(name) for name in tools) or NEIGHBOURS


def dedupe(lab: Lab, folders: Sequence[Path], least: str, progress: Progress, *, share: bool) -> Deduped:
    """Equal bytes in the store, in other tools' folders and in ``folders``; with ``share`` they become one.

    Raises RequestError (a size that is none), NotFound (no such folder), Busy.
    """
    from ultralab.models.neighbours import NEIGHBOURS
    from ultralab.models.sharing.dedupe import Place, apply, plan
    from ultralab.models.store.hashing import hash_of
    from ultralab.system import files

    places = [
        Place(tool.name, folder, tool.follows_links) for tool in NEIGHBOURS for folder in tool.folders(Path.home())
    ]
    for folder in folders:
        whole = folder.expanduser().absolute()
        with files.explained(whole):
            whole.stat()
        places.append(Place("folder", whole))
    planned = plan(lab.library, places, lambda path: hash_of(lab.library, path), progress, least=size_of(least))
    left = [DedupeLine(str(one.path), one.size, "", one.reason, "left") for one in planned.left]
    if not share:
        lines = [
            DedupeLine(
                str(name),
                group.size,
                str(group.keeper.names[0]),
                _("same as {path}").format(path=group.keeper.names[0]),
                "equal",
            )
            for group in planned.groups
            for copy in group.others
            for name in copy.names
        ]
        return Deduped((*lines, *left), planned.saved_bytes, planned.already_shared_bytes, shared=False)
    results = apply(lab.library, planned, progress)
    done = [
        DedupeLine(str(one.path), one.size, str(one.keeper), one.way or one.reason, "shared" if one.way else "left")
        for one in results
    ]
    shared = {one.path for one in results if one.way}
    copies = [copy for group in planned.groups for copy in group.others]
    saved = sum(
        copy.stamp.size for copy in copies if shared.issuperset(copy.names)
    )  # all its names, or nothing is free
    return Deduped((*done, *left), saved, planned.already_shared_bytes, shared=True)


def expose(lab: Lab, ref: str, tool: str, *, undo: bool) -> Shown:
    """Let another tool use a model's one copy, or take that back. Raises NotFound, Unsupported, AlreadyExists."""
    from ultralab import models
    from ultralab.models.neighbours import neighbour
    from ultralab.models.sharing.expose import expose as show
    from ultralab.models.sharing.expose import unexpose

    record, seen_by = models.find(lab.library, ref), neighbour(tool)
    if undo:
        gone = unexpose(lab.library, record, seen_by)
        if gone:
            _log(lab, "hidden", record.ref, list(map(str, gone)))
        said = _("{tool} no longer sees {ref}.").format(tool=seen_by.title, ref=record.ref)
        return Shown(record.ref, tuple(map(str, gone)), said)
    shown = show(lab.library, record, seen_by)
    _log(lab, "shown", record.ref, list(map(str, shown.paths)))
    return Shown(record.ref, tuple(map(str, shown.paths)), shown.how_to)


def _log(lab: Lab, act: str, ref: str, paths: list[str]) -> None:
    from ultralab.models.store import acts

    acts.record(lab.library, {"act": act, "what": ref, "paths": paths})
