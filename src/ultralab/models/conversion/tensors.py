"""The tensors of SafeTensors files as bytes: read by their place, written one after another into files of bounded size.

The format: eight bytes of length, little-endian, a JSON object ``name → {dtype, shape, data_offsets}``, then the data
(safetensors' README, "Format"). Only for files whose header our reader has accepted; tests read what is written here
with the ``safetensors`` library.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.system import files

LARGEST_FILE: Final = 5 * 10**9
"""Bytes of data in one file, as Hugging Face's own tools split; a larger tensor has a file of its own."""

WIDTHS: Final = {"F16": 2, "BF16": 2, "F32": 4}
"""Bytes of a number, for the types that plain weights have."""

_BLOCK: Final = 16 * 1024 * 1024
_MOST_HEADER: Final = 256 * 1024 * 1024


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: ``start`` is from the file's beginning, sizes are bytes."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int

    def blocks(self, first: int = 0, size: int | None = None) -> Iterator[bytes]:
        """The bytes from ``first`` on, some MiB at a time. Raises FileDamaged, FileAccess."""
        left = self.size - first if size is None else size
        with files.explained(self.path), self.path.open("rb") as stream:
            stream.seek(self.start + first)
            while left:
                block = stream.read(min(left, _BLOCK))
                if not block:
                    raise damaged(self.path, _("the file became shorter"))
                left -= len(block)
                yield block

    def read(self, first: int = 0, size: int | None = None) -> bytes:
        """The bytes from ``first`` on, at once."""
        return b"".join(self.blocks(first, size))


@dataclass(frozen=True)
class NewTensor:
    """A tensor to write: ``blocks`` gives its bytes, as many as ``size``, when its turn comes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    blocks: Iterable[bytes]


def stored_tensors(paths: Sequence[Path]) -> dict[str, StoredTensor]:
    """Every tensor of these files by name. Raises FileDamaged, FileAccess."""
    found: dict[str, StoredTensor] = {}
    for path in paths:
        with files.explained(path), path.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8).ljust(8, b"\0"))[0]
            if length > _MOST_HEADER:
                raise damaged(path, _("its header is too long"))
            try:
                header = json.loads(stream.read(length))
            except (ValueError, RecursionError) as error:
                raise damaged(path, str(error)) from error
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            found[name] = StoredTensor(
                path, name, entry["dtype"], tuple(entry["shape"]), 8 + length + begin, end - begin
            )
    return found


def write_tensors(
    folder: Path,
    tensors: Sequence[NewTensor],
    *,
    largest: int = LARGEST_FILE,
    metadata: Mapping[str, str] | None = None,
) -> list[str]:
    """Write ``model.safetensors``, or ``model-0000N-of-0000M.safetensors`` with their index; the files' names.

    Raises DiskFull, FileAccess, and what reading the tensors' blocks raises.
    """
    groups = _groups(tensors, largest)
    names = [
        "model.safetensors" if len(groups) == 1 else f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        for number in range(1, len(groups) + 1)
    ]
    for name, group in zip(names, groups, strict=True):
        _write_file(folder / name, group, {"format": "pt", **(metadata or {})})
    if len(groups) == 1:
        return names
    index = {
        "metadata": {"total_size": sum(tensor.size for tensor in tensors)},
        "weight_map": {tensor.name: name for name, group in zip(names, groups, strict=True) for tensor in group},
    }
    files.write(folder / "model.safetensors.index.json", json.dumps(index, indent=2, sort_keys=True) + "\n")
    return [*names, "model.safetensors.index.json"]


def _groups(tensors: Sequence[NewTensor], largest: int) -> list[list[NewTensor]]:
    groups: list[list[NewTensor]] = [[]]
    filled = 0
    for tensor in tensors:
        if groups[-1] and filled + tensor.size > largest:
            groups.append([])
            filled = 0
        groups[-1].append(tensor)
        filled += tensor.size
    return groups


def _write_file(path: Path, tensors: Sequence[NewTensor], metadata: Mapping[str, str]) -> None:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.size
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begins at a multiple of eight
    with files.explained(path), path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            written = sum(stream.write(block) for block in tensor.blocks)
            if written != tensor.size:
                raise damaged(
                    path,
                    _("{name} has {size} bytes instead of {expected}").format(
                        name=tensor.name, size=written, expected=tensor.size
                    ),
                )


def damaged(path: Path, problem: str) -> FileDamaged:
    """The error for a file that is not what its header said."""
    return FileDamaged(
        _("{path} cannot be used: {problem}.").format(path=path, problem=problem),
        hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
        path=str(path),
    )
