"""A model's bytes in Ollama's store without a second copy: a clone or a link, under the name that is their hash.

``models expose --to ollama`` does the same with a model of the library, for good and written down; here it is for as long as
the model is loaded, and what is made goes with the model that names it (``DELETE /api/delete``) or, after a crash, with
Ollama's next start (``server/images.go``: ``PruneLayers``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import EngineFailed, UltralabError
from ultralab.kernel.language import _
from ultralab.models.neighbours.ollama import OLLAMA
from ultralab.system import addresses, files, links

_OURS: Final = re.compile(r"[0-9a-f]{64}")
_THEIRS: Final = re.compile(r"sha256-([0-9a-f]{64})")
_MOST_LINKS: Final = 16


def folders() -> tuple[Path, ...]:
    """Where an Ollama of this machine keeps its models: those places that are there."""
    return tuple(one for one in OLLAMA.folders(Path.home()) if (one / "blobs").is_dir())


def digest_of(path: Path, advance: Callable[[int], None] = lambda _count: None) -> str:
    """The SHA-256 of a file: from its name in the library's store or in Ollama's, else by reading it.

    ``advance`` is told the bytes that were read. Raises NotFound, FileAccess.
    """
    step = path
    for _link in range(_MOST_LINKS):
        if step.parent.name == "sha256" and _OURS.fullmatch(step.name):
            return step.name
        if step.parent.name == "blobs" and (found := _THEIRS.fullmatch(step.name)):
            return found[1]
        if not step.is_symlink():
            break
        step = step.parent / step.readlink()
    return files.sha256_of(path, advance)


def lend(
    path: Path, digest: str, address: str, has_blob: Callable[[], bool], places: Sequence[Path] | None = None
) -> None:
    """Give a file to an Ollama of this machine, so that ``has_blob`` (asked of Ollama itself) is true.

    ``places`` are the folders of its models (those of this machine by default). Raises EngineFailed, with what to do
    instead: Ollama is elsewhere, keeps its models elsewhere, or its store cannot be written to or read through a link.
    """
    if not addresses.is_loopback(address):
        raise _cannot(path, _("it runs on another machine ({address})").format(address=address))
    reasons: list[str] = []
    for folder in folders() if places is None else places:
        blob = folder / "blobs" / f"sha256-{digest}"
        try:
            made = links.second_name(path, blob)
        except UltralabError as error:  # not ours to write, or the blob is there: of an Ollama that is not this one
            reasons.append(error.message)
            continue
        if made is not None and has_blob():
            return
        if made is not None:
            blob.unlink(missing_ok=True)
        reasons.append(_("it does not use {folder}").format(folder=folder))
    raise _cannot(path, "; ".join(reasons) or _("the folder of its models was not found: OLLAMA_MODELS names it"))


def _cannot(path: Path, reason: str) -> EngineFailed:
    return EngineFailed(
        _("Ollama cannot use {path} without a second copy of it: {reason}.").format(
            path=path, reason=reason.rstrip(".")
        ),
        hint=_(
            "To allow the copy, make it yourself (ollama create NAME, with a Modelfile of the line FROM and this path), "
            "and load the model by that name."
        ),
        path=str(path),
    )
