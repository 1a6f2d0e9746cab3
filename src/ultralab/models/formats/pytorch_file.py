"""One PyTorch file: its pickles followed, its storages counted. Nothing is unpickled.

``torch.save`` writes a zip archive with ``<name>/data.pkl`` and one member ``<name>/data/<key>`` per storage (torch ≥
1.6), before that five pickles one after another (a magic number, a protocol, the system, the object, the storages'
keys) and then each storage with its length: ``torch/serialization.py``, ``_save`` and ``_legacy_save``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Final

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Item
from ultralab.models.formats.pickle_allowed import DTYPES, ITEM_BYTES, STORAGE_TYPES
from ultralab.models.formats.pickle_scan import MOST_OPCODES, Scan, findings, scan
from ultralab.models.formats.pickle_values import Storage, Tensor
from ultralab.models.zip_directory import MAGIC, Member, read_directory, read_member

MOST_PICKLE_BYTES: Final = 32 * 1024 * 1024
_MOST_PICKLES: Final = 16
_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_PICKLES: Final = 5
_FIRST_BYTES: Final = 256 * 1024
_HEAD: Final = 1_024
_PICKLED: Final = (".pkl", ".pickle")


@dataclass(frozen=True)
class Contents:
    """What one file holds: bytes by tensor type (``?`` where only sizes are known), parameters (0 where the types are
    not known), tensors with their names' count, and why loading it could run code.
    """

    bytes_by_type: dict[str, int]
    parameters: int
    tensors: int
    findings: tuple[str, ...]
    opcodes: int


def looks_pickled(item: Item) -> bool:
    """Whether a file's first bytes are those of a zip archive or of a pickle."""
    with item.open() as stream:
        head = stream.read(_HEAD)
    if head.startswith(MAGIC):
        return True
    found = scan(head)
    if any(_is_dotted(name) for name in (*found.called, *found.imported)):
        return True
    followed = not found.problem or found.truncated
    return followed and (found.opcodes >= 4 or (head[:1] == b"\x80" and found.opcodes >= 2))


def read_contents(item: Item, most_opcodes: int = MOST_OPCODES) -> Contents:
    """Follow a file's pickles. Raises FileDamaged, Unsupported, NotFound, FileAccess, FetchFailed."""
    with item.open() as stream:
        if stream.read(len(MAGIC)) == MAGIC:
            return _zipped(item, stream, most_opcodes)
        return _plain(item, stream, most_opcodes)


def _zipped(item: Item, stream: IO[bytes], most_opcodes: int) -> Contents:
    members = read_directory(stream, item.size, item.where)
    pickles = [member for member in members if member.name.lower().endswith(_PICKLED)]
    if not pickles or len(pickles) > _MOST_PICKLES:
        raise Unsupported(
            _("{path} is an archive with {count} pickles; a PyTorch file has one.").format(
                path=item.where, count=len(pickles)
            ),
            hint=_("Get the model in the SafeTensors format."),
            path=item.where,
        )
    file = _shown(item)
    scans: dict[str, Scan] = {}
    said: list[str] = []
    left = most_opcodes
    for member in pickles:
        scans[member.name] = found = scan(read_member(stream, member, MOST_PICKLE_BYTES, item.where), 0, left)
        left -= found.opcodes
        said += findings(file if len(pickles) == 1 else f"{file}:{printable(member.name, 80)}", found)
    said += _about_members(file, members)
    data = [name for name in scans if name.rpartition("/")[2] == "data.pkl"]
    used = most_opcodes - left
    if len(data) != 1:
        return Contents(_unknown(_storage_members(members, "")), 0, 0, tuple(said), used)
    prefix = data[0].removesuffix("data.pkl")
    stored = _storage_members(members, prefix)
    found = scans[data[0]]
    if found.problem or not found.storages:
        return Contents(_unknown(stored), 0, len(stored), tuple(said), used)
    _require_sizes(item, found, {member.name.removeprefix(f"{prefix}data/"): member.size for member in stored}, said)
    return _counted(found, tuple(said), used)


def _about_members(file: str, members: Sequence[Member]) -> list[str]:
    said: list[str] = []
    data = sum(member.name.rpartition("/")[2] == "data.pkl" for member in members)
    if data > 1:
        said.append(_("{file} holds {count} members called data.pkl.").format(file=file, count=data))
    if any("/code/" in f"/{member.name}" for member in members):
        said.append(_("{file} holds code for TorchScript.").format(file=file))
    if any(".." in member.name.split("/") or member.name.startswith(("/", "\\")) for member in members):
        said.append(_("{file} holds members that would be unpacked outside their folder.").format(file=file))
    return said


def _storage_members(members: Sequence[Member], prefix: str) -> list[Member]:
    """The members that are storages: ``<prefix>data/<key>``; of an unknown prefix, of any."""
    if prefix:
        return [member for member in members if member.name.startswith(f"{prefix}data/")]
    return [member for member in members if "/data/" in f"/{member.name}"]


def _unknown(stored: Iterable[Member]) -> dict[str, int]:
    total = sum(member.size for member in stored)
    return {"?": total} if total else {}


def _require_sizes(item: Item, found: Scan, sizes: dict[str, int], said: Sequence[str]) -> None:
    for storage in found.storages:
        claimed = _bytes_of(storage)
        if storage.key not in sizes:
            problem = _("the storage {key} is missing").format(key=printable(storage.key, 40))
        elif claimed is not None and claimed != sizes[storage.key]:
            problem = _("the storage {key} has {size} bytes instead of {claimed}").format(
                key=printable(storage.key, 40), size=sizes[storage.key], claimed=claimed
            )
        else:
            continue
        raise _damaged(item, problem, said)


def _plain(item: Item, stream: IO[bytes], most_opcodes: int) -> Contents:
    scans = _consecutive(item, stream, most_opcodes)
    file = _shown(item)
    said = [sentence for found in scans for sentence in findings(file, found)]
    used = sum(found.opcodes for found in scans)
    is_legacy = scans[0].result == _LEGACY_MAGIC
    if not is_legacy or scans[-1].problem:
        rest = max(0, item.size - scans[-1].end) if is_legacy else 0
        return Contents({"?": rest} if rest else {}, 0, 0, tuple(said), used)
    if len(scans) < _LEGACY_PICKLES:
        raise _damaged(item, _("it ends before its storages"), said)
    found = scans[3]
    needed = sum(8 + (_bytes_of(storage) or 0) for storage in found.storages)
    if scans[-1].end + needed > item.size:
        left = item.size - scans[-1].end
        raise _damaged(
            item, _("its storages need {needed} bytes where {left} are left").format(needed=needed, left=left), said
        )
    return _counted(found, tuple(said), used)


def _consecutive(item: Item, stream: IO[bytes], most_opcodes: int) -> list[Scan]:
    """The pickles at a file's beginning: one, or the five of torch's older format. More is read only when needed."""
    size = min(item.size, _FIRST_BYTES)
    while True:
        stream.seek(0)
        data = stream.read(size)
        scans: list[Scan] = []
        at, left = 0, most_opcodes
        while len(scans) < _LEGACY_PICKLES and (not scans or at < len(data)):
            found = scan(data, at, left)
            scans.append(found)
            at, left = found.end, left - found.opcodes
            if found.problem or scans[0].result != _LEGACY_MAGIC:
                break
        short = scans[-1].truncated or (len(scans) < _LEGACY_PICKLES and scans[0].result == _LEGACY_MAGIC)
        if not short or size >= min(item.size, MOST_PICKLE_BYTES):
            return scans
        size = min(item.size, size * 8, MOST_PICKLE_BYTES)


def _counted(found: Scan, said: tuple[str, ...], used: int) -> Contents:
    views: dict[str, set[Tensor]] = {}
    for tensor in found.tensors:
        views.setdefault(tensor.storage.key, set()).add(tensor)
    totals: dict[str, int] = {}
    parameters = 0
    for storage in found.storages:
        seen = views.get(storage.key, set())
        kind = _type_of(storage, seen)
        size = _bytes_of(storage) or storage.numel
        totals[kind] = totals.get(kind, 0) + size
        elements = size // ITEM_BYTES.get(kind, 1)
        viewed = sum(math.prod(tensor.shape) for tensor in seen)
        parameters += min(elements, viewed) if seen else elements
    return Contents(totals, parameters, len(found.tensors), said, used)


def _type_of(storage: Storage, views: Iterable[Tensor]) -> str:
    if storage.kind in ("UntypedStorage", "TypedStorage"):
        named = {DTYPES.get(tensor.dtype, "U8") for tensor in views}
        return min(named) if len(named) == 1 else "U8"
    return STORAGE_TYPES[storage.kind]


def _bytes_of(storage: Storage) -> int | None:
    """Bytes that a storage's claim makes; None where its class does not say them."""
    kind = STORAGE_TYPES.get(storage.kind)
    return None if kind is None else storage.numel * ITEM_BYTES[kind]


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _shown(item: Item) -> str:
    return printable(item.name, 80)


def _damaged(item: Item, problem: str, said: Sequence[str]) -> FileDamaged:
    return FileDamaged(
        _("{path} is damaged: {problem}.").format(path=item.where, problem=problem),
        hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
        path=item.where,
        unsafe=list(said),
    )
