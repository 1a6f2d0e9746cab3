"""Pages on the disk: made from a template once, afterwards only their fenced parts change."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Mapping
from pathlib import Path

from ultralab.kernel.errors import FileAccess
from ultralab.kernel.language import _
from ultralab.pages.fences import fill, parts_of
from ultralab.pages.metadata import Metadata, date_in, metadata_part
from ultralab.system import files


def write_page(
    path: Path, text: str, metadata: Metadata, language: str, parts: Mapping[str, str] | None = None
) -> bool:
    """Make or update a page; whether the file changed.

    ``text`` is the page as it would be new: owner's text with fenced parts (``parts`` adds or replaces some, and
    ``metadata`` is always one). Where the file is there already, only those parts of it are rewritten, in
    ``language``, which is the lab's: a page's own text keeps the language it was written in. The date moves only
    when something else does, so an unchanged page is not rewritten, and permissions and symbolic links are kept.
    Raises InvalidSpec (broken fences), FileAccess, DiskFull; then nothing is written.
    """
    wanted = {"metadata": "", **parts_of(text, path), **(parts or {})}
    real = path.resolve()
    with files.explained(path):
        mode = stat.S_IMODE(real.stat().st_mode) if real.exists() else None
    if mode is None:
        fresh = fill(text, {**wanted, "metadata": metadata_part(metadata, language)}, path)
        files.write(real, fresh)
        return True
    document = read_page(path)
    if date := date_in(parts_of(document, path).get("metadata", "")):
        dated = dataclasses.replace(metadata, date=date)
        if fill(document, {**wanted, "metadata": metadata_part(dated, language)}, path) == document:
            return False
    changed = fill(document, {**wanted, "metadata": metadata_part(metadata, language)}, path)
    if changed == document:
        return False
    files.write(real, changed, mode)
    return True


def read_page(path: Path) -> str:
    """A document exactly as it is: line ends and byte order mark kept. Raises NotFound, FileAccess."""
    with files.explained(path):
        content = path.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise FileAccess(
            _("{path} is not UTF-8 text (byte {position}).").format(path=path, position=error.start),
            hint=_("Save the file as UTF-8."),
            path=str(path),
        ) from error
