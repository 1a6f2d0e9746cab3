"""Models that are already on this machine: ``path:/folder/x.gguf``, or the path alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import NotFound, RequestError
from ultralab.kernel.language import _
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution
from ultralab.system import files


class PathSource:
    """A file on this machine. The library keeps a copy of its own, so the file may go away later."""

    scheme = "path"

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """``rest`` is a path, ``~`` allowed, relative to the working directory."""
        path = Path(rest).expanduser()
        with files.explained(path):
            path = path.absolute()  # links are kept: a cache's link has the name, its target may be called by a hash
            if not path.exists():
                raise NotFound(
                    _("There is no such file: {path}").format(path=path),
                    hint=_("Check the path; relative paths start at the folder you are in."),
                    path=str(path),
                )
            if not path.is_file():
                raise RequestError(
                    _("{path} is not a file.").format(path=path),
                    hint=_("Give the model file itself, for example {example}.").format(example="./model.gguf"),
                    path=str(path),
                )
            size = path.stat().st_size
        return Resolution(
            ref=f"{self.scheme}:{os.fsencode(path).decode('utf-8', 'replace')}",
            name=path.stem,
            version="",
            licence="",
            homepage="",
            files=(RemoteFile(name=path.name, url=path.as_uri(), size=size, sha256=""),),
        )


SOURCE: Final = PathSource()
