"""Any folder that somebody names: what looks like a model in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.models.neighbours.base import HeldFile, Holding, Layout
from ultralab.models.neighbours.sorting import models_among
from ultralab.models.neighbours.walk import Passed, Seen, regular_files
from ultralab.models.types import ModelRecord


class Folder:
    """No tool: the files of each folder are sorted into models, folder by folder."""

    name = "folder"
    title = "folder"
    follows_links = True

    def folders(self, home: Path) -> tuple[Path, ...]:
        """None: somebody has to name one."""
        return ()

    def holdings(self, folder: Path) -> Iterator[Holding]:
        """Every model below a folder, or the one file, with the parts that lie beside it."""
        if folder.is_file():
            yield from self._beside(folder)
            return
        yield from in_folders(Holding(self.name, folder.name, folder), regular_files(folder))

    def layout(self, folder: Path, record: ModelRecord, files: Mapping[str, Path]) -> Layout:
        """Nothing reads a plain folder: raises Unsupported."""
        raise Unsupported(
            _("A plain folder is no tool that could be shown a model."),
            hint=_("The library's files have names under store/tree: a program can be given those."),
        )

    def _beside(self, file: Path) -> Iterator[Holding]:
        beside = regular_files(file.parent, deepest=1)
        for holding in in_folders(Holding(self.name, file.parent.name, file.parent), beside):
            if any(held.path == file.resolve() for held in holding.files):
                yield holding


def in_folders(whole: Holding, found: Iterator[Seen | Passed]) -> Iterator[Holding]:
    """The models among the files of a walk, sorted within each folder: models do not lie across folders.

    Each is called by its folder; a GGUF by its file. What was passed over is told last.
    """
    places: dict[str, list[HeldFile]] = {}
    problems: list[Holding] = []
    for item in found:
        if isinstance(item, Passed):
            problems.append(Holding(whole.tool, item.path.name, item.path, problem=item.reason))
        else:
            place, _slash, name = item.name.rpartition("/")
            places.setdefault(place, []).append(HeldFile(name, item.path, item.size))
    for place, files in places.items():
        where = whole.where / place if place else whole.where
        name = where.name or whole.name
        yield from models_among(Holding(whole.tool, name, where, f"path:{where}"), files)
    yield from problems


FOLDER: Final = Folder()
