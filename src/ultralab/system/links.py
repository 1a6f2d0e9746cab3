"""The door to files that share their bytes: clones, reflinks, hard links, links by name.

``clone`` is APFS's ``clonefile(2)`` (macOS), ``reflink`` the ``FICLONE`` request of Btrfs and XFS (Linux,
``ioctl_ficlone(2)``): both make a file of its own whose blocks are copied only where one of the two is written to later.
A ``hardlink`` is a second name of the same file, a ``symlink`` a name that leads to it, across file systems too.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import stat
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ultralab.kernel.errors import FileAccess, FileDamaged
from ultralab.kernel.language import _
from ultralab.system import files

Way = Literal["clone", "reflink", "hardlink", "symlink"]

WAYS: Final[tuple[Way, ...]] = ("clone", "reflink", "hardlink", "symlink")
"""Best first: with the first two, a change to one name never reaches the other."""

SUFFIX: Final = ".ultralab-share"
"""What a link that is being made is called, between making and renaming it: hidden, and the target's name before it."""

_FICLONE: Final = 0x40049409
_FIEMAP: Final = 0xC020660B
_FIEMAP_HEAD: Final = struct.Struct("=QQLLLL")
_FIEMAP_EXTENT: Final = struct.Struct("=QQQQQLLLL")
_NO_FIXED_PLACE: Final = (
    0x2 | 0x4 | 0x8 | 0x80 | 0x200
)  # unknown, not yet written, encoded, encrypted, inside the inode
_LOG2PHYS_EXT: Final = 65
_LOG2PHYS: Final = struct.Struct("=Iqq")  # struct log2phys of <sys/fcntl.h> is packed to four bytes
_CLONE_NOFOLLOW: Final = 0x0001

_CANNOT: Final = frozenset({
    errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EMLINK,
    errno.ETXTBSY,
})  # fmt: skip
"""The system says that this way does not lead there; another may."""


@dataclass(frozen=True)
class Stamp:
    """What tells that a file is still the one that was looked at. Times in nanoseconds, sizes in bytes.

    ``changed`` (ctime) moves with each write, even where a program sets the modification time back.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @property
    def identity(self) -> tuple[int, int]:
        """Two names with the same identity are one file."""
        return (self.device, self.inode)


def stamp(path: Path) -> Stamp:
    """The stamp of a regular file, links not followed. Raises NotFound, FileAccess."""
    with files.explained(path):
        status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise FileAccess(
            _("{path} is not a regular file.").format(path=path), hint=_("Name the file itself."), path=str(path)
        )
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def share(
    source: Path, target: Path, *, proven: tuple[Stamp, Stamp] | None = None, ways: Sequence[Way] = WAYS
) -> Way | None:
    """Replace ``target``, which has been proven equal, by something that shares the bytes of ``source``; how.

    ``proven`` are the stamps that both files had when they were compared. The new file is made beside the target and
    renamed over it; a clone keeps the target's mode and times. None, and nothing changed, where no way leads there.
    A link has the source's mode and owner: none is made where that would take the right to read from anybody, nor a hard
    link where it would give the file to another user. Nothing's mode is ever changed. Raises FileDamaged (a file changed since it was
    compared), NotFound, FileAccess, DiskFull.
    """
    with files.explained(source):
        real = source.resolve(strict=True)
    before = (stamp(real), stamp(target))
    if proven is not None and before != proven:
        raise _changed(target if before[0] == proven[0] else source)
    if before[0].identity == before[1].identity:
        return "hardlink"
    if before[0].size != before[1].size:
        raise _changed(target)
    beside = target.with_name(_name_beside(target.name))
    with files.explained(target):
        beside.unlink(missing_ok=True)
        try:
            way = _make(real, target, beside, ways)
            if way is None:
                return None
            if _unlinked(stamp(real)) != _unlinked(before[0]) or stamp(target) != before[1]:
                raise _changed(target)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        files.sync_directory(target.parent)
    return way


def copy_shared(source: Path, target: Path) -> bool:
    """Make ``target``, which is not there yet, a clone of ``source``: false, and nothing made, where that cannot be."""
    with files.explained(target):
        return _clone(source, target) or _reflink(source, target)


def second_name(source: Path, target: Path, ways: Sequence[Way] = WAYS) -> Way | None:
    """Make ``target``, which is not there yet, share the bytes of ``source``; how, None (nothing made) where no way leads.

    A clone can be read by those who can read the source. Raises NotFound, FileAccess (the target's folder, or it is there).
    """
    with files.explained(source):
        real = source.resolve(strict=True)
        mode = stat.S_IMODE(real.stat().st_mode)
    with files.explained(target):
        for way in ways:
            if _MAKERS[way](real, target):
                if way == "reflink":
                    target.chmod(mode)
                return way
    return None


def same_bytes(first: Path, second: Path) -> bool:
    """Whether two files are already stored once: the same file, or clones that nobody has written to since.

    The disk's own addresses are compared at both ends and in the middle; false where the system does not tell them.
    """
    one, two = stamp(first), stamp(second)
    if one.identity == two.identity:
        return True
    if one.device != two.device or one.size != two.size or not one.size:
        return False
    for offset in (0, one.size // 2, one.size - 1):
        place = _place_of(first, offset)
        if place is None or place != _place_of(second, offset):
            return False
    return True


def is_being_written(path: Path) -> bool:
    """Whether a process has the file open for writing, as far as the system tells: Linux does, by refusing a lease.

    macOS leases nothing to ordinary processes; there (and on network disks) this is false.
    """
    set_lease: int | None = getattr(fcntl, "F_SETLEASE", None)
    if set_lease is None:
        return False
    with files.explained(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        # whoever opens the file for writing in this moment makes the system send us a signal: one that is ignored
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, 23)  # SIGURG
        fcntl.fcntl(descriptor, set_lease, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, set_lease, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EBUSY)
    finally:
        os.close(descriptor)
    return False


def _make(real: Path, target: Path, beside: Path, ways: Sequence[Way]) -> Way | None:
    for way in ways:
        if way in ("hardlink", "symlink") and not _may_lead(real, target, owned=way == "hardlink"):
            continue
        if _MAKERS[way](real, beside):
            if way in ("clone", "reflink"):
                status = target.stat()
                beside.chmod(stat.S_IMODE(status.st_mode))
                os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns))
            return way
    return None


def _name_beside(name: str) -> str:
    """Always the same for a name, so that the next call takes away what an interrupted one left; at most 255 bytes."""
    raw = os.fsencode(name)
    return f".{name if len(raw) <= 200 else hashlib.sha256(raw).hexdigest()}{SUFFIX}"


def _may_lead(real: Path, target: Path, *, owned: bool) -> bool:
    """Whether everybody who may read the target may read the source; and, for a hard link, whether both have one owner."""
    one, two = real.stat(), target.stat()
    readable = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
    return not (two.st_mode & readable) & ~one.st_mode and not (owned and one.st_uid != two.st_uid)


def _unlinked(seen: Stamp) -> Stamp:
    """A stamp without what making a hard link changes by itself."""
    return Stamp(seen.device, seen.inode, seen.size, seen.modified, 0)


def _clone(source: Path, target: Path) -> bool:
    if sys.platform == "darwin":
        library = ctypes.CDLL(None, use_errno=True)
        made: int = library.clonefile(os.fsencode(source), os.fsencode(target), ctypes.c_uint32(_CLONE_NOFOLLOW))
        return made == 0 or _cannot(OSError(ctypes.get_errno(), "clonefile"))
    return False


def _reflink(source: Path, target: Path) -> bool:
    if sys.platform != "linux":
        return False
    with source.open("rb") as origin:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.ioctl(descriptor, _FICLONE, origin.fileno())
            os.fsync(descriptor)
        except OSError as error:
            target.unlink()
            return _cannot(error)
        finally:
            os.close(descriptor)
    return True


def _hard_link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        return _cannot(error)
    return True


def _symlink(source: Path, target: Path) -> bool:
    target.symlink_to(source)
    return True


def _cannot(error: OSError) -> bool:
    if error.errno in _CANNOT:
        return False
    raise error


_MAKERS: Final[Mapping[Way, Callable[[Path, Path], bool]]] = {
    "clone": _clone, "reflink": _reflink, "hardlink": _hard_link, "symlink": _symlink,
}  # fmt: skip


def _place_of(path: Path, offset: int) -> int | None:
    """Where on the disk a byte of a file lies, None where nobody can say."""
    with files.explained(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return _place_on_macos(descriptor, offset) if sys.platform == "darwin" else _place_on_linux(descriptor, offset)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _place_on_linux(descriptor: int, offset: int) -> int | None:
    """By the ``FS_IOC_FIEMAP`` request (the kernel's Documentation/filesystems/fiemap.rst)."""
    asked = _FIEMAP_HEAD.pack(offset, 1, 0, 0, 1, 0) + bytes(_FIEMAP_EXTENT.size)
    answer = fcntl.ioctl(descriptor, _FIEMAP, asked)
    if not _FIEMAP_HEAD.unpack_from(answer)[3]:
        return None
    logical, physical, length, _a, _b, flags, *_rest = _FIEMAP_EXTENT.unpack_from(answer, _FIEMAP_HEAD.size)
    if flags & _NO_FIXED_PLACE or not logical <= offset < logical + length:
        return None
    return int(physical + offset - logical)


def _place_on_macos(descriptor: int, offset: int) -> int | None:
    """By ``F_LOG2PHYS_EXT`` (``fcntl(2)`` of macOS): the file's offset goes in, the device's comes out."""
    answer = fcntl.fcntl(descriptor, _LOG2PHYS_EXT, _LOG2PHYS.pack(0, 1, offset))
    place = int(_LOG2PHYS.unpack(answer)[2])
    return place if place >= 0 else None


def _changed(path: Path) -> FileDamaged:
    return FileDamaged(
        _("{path} changed while it was being looked at; it was left as it is.").format(path=path),
        hint=_("Wait until nothing writes to it any more and try again."),
        path=str(path),
    )
