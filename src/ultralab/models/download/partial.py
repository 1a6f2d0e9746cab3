"""A download that has not ended: the bytes in ``<key>.partial``, what is known of them in ``<key>.journal``.

The journal is binary and of fixed size, so that noting a chunk is one small write: a header of 1024 bytes (what file
this is; ended by its CRC-32), then 16 bytes per block: how many bytes of its beginning have arrived, their CRC-32, a
CRC-32 of these two and the block's number, four bytes of nothing.

Every chunk is written before it is noted. What a killed process wrote stays in the system's cache, so then the two
agree. After a power cut the note may have reached the disk and the bytes not: nothing is synced on the way (that would
cost more than it saves), instead whoever hashes a block that an earlier process fetched compares its check sum, and a
block that does not fit is fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import Busy, DiskFull, UltralabError
from ultralab.kernel.language import _
from ultralab.models.download import blocks
from ultralab.system import files

_MAGIC: Final = b"ULDOWNL1"
_HEAD: Final = struct.Struct("<8sIQ32sH")
_HEAD_BYTES: Final = 1024
_VALIDATOR_MOST: Final = 512
_NOTE: Final = struct.Struct("<IIII")


@dataclass(frozen=True)
class Identity:
    """Which file: its bytes, the address that they come from, and what that server calls this version (or nothing)."""

    size: int
    address: str
    validator: str = ""

    @property
    def address_hash(self) -> bytes:
        """What the journal keeps of the address: it may hold a signature."""
        return hashlib.sha256(self.address.encode()).digest()


@dataclass(frozen=True)
class Noted:
    """A journal as it was read: per block the bytes that are there, and their CRC-32."""

    size: int
    address_hash: bytes
    validator: str
    have: tuple[int, ...]
    crc: tuple[int, ...]


def journal_of(path: Path) -> Path:
    """Where the journal of the partial file ``path`` is."""
    return path.with_suffix(".journal")


def hold(path: Path) -> int:
    """Open a partial file (made where it is not) for this process alone; its descriptor. Raises Busy, FileAccess."""
    with files.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            except BlockingIOError:
                os.close(descriptor)
                raise Busy(
                    _("Another process is downloading {path}.").format(path=path),
                    hint=_("Wait for it to finish and try again."),
                    path=str(path),
                ) from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # whoever held it moved it away meanwhile


def read_journal(path: Path) -> Noted | None:
    """The journal of the partial file ``path``; None where there is none that can be trusted. Raises FileAccess."""
    try:
        with journal_of(path).open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
            if len(head) != _HEAD_BYTES or zlib.crc32(head[:-4]).to_bytes(4, "little") != head[-4:]:
                return None
            magic, block, size, address_hash, validator = _HEAD.unpack_from(head)
            number = blocks.count(size)
            whole = _HEAD_BYTES + number * _NOTE.size
            if (magic, block) != (_MAGIC, blocks.BLOCK) or os.fstat(stream.fileno()).st_size != whole:
                return None
            notes = stream.read(number * _NOTE.size)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.explain(error, journal_of(path)) from error
    if len(notes) != number * _NOTE.size:
        return None
    trusted = [_trusted(index, size, *note) for index, note in enumerate(_NOTE.iter_unpack(notes))]
    text = head[_HEAD.size : _HEAD.size + validator].decode("latin-1")
    return Noted(size, address_hash, text, tuple(have for have, _crc in trusted), tuple(crc for _have, crc in trusted))


def _trusted(index: int, size: int, have: int, crc: int, check: int, _nothing: int) -> tuple[int, int]:
    return (have, crc) if have <= blocks.length(size, index) and check == _check(index, have, crc) else (0, 0)


def _check(index: int, have: int, crc: int) -> int:
    return zlib.crc32(struct.pack("<QII", index, have, crc))


class Partial:
    """The one owner of a partial file and its journal. Several threads may write, each into blocks of its own."""

    def __init__(self, path: Path, descriptor: int, identity: Identity, noted: Noted | None = None) -> None:
        """``descriptor`` comes from :func:`hold` and stays the caller's. Raises DiskFull, FileAccess."""
        number = blocks.count(identity.size)
        self.identity = identity
        self.have = list(noted.have) if noted else [0] * number
        self.inherited = {index for index, have in enumerate(self.have) if have}
        self._crc = list(noted.crc) if noted else [0] * number
        self._path = path
        self._data = descriptor
        self._lock = threading.Lock()
        self._closed = False
        with files.explained(journal_of(path)):
            self._journal = os.open(journal_of(path), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._begin(fresh=noted is None)
        except OSError as error:
            self.close()
            raise _refused(error, path) from error

    def _begin(self, *, fresh: bool) -> None:
        if fresh:  # the old journal ends before the old bytes: no moment in which it speaks of others
            os.ftruncate(self._journal, 0)
            os.ftruncate(self._data, 0)
            os.ftruncate(self._data, self.identity.size)
            write_all(self._journal, bytes(len(self.have) * _NOTE.size), _HEAD_BYTES)
        write_all(self._journal, self._head(), 0)

    def _head(self) -> bytes:
        known = self.identity
        validator = known.validator.encode("latin-1", "replace")
        head = _HEAD.pack(_MAGIC, blocks.BLOCK, known.size, known.address_hash, len(validator)) + validator
        padded = head.ljust(_HEAD_BYTES - 4, b"\0")
        return padded + zlib.crc32(padded).to_bytes(4, "little")

    @property
    def stored(self) -> int:
        """Bytes that have arrived."""
        return sum(self.have)

    def is_complete(self, index: int) -> bool:
        """Whether a whole block has arrived."""
        return self.have[index] == blocks.length(self.identity.size, index)

    def write(self, position: int, chunk: bytes) -> None:
        """Put bytes where they belong and note them; they continue what their block has. Raises DiskFull, FileAccess."""
        view = memoryview(chunk)
        while view:
            index, offset = divmod(position, blocks.BLOCK)
            piece = view[: blocks.BLOCK - offset]
            crc = zlib.crc32(piece, self._crc[index])
            with self._lock:
                if self._closed:
                    return
                try:
                    write_all(self._data, piece, position)
                    self._note(index, offset + len(piece), crc)
                except OSError as error:
                    raise _refused(error, self._path) from error
            position += len(piece)
            view = view[len(piece) :]

    def _note(self, index: int, have: int, crc: int) -> None:
        note = _NOTE.pack(have, crc, _check(index, have, crc), 0)
        write_all(self._journal, note, _HEAD_BYTES + index * _NOTE.size)
        self.have[index], self._crc[index] = have, crc

    def read(self, index: int) -> bytes:
        """A whole block. Raises FileAccess."""
        wanted = blocks.length(self.identity.size, index)
        with files.explained(self._path):
            return os.pread(self._data, wanted, index * blocks.BLOCK)

    def is_sound(self, index: int, content: bytes) -> bool:
        """Whether what was read of a complete block is what was written into it."""
        return zlib.crc32(content) == self._crc[index]

    def forget(self, index: int) -> int:
        """Take a block for missing; how many bytes that are. Raises DiskFull, FileAccess."""
        had = self.have[index]
        with self._lock:
            try:
                self._note(index, 0, 0)
            except OSError as error:
                raise _refused(error, self._path) from error
        self.inherited.discard(index)
        return had

    def close(self) -> None:
        """End writing; what is late is dropped."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._journal)


def write_all(descriptor: int, content: bytes | memoryview, position: int) -> None:
    """Write every byte at its place. Raises OSError."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, position)
        position += written
        view = view[written:]


def _refused(error: OSError, path: Path) -> UltralabError:
    explained = files.explain(error, path)
    if isinstance(explained, DiskFull):
        hint = _("Free some space there and run the command again: what has arrived is kept.")
        return DiskFull(explained.message, hint=hint, **explained.data)
    return explained


def usable_validator(text: str) -> str:
    """A validator that fits into a journal, or nothing."""
    return text if len(text) <= _VALIDATOR_MOST and text.isascii() and text.isprintable() else ""
