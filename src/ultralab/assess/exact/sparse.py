"""Headers written as files that look as large as the models, and take no disk: enough for llama.cpp's fit report."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.models.formats.base import Bundle, Item
from ultralab.models.formats.gguf_reader import GgufHeader, read_gguf
from ultralab.models.formats.gguf_split import parts_of
from ultralab.models.formats.gguf_types import MAGIC, STRING, UINT32
from ultralab.system import files

_TOKENIZER: Final = "tokenizer.ggml.model"
_TOKENS: Final = "tokenizer.ggml.tokens"
_VOCABULARY: Final = (
    _TOKENS, "tokenizer.ggml.token_type", "tokenizer.ggml.scores", "tokenizer.ggml.merges",
    "tokenizer.ggml.precompiled_charsmap", "tokenizer.chat_template",
)  # fmt: skip
_FIXED: Final = 8 + 4 + 4 + 8
"""Of an entry in the list of tensors, beside its name and its sides: two lengths, the type, the offset."""
_TRIAL: Final = 16 * 1024 * 1024
_BLOCK: Final = 512
"""What ``st_blocks`` counts in, whatever the file system's own blocks are (POSIX ``sys/stat.h``)."""


@dataclass(frozen=True)
class Written:
    """A model as files without weights: the first one's path, and the bytes of all tensors that the headers list.

    ``is_shortened``: a vocabulary was left out.
    """

    path: Path
    tensors: int
    is_shortened: bool = False


def write_sparse(bundle: Bundle, folder: Path, *, vocabulary: bool = False) -> Written:
    """Write a GGUF model's headers into ``folder``, and extend each file to what its tensors need.

    Without ``vocabulary`` the tokens are counted, not listed (:func:`without_vocabulary`).

    The parts of a model get the names by which llama.cpp finds them (``llama-model-loader.cpp``: ``llama_split_path``).
    Raises Unsupported (no GGUF model, no holes in files here, no files of this size), DiskFull, and what reading a header
    raises.
    """
    parts = parts_of(bundle)
    if not parts or not _is_gguf(parts[0]):
        raise Unsupported(
            _("{path} is no single GGUF model: llama.cpp cannot be asked about it.").format(path=bundle.where),
            hint=_("Give a GGUF file, or leave out --exact."),
            path=bundle.where,
        )
    count = len(parts)
    names = ["model.gguf"] if count == 1 else [f"model-{at:05d}-of-{count:05d}.gguf" for at in range(1, count + 1)]
    headers = [
        _write(part, folder / name, bundle, vocabulary=vocabulary) for part, name in zip(parts, names, strict=True)
    ]
    total = sum(tensor.size for header in headers for tensor in header.tensors)
    return Written(folder / names[0], total, not vocabulary and _TOKENS in headers[0].counts)


def _is_gguf(item: Item) -> bool:
    with item.open() as stream:
        return stream.read(len(MAGIC)) == MAGIC


def _write(item: Item, path: Path, bundle: Bundle, *, vocabulary: bool) -> GgufHeader:
    read = read_gguf(item, bundle.limits, weights=False)
    keys = max((entry.end for entry in read.entries), default=0)
    data = min((tensor.start for tensor in read.tensors), default=min(item.size, keys))
    with item.open() as source:
        content = source.read(data)
    if not vocabulary:
        content = without_vocabulary(read, content)
    weights = max((tensor.start + tensor.size for tensor in read.tensors), default=data) - data
    with files.explained(path), path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        extend(stream, path, len(content) + weights)
    return read


def without_vocabulary(read: GgufHeader, content: bytes) -> bytes:
    """A header (``content``: all of it) that names how many tokens there are instead of listing them.

    Reading a vocabulary takes llama.cpp longer than all else, and no buffer depends on more than its length: with the
    tokenizer ``no_vocab`` it counts ``vocab_size`` tokens (``llama-vocab.cpp``: ``LLAMA_VOCAB_TYPE_NONE``). Tensors keep
    their offsets, which count from the end of the header.
    """
    architecture, tokens = read.values.get("general.architecture"), read.counts.get(_TOKENS)
    if not tokens or not isinstance(architecture, str) or not read.entries:
        return content
    size = f"{architecture}.vocab_size"
    dropped = (*_VOCABULARY, _TOKENIZER, size)
    kept = [content[entry.start : entry.end] for entry in read.entries if entry.key not in dropped]
    kept += [
        _text(_TOKENIZER) + struct.pack("<I", STRING) + _text("no_vocab"),
        _text(size) + struct.pack("<II", UINT32, tokens),
    ]
    start = read.entries[-1].end
    listed = content[start : start + sum(_FIXED + len(t.name.encode()) + 8 * len(t.shape) for t in read.tensors)]
    made = MAGIC + struct.pack("<IQQ", read.version, len(read.tensors), len(kept)) + b"".join(kept) + listed
    return made + bytes(-len(made) % read.alignment)


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def extend(stream: IO[bytes], path: Path, size: int) -> None:
    """Make a file look ``size`` bytes long, with a hole where nothing was written.

    A file system without holes (FAT, HFS+) would fill hundreds of GB with zeros, so a smaller step is tried first.
    Raises Unsupported: no holes, or no files that large.
    """
    before = stream.tell()
    try:
        for step in (min(size, before + _TRIAL), size):
            stream.truncate(step)
            require_hole(path, path.stat().st_blocks * _BLOCK, step, before)
    except OSError as error:
        if error.errno not in (errno.EFBIG, errno.ENOSPC, errno.EINVAL, errno.EDQUOT):
            raise
        raise _no_room(path, size, error.strerror or "") from error


def require_hole(path: Path, taken: int, size: int, written: int) -> None:
    """Raise Unsupported if a file of ``size`` bytes, ``written`` of them, takes (``taken`` bytes) half of its hole."""
    if size - written >= _TRIAL // 2 and taken > written + (size - written) // 2:
        raise _no_room(path, size, _("its file system has no holes in files"))


def _no_room(path: Path, size: int, reason: str) -> Unsupported:
    return Unsupported(
        _("{folder} cannot hold a file that looks {size} large without taking disk: {reason}.").format(
            folder=path.parent, size=format_bytes(size), reason=reason
        ),
        hint=_("Set TMPDIR to a folder on a disk with APFS, ext4 or XFS, raise “ulimit -f”, or leave out --exact."),
        path=str(path.parent),
        needed=size,
    )
