"""Adopting: other tools' models become the library's, where they are. Nothing is copied, moved or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ultralab.kernel.errors import AlreadyExists, FileDamaged, UltralabError, Unsupported
from ultralab.kernel.ids import slug
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models.formats.base import USUAL_LIMITS, Bundle, Format, Item, Limits, ModelHeader
from ultralab.models.library import Library, add, records
from ultralab.models.names import names_for
from ultralab.models.neighbours.base import HeldFile, Holding, Neighbour
from ultralab.models.neighbours.folder import FOLDER
from ultralab.models.types import ModelRecord, Staged
from ultralab.system import files
from ultralab.system.links import Stamp, stamp

HashOf = Callable[[Path], str]
"""The SHA-256 of a file: the store's cache by stamps, which reads a file that it knows not at all."""

_LATEST: Final = "-latest"


@dataclass(frozen=True)
class Found:
    """A model of another tool, its headers read and nothing else.

    ``header`` is None where it cannot be adopted; then ``problem`` says why. ``already`` is the library's model that has
    these files. ``claimed`` is whether that rests on what the tool says of them: only adopting hashes them.
    """

    holding: Holding
    header: ModelHeader | None = None
    problem: str = ""
    already: str | None = None
    claimed: bool = False


def find_holdings(
    library: Library,
    neighbours: Sequence[Neighbour],
    formats: Sequence[Format],
    paths: Sequence[Path] = (),
    *,
    home: Path | None = None,
    limits: Limits = USUAL_LIMITS,
) -> tuple[Found, ...]:
    """What the neighbours of the user (whose folder is ``home``) hold, and what lies in ``paths``.

    A model that two tools reach (by links) is told once; what this lab shows to a tool by links is not told. Raises NotFound for a path that is not there; what is wrong with
    a single model is told in its place.
    """
    places = [(tool, folder) for tool in neighbours for folder in tool.folders(home or Path.home())]
    for path in paths:
        with files.explained(path):
            path.stat()
        places.append((FOLDER, path))
    ours = _Ours.of(library)
    found: list[Found] = []
    told: set[frozenset[Path]] = set()
    own = [place.resolve() for place in (library.home, *(volume.root for volume in library.volumes))]
    for tool, folder in places:
        for holding in tool.holdings(folder) if _is_there(folder) else ():
            same = frozenset(file.path for file in holding.files)
            if same and all(any(path.is_relative_to(place) for place in own) for path in same):
                continue
            if not same or same not in told:
                found.append(_look(holding, ours, formats, limits))
            if same:
                told.add(same)
    return tuple(found)


def adopt(
    library: Library,
    found: Found,
    formats: Sequence[Format],
    hash_of: HashOf,
    progress: Progress = SILENT,
    *,
    added_by: str = "",
    name: str | None = None,
    limits: Limits = USUAL_LIMITS,
) -> ModelRecord:
    """Register a model where it is. Each file is hashed; what the tool claims of it is verified, never believed.

    Idempotent: the same bytes are one model, by whatever name. Where another model has the name, the variant gets the
    tool's name as well. Raises Unsupported (it was found to have a problem), FileDamaged (not what its tool claims, or
    changed meanwhile), NotFound, FileAccess, AlreadyExists.
    """
    holding = found.holding
    if found.header is None:
        raise Unsupported(
            _("{name} cannot be adopted: {reason}").format(name=holding.name, reason=found.problem),
            hint=_("Repair it with the tool that it belongs to, or get it anew: ultralab models pull"),
            path=str(holding.where),
        )
    before = _stamps(holding)
    staged = [_hashed(file, hash_of, progress) for file in _belonging(holding, found.header)]
    bundle = bundle_of(holding, limits)
    # of the bytes that were hashed, not of what was there when somebody looked
    header = _format_of(bundle, formats).read_header(bundle)
    if before != _stamps(holding):
        raise FileDamaged(
            _("{path} changed while it was being read.").format(path=holding.where),
            hint=_("Wait until its tool is done with it and try again."),
            path=str(holding.where),
        )
    if here := _with_bytes(records(library), staged):
        return here
    return _register(library, holding, staged, header, added_by=added_by, name=name)


def bundle_of(holding: Holding, limits: Limits = USUAL_LIMITS) -> Bundle:
    """The files of a holding as formats read them."""
    return Bundle(str(holding.where), tuple(_item(file) for file in holding.files), limits)


def _register(
    library: Library,
    holding: Holding,
    staged: Sequence[Staged],
    header: ModelHeader,
    *,
    added_by: str,
    name: str | None,
) -> ModelRecord:
    called = _called(holding)

    def added(variant: str | None) -> ModelRecord:
        return add(
            library,
            staged,
            header,
            source=holding.source_ref or f"path:{holding.where}",
            added_by=added_by,
            called=called,
            name=name,
            variant=variant,
            revision=holding.revision,
        )

    try:
        return added(None)
    except AlreadyExists:
        if name is not None:
            raise
        return added(slug(f"{names_for(called, header).variant}-{holding.tool}"))


def _look(holding: Holding, ours: _Ours, formats: Sequence[Format], limits: Limits) -> Found:
    if holding.problem:
        return Found(holding, problem=holding.problem)
    try:
        bundle = bundle_of(holding, limits)
        header = _format_of(bundle, formats).read_header(bundle)
    except UltralabError as error:
        return Found(holding, problem=error.message)
    already, claimed = ours.model_of(_belonging(holding, header))
    return Found(holding, header, already=already, claimed=claimed)


@dataclass(frozen=True)
class _Ours:
    """What the library has: models, and the hash of each of its blobs by the file that it really is."""

    models: tuple[ModelRecord, ...]
    blobs: Mapping[tuple[int, int], str]

    @staticmethod
    def of(library: Library) -> _Ours:
        models = records(library)
        blobs: dict[tuple[int, int], str] = {}
        for sha256 in {file.sha256 for record in models for file in record.files}:
            try:
                status = (library.blobs / sha256).stat()
            except OSError:  # on a disk that is not plugged in, or gone
                continue
            blobs[status.st_dev, status.st_ino] = sha256
        return _Ours(models, blobs)

    def model_of(self, held: Sequence[HeldFile]) -> tuple[str | None, bool]:
        """The model with exactly these files, as far as can be told without reading them, and whether by claims."""
        known = [self._known(file) for file in held]
        for record in self.models:
            if len(record.files) != len(held):
                continue
            hashes = {file.sha256 for file in record.files}
            sizes = {(file.name, file.size) for file in record.files}
            fits = [
                sha256 in hashes if sha256 else (file.name, file.size) in sizes
                for file, (sha256, _sure) in zip(held, known, strict=True)
            ]
            if all(fits) and any(sha256 for sha256, _sure in known):
                return record.ref, not all(sure for _sha256, sure in known)
        return None, False

    def _known(self, file: HeldFile) -> tuple[str, bool]:
        try:
            status = file.path.stat()
        except OSError:
            return file.claimed_sha256, False
        sha256 = self.blobs.get((status.st_dev, status.st_ino))
        return (sha256, True) if sha256 else (file.claimed_sha256, False)


def _belonging(holding: Holding, header: ModelHeader) -> tuple[HeldFile, ...]:
    """The files that the format says belong to the model; all, where it does not say."""
    named = set(header.files)
    chosen = tuple(file for file in holding.files if file.name in named)
    return chosen or holding.files


def _hashed(file: HeldFile, hash_of: HashOf, progress: Progress) -> Staged:
    with progress.step(_("Checking {name}").format(name=file.name), file.size, "bytes") as step:
        sha256 = hash_of(file.path)
        step.advance(file.size)
    if file.claimed_sha256 not in ("", sha256):
        raise FileDamaged(
            _("{path} is damaged: SHA-256 {found}, expected {expected}.").format(
                path=file.path, found=sha256, expected=file.claimed_sha256
            ),
            hint=_("It was left as it is. Let the tool that it belongs to download it again."),
            path=str(file.path),
            found=sha256,
            expected=file.claimed_sha256,
        )
    return Staged(file.path, file.name, file.size, sha256, kept=True)


def _with_bytes(known: Sequence[ModelRecord], staged: Sequence[Staged]) -> ModelRecord | None:
    wanted = sorted((file.name, file.sha256) for file in staged)
    only = wanted[0][1] if len(wanted) == 1 else ""
    for record in known:
        if sorted((file.name, file.sha256) for file in record.files) == wanted:
            return record
        if only and [file.sha256 for file in record.files] == [only]:
            return record
    return None


def _called(holding: Holding) -> str:
    """The name without what says nothing: Ollama's default tag."""
    stem, dot, suffix = holding.name.rpartition(".")
    if dot and suffix.lower() == "gguf":
        return f"{stem.removesuffix(_LATEST)}.gguf"
    return holding.name.removesuffix(_LATEST)


def _format_of(bundle: Bundle, formats: Sequence[Format]) -> Format:
    for form in formats:
        if form.recognises(bundle):
            return form
    raise Unsupported(
        _("{name} is in no model format that ultralab knows.").format(name=bundle.where),
        hint=_("Known formats: {names}.").format(names=", ".join(form.name for form in formats) or "-"),
        path=bundle.where,
    )


def _stamps(holding: Holding) -> tuple[Stamp, ...]:
    found = tuple(stamp(file.path) for file in holding.files)
    for file, seen in zip(holding.files, found, strict=True):
        if seen.size != file.size:
            raise FileDamaged(
                _("{path} has {size} bytes instead of {expected}.").format(
                    path=file.path, size=seen.size, expected=file.size
                ),
                hint=_("Look for models again: it changed since then."),
                path=str(file.path),
            )
    return found


def _item(file: HeldFile) -> Item:
    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        stamp(file.path)  # a pipe that took its place would block for ever
        with files.explained(file.path), file.path.open("rb") as stream:
            yield stream

    return Item(file.name, file.size, str(file.path), opened)


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:
        return False
