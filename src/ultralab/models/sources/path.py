"""Models that are already on this machine: ``path:/folder/x.gguf``, ``path:/folder``, or the path alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileAccess, NotFound, RequestError, Unsupported
from ultralab.kernel.language import _
from ultralab.models import bundles
from ultralab.models.pulling.grouping import Sized, group_of
from ultralab.models.records import safe_path
from ultralab.models.sources import trust
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution
from ultralab.system import files

_IN_FOLDERS: Final = (".safetensors", ".bin")
"""What is of no use without the configuration beside it."""


class PathSource:
    """A file or a folder on this machine. The library keeps a copy of its own, so they may go away later."""

    scheme = "path"

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """``rest`` is a path, ``~`` allowed, relative to the working directory. One part of a model means all of it."""
        if not rest.strip():
            raise RequestError(_("No path was given."), hint=_("Name a model's file or folder."))
        path = Path(rest).expanduser()
        with files.explained(path):
            path = path.absolute()  # links are kept: a cache's link has the name, its target may be called by a hash
            _require_there(path)
            is_folder = path.is_dir()
            name = (path.name if path.name not in ("", "..") else path.resolve().name) if is_folder else path.stem
        folder = path if is_folder else path.parent
        found = _found(path, is_folder=is_folder)
        shown = os.fsencode(path).decode("utf-8", "replace")
        if not found:
            raise Unsupported(
                _("{path} holds no files.").format(path=shown), hint=_("Name the model's own folder."), path=shown
            )
        return Resolution(
            ref=f"{self.scheme}:{shown}",
            name=name,
            version="",
            licence="",
            homepage="",
            files=trust.require_distinct([_file(folder, relative) for relative in found], shown),
        )


SOURCE: Final = PathSource()


def _require_there(path: Path) -> None:
    try:
        path.stat()
    except FileNotFoundError:
        raise NotFound(
            _("There is no such file: {path}").format(path=path),
            hint=_("Check the path; relative paths start at the folder you are in."),
            path=str(path),
        ) from None


def _found(path: Path, *, is_folder: bool) -> Sequence[str]:
    """The names of what belongs to ``path``, relative to its folder."""
    together = [item.name for item in bundles.from_path(path).items]
    if is_folder or not path.name.lower().endswith(_IN_FOLDERS) or not (path.parent / "config.json").is_file():
        return together
    beside = [entry for entry in path.parent.iterdir() if not entry.name.startswith(".") and entry.is_file()]
    if len(beside) > bundles.MOST_FILES:
        return together
    group = group_of([Sized(entry.name, entry.stat().st_size) for entry in beside], path.name)
    return group.names if group else together


def _file(folder: Path, name: str) -> RemoteFile:
    path = folder / name
    with files.explained(path):
        size = path.stat().st_size
        if not os.access(path, os.R_OK):
            raise FileAccess(
                _("{path} cannot be read.").format(path=path),
                hint=_("Check the path and its permissions."),
                path=str(path),
            )
    return RemoteFile(name=safe_path(name), url=path.as_uri(), size=size, sha256="")  # one's own odd name is mended
