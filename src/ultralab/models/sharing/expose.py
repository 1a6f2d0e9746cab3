"""Showing the library's one copy to other tools, and taking that back.

What was made is written down before it is made (``<home>/state/exposed/<tool>--<name>--<variant>.json``): only that, and only
while it is still what was made, is ever taken away again.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from ultralab.kernel.errors import AlreadyExists, Unsupported
from ultralab.kernel.language import _
from ultralab.models.library import Library, model_path
from ultralab.models.neighbours.base import Link, Neighbour, Text
from ultralab.models.neighbours.walk import small_json
from ultralab.models.types import ModelRecord
from ultralab.system import files, locks

_COMPARED: Final = 64 * 1024 * 1024
_KINDS: Final = ("symlink", "hardlink", "text")


@dataclass(frozen=True)
class Exposed:
    """What another tool sees now: the files made (or there already, if they were made before), and how to use it there."""

    tool: str
    paths: tuple[Path, ...]
    how_to: str


@dataclass(frozen=True)
class _Made:
    """One thing that was made. ``mark`` proves that it still is: a link's text, a file's number, a text's hash."""

    path: str
    kind: Literal["symlink", "hardlink", "text"]
    mark: str


def expose(library: Library, record: ModelRecord, neighbour: Neighbour, *, home: Path | None = None) -> Exposed:
    """Let another tool use a model's one copy. Idempotent; what is there and not ours is never overwritten.

    ``home`` is the user's folder. Raises Unsupported (the tool cannot use it: why), AlreadyExists (something else has its
    place; then nothing was made), NotFound, FileDamaged (the model), FileAccess, DiskFull.
    """
    folders = neighbour.folders(home or Path.home())
    if not folders:
        raise Unsupported(
            _("{tool} has no folder of its own.").format(tool=neighbour.title),
            hint=_("The library's files have names under store/tree: a program can be given those."),
        )
    model_path(library, record)
    # links lead to the store's name for the bytes, which stays when a model moves to another disk
    layout = neighbour.layout(folders[0], record, {file.name: library.blobs / file.sha256 for file in record.files})
    with locks.exclusive(
        library.lock(f"expose-{neighbour.name}"), _("showing models to {tool}").format(tool=neighbour.title)
    ):
        note = _note(library, record, neighbour.name)
        ours = _still_ours(_read(note))
        planned = {str(step.path) for step in layout.steps}
        _take_away(
            [made for path, made in ours.items() if path not in planned], folders[0]
        )  # of what the model was before
        todo = [step for step in layout.steps if not _is_there(step, ours)]
        _write(note, [*(made for path, made in ours.items() if path in planned), *_intended(todo)])
        made = [_make(step) for step in todo]
        _write(note, [*(each for path, each in ours.items() if path in planned), *made])
    return Exposed(neighbour.name, tuple(step.path for step in layout.steps), layout.how_to)


def unexpose(
    library: Library, record: ModelRecord, neighbour: Neighbour, *, home: Path | None = None
) -> tuple[Path, ...]:
    """Take away what ``expose`` made for a model, as far as it is still that; the paths. Idempotent. Raises FileAccess."""
    folders = neighbour.folders(home or Path.home())
    with locks.exclusive(
        library.lock(f"expose-{neighbour.name}"), _("showing models to {tool}").format(tool=neighbour.title)
    ):
        note = _note(library, record, neighbour.name)
        ours = _still_ours(_read(note))
        # the reverse of making: no manifest or ref may name what is gone
        gone = _take_away(list(reversed(ours.values())), folders[0] if folders else Path("/"))
        with files.explained(note):
            note.unlink(missing_ok=True)
    return gone


def exposed_to(library: Library, record: ModelRecord, neighbours: Sequence[Neighbour]) -> tuple[str, ...]:
    """The tools that this lab shows a model to, by name."""
    return tuple(tool.name for tool in neighbours if _still_ours(_read(_note(library, record, tool.name))))


def _is_there(step: Link | Text, ours: Mapping[str, _Made]) -> bool:
    """Whether a step is done, by us or by the tool itself. Raises AlreadyExists for anything else in its place."""
    if not os.path.lexists(step.path):
        return False
    if isinstance(step, Text):
        if step.optional or _digest(step.path) == hashlib.sha256(step.content.encode()).hexdigest():
            return True
    elif step.path.exists() and _same_content(step.path, step.path.parent / step.target, step.by_hash):
        return True
    elif _leads_nowhere(step, ours):
        return False
    raise AlreadyExists(
        _("{path} is there already, and ultralab did not make it.").format(path=step.path),
        hint=_("Remove it with the tool that it belongs to, or add the model under another name (--name)."),
        path=str(step.path),
    )


def _same_content(there: Path, wanted: Path, by_hash: bool) -> bool:
    """Whether a tool has these bytes itself. Large ones are believed by name where the tool names files by their hash."""
    if there.samefile(wanted):
        return True
    if not there.is_file() or there.stat().st_size != wanted.stat().st_size:
        return False
    return by_hash or (there.stat().st_size <= _COMPARED and filecmp.cmp(there, wanted, shallow=False))


def _leads_nowhere(step: Link, ours: Mapping[str, _Made]) -> bool:
    """A link that may be replaced: ours, of a place where the model lay before, or into a blob still to be made."""
    made = ours.get(str(step.path))
    return step.path.is_symlink() and (made is not None or step.path.readlink() == step.target)


def _intended(steps: Sequence[Link | Text]) -> Iterator[_Made]:
    """What may be found after a crash in the midst of making. A hard link's mark is known before it is made."""
    for step in steps:
        if isinstance(step, Text):
            yield _Made(str(step.path), "text", hashlib.sha256(step.content.encode()).hexdigest())
            continue
        yield _Made(str(step.path), "symlink", str(step.target))
        if step.prefer == "hardlink":
            yield _Made(str(step.path), "hardlink", _number(step.target))


def _make(step: Link | Text) -> _Made:
    if isinstance(step, Text):
        files.write(step.path, step.content)
        return _Made(str(step.path), "text", hashlib.sha256(step.content.encode()).hexdigest())
    with files.explained(step.path):
        step.path.parent.mkdir(parents=True, exist_ok=True)
        if step.path.is_symlink():
            step.path.unlink()
        kind: Literal["symlink", "hardlink"] = "symlink"
        if step.prefer == "hardlink" and _hard_link(step):
            kind = "hardlink"
        else:
            step.path.symlink_to(step.target)
        files.sync_directory(step.path.parent)
    return _Made(str(step.path), kind, _number(step.path) if kind == "hardlink" else str(step.target))


def _hard_link(step: Link) -> bool:
    """Whether a second name of the file could be made: not across disks, nor where the system forbids it."""
    try:
        os.link(step.target.resolve(strict=True), step.path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _still_ours(made: Sequence[_Made]) -> dict[str, _Made]:
    """What is still as it was made, by path, in the order of making."""
    return {each.path: each for each in made if _mark_of(Path(each.path), each.kind) == each.mark}


def _mark_of(path: Path, kind: str) -> str:
    try:
        if path.is_symlink():
            return str(path.readlink()) if kind == "symlink" else ""
        if not path.is_file() or kind == "symlink":
            return ""
        return _number(path) if kind == "hardlink" else _digest(path)
    except OSError:
        return ""


def _number(path: Path) -> str:
    status = path.stat()
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}"


def _digest(path: Path) -> str:
    """The hash of a small file; of anything else nothing that a hash could be."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 1024 * 1024:
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _take_away(made: Sequence[_Made], folder: Path) -> tuple[Path, ...]:
    gone: list[Path] = []
    for each in made:
        path = Path(each.path)
        with files.explained(path):
            path.unlink(missing_ok=True)
        gone.append(path)
    for path in gone:
        for parent in path.parents:
            if parent == folder or not parent.is_relative_to(folder):
                break
            try:
                parent.rmdir()
            except OSError:  # not empty, or gone already
                break
    return tuple(gone)


def _note(library: Library, record: ModelRecord, tool: str) -> Path:
    return library.home / "state" / "exposed" / f"{tool}--{record.name}--{record.variant}.json"


def _write(note: Path, made: Sequence[_Made]) -> None:
    files.write(note, json.dumps([asdict(each) for each in made], indent=1, ensure_ascii=False))


def _read(note: Path) -> list[_Made]:
    """What was written down; nothing where that cannot be read: then it is nobody's and stays."""
    value = small_json(note)
    if not isinstance(value, list):
        return []
    return [
        _Made(item["path"], item["kind"], item["mark"])
        for item in value
        if isinstance(item, dict)
        and item.get("kind") in _KINDS
        and isinstance(item.get("path"), str)
        and isinstance(item.get("mark"), str)
    ]
