"""The names in the store: made again from the metadata, and swept of what no model names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ultralab.models.store.layout import Library
from ultralab.models.store.links import link_names, name_of, remove_empty
from ultralab.models.store.places import locate, mend_blob
from ultralab.models.types import ModelRecord
from ultralab.system import files


def rebuild_names(library: Library, records: Iterable[ModelRecord], *, sweep: bool) -> None:
    """Give every model its names; then, with ``sweep``, remove links that no model names, and the tree of older labs.

    Only links into the store and empty folders are ever removed. The caller holds the library's lock. Raises FileAccess.
    """
    wanted: set[Path] = set()
    for record in records:
        for file in record.files:
            mend_blob(library, file.sha256, locate(library, file.sha256, file.size))
        link_names(library, record)
        wanted |= {name_of(library, record, file) for file in record.files}
    if sweep:
        _sweep(library, library.tree, wanted)
        _sweep(library, library.home / "store" / "models", set())
        _sweep_unfinished(library)


def _sweep(library: Library, root: Path, wanted: set[Path]) -> None:
    with files.explained(root):
        for link in list(links_under(root)):
            if link not in wanted and is_ours(library, link):
                link.unlink()
        for place, _folders, _names in os.walk(root, topdown=False):
            remove_empty(Path(place), root)
        if root.is_dir() and not any(root.iterdir()):
            root.rmdir()


def _sweep_unfinished(library: Library) -> None:
    """Links to bytes elsewhere that somebody was killed while making."""
    with files.explained(library.blobs):
        if library.blobs.is_dir():
            for path in list(library.blobs.iterdir()):
                if path.name.startswith(".") and path.is_symlink():
                    path.unlink()


def links_under(root: Path) -> Iterator[Path]:
    """Every link under a folder; none is followed."""
    for place, folders, names in os.walk(root):
        for name in (*folders, *names):
            if (path := Path(place, name)).is_symlink():
                yield path


def is_ours(library: Library, link: Path) -> bool:
    """Whether a link leads to the store's blobs, there or not."""
    return Path(os.path.normpath(link.parent / link.readlink())).parent == library.blobs
