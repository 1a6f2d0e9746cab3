"""Whether the tensors of a SafeTensors file fill its data part exactly, and no name is there twice.

The library sorts by offset and wants each tensor to begin where the one before it ended (``Metadata::validate``).
Numbers and hashes of names are kept in flat arrays: a header may list a million tensors.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.text import printable

_FEW: Final = 50_000


class Layout:
    """Collects where tensors lie in a data part of ``size`` bytes; ``damaged`` makes the error."""

    def __init__(self, size: int, damaged: Callable[[str], FileDamaged]) -> None:
        self.count = 0
        self._size = size
        self._damaged = damaged
        self._starts = array("Q")
        self._ends = array("Q")
        self._names = array("q")
        self._expected = 0
        self._ordered = True

    def add(self, name: str, start: int, end: int) -> None:
        """Take one tensor. Raises FileDamaged where it ends before it begins, or beyond the file."""
        if not start <= end <= self._size:
            raise self._damaged(
                _("{name!r} lies from {start} to {end} where {size} bytes of data are").format(
                    name=printable(name, 100), start=start, end=end, size=self._size
                )
            )
        self._ordered = self._ordered and start == self._expected
        self._expected = end
        self.count += 1
        self._names.append(hash(name))  # keyed anew in every process: nobody can make two names collide
        self._starts.append(start)
        self._ends.append(end)

    def close(self) -> None:
        """All tensors are known. Raises FileDamaged for a hole, an overlap, rest bytes, a name that appears twice."""
        if self._repeated():
            raise self._damaged(_("a tensor's name appears twice"))
        if not self._ordered:
            self._check_order()
        end = max(self._ends, default=0)
        if end != self._size:
            raise self._damaged(
                _("its tensors end at {end}, and {size} bytes of data are there").format(end=end, size=self._size)
            )

    def _check_order(self) -> None:
        expected = 0
        for start, end in self._sorted():
            if start != expected:
                what = _("tensors overlap at {start} of the data") if start < expected else _("a hole ends at {start}")
                raise self._damaged(what.format(start=start))
            expected = end

    def _sorted(self) -> list[tuple[int, int]] | zip[tuple[int, int]]:
        if self.count <= _FEW:
            return sorted(zip(self._starts, self._ends, strict=True))
        import numpy as np  # a plain sort of a million pairs would hold 200 MB

        starts, ends = np.frombuffer(self._starts, np.uint64), np.frombuffer(self._ends, np.uint64)
        order = np.lexsort((ends, starts))
        return zip(map(int, starts[order]), map(int, ends[order]), strict=True)

    def _repeated(self) -> bool:
        if self.count <= _FEW:
            return len(set(self._names)) < self.count
        import numpy as np

        names = np.sort(np.frombuffer(self._names, np.int64))
        return bool((names[1:] == names[:-1]).any())
