"""A model source: ``wordlist:three`` is a list of words that comes with this package."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ultralab.kernel.errors import NotFound
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution

FOLDER = Path(__file__).resolve().parent


class WordLists:
    """Resolves to the ``.words`` files beside this module."""

    scheme = "wordlist"

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """``rest`` is a list's name. Raises NotFound for a list that is not here."""
        known = {path.stem: path for path in FOLDER.glob("*.words")}
        if rest not in known:
            raise NotFound(f"No word list is named {rest!r}.", hint=f"Known: {', '.join(sorted(known))}.")
        content = known[rest].read_bytes()
        file = RemoteFile(
            name=known[rest].name,
            url=known[rest].as_uri(),
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        return Resolution(ref=f"wordlist:{rest}", name=rest, version="1", licence="CC0-1.0", homepage="", files=(file,))


SOURCE = WordLists()
