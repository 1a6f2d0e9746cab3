"""The stack machine behind :mod:`ultralab.models.formats.pickle_scan`: one small method per opcode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.pickle_allowed import STORAGE_TYPES
from ultralab.models.formats.pickle_values import PLAIN, UNKNOWN, Global, Made, Storage, Tensor, Value

MOST_OPCODES: Final = 500_000
"""About 10,000 tensors in one file; followed in less than a second."""
MOST_NAMES: Final = 1_000
LONGEST_TEXT: Final = 1_024
_LARGEST: Final = 2**53
_TAKE_STATE: Final = frozenset({"OrderedDict", "Parameter", "Tensor", "_rebuild_from_type_v2"})
"""What may be given a state: the types that torch's weights-only loader lets."""
_STOP: Final = ord(b".")


class Stopped(Exception):
    """The pickle cannot be followed further."""

    def __init__(self, problem: str, *, truncated: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.truncated = truncated


class Machine:
    """One pickle being followed: ``at`` is the next byte. After ``run`` its fields hold what was found."""

    def __init__(self, data: bytes, start: int) -> None:
        self.at = start
        self.opcodes = 0
        self.called: dict[str, None] = {}
        self.imported: dict[str, None] = {}
        self.computed = False
        self.extensions: dict[int, None] = {}
        self.storages: dict[str, Storage] = {}
        self.tensors: list[Tensor] = []
        self.names: list[str] = []
        self.result: Value | None = None
        self._data = data
        self._stack: list[Value] = []
        self._outer: list[list[Value]] = []
        self._memo: dict[int, Value] = {}
        self._globals: dict[tuple[str, str], Global] = {}

    def run(self, handlers: Handlers, most_opcodes: int) -> None:
        """Follow to STOP. Raises Stopped."""
        data, size = self._data, len(self._data)
        left = most_opcodes
        try:
            while self.at < size:
                if not left:
                    raise Stopped(_("it has more than {most} opcodes").format(most=most_opcodes))
                left -= 1
                code = data[self.at]
                if code == _STOP:
                    self.result = self.pop()
                    self.at += 1
                    return
                handler = handlers[code]
                if handler is None:
                    raise Stopped(_("{code:#04x} is no opcode").format(code=code))
                self.at += 1
                handler(self)
        except IndexError:  # as the real machine: taken from an empty stack, or from below a mark
            raise Stopped(_("it takes more from its stack than there is")) from None
        finally:
            self.opcodes = most_opcodes - left
        raise self.ends()

    # reading

    def ends(self) -> Stopped:
        """The bytes end inside an opcode."""
        return Stopped(_("it ends in the middle"), truncated=True)

    def number(self, size: int, *, signed: bool = False) -> int:
        """A little-endian integer of ``size`` bytes."""
        start, self.at = self.at, self.at + size
        if self.at > len(self._data):
            self.at = start
            raise self.ends()
        return int.from_bytes(self._data[start : self.at], "little", signed=signed)

    def counted(self, width: int, *, signed: bool = False) -> tuple[int, int]:
        """Start and end of bytes with their length before them."""
        length = self.number(width, signed=signed)
        if length < 0:
            raise Stopped(_("it gives a negative length"))
        start = self.at
        if start + length > len(self._data):
            raise self.ends()
        self.at = start + length
        return start, self.at

    def line(self) -> bytes:
        """Bytes up to a line's end; of a very long line only the beginning."""
        end = self._data.find(b"\n", self.at)
        if end < 0:
            raise self.ends()
        start, self.at = self.at, end + 1
        return self._data[start : min(end, start + LONGEST_TEXT)]

    def text(self, start: int, end: int, encoding: str = "utf-8") -> Value:
        """A text as a value: kept where it is short and can be read."""
        if end - start > LONGEST_TEXT:
            return PLAIN
        try:
            return self._data[start:end].decode(encoding)
        except UnicodeDecodeError:
            return PLAIN

    # the stack

    def push(self, value: Value) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Value:
        """Take the topmost value."""
        return self._stack.pop()

    def top(self) -> Value:
        """The topmost value."""
        return self._stack[-1]

    def mark(self) -> None:
        """Begin a new stack above a mark."""
        self._outer.append(self._stack)
        self._stack = []

    def to_mark(self) -> list[Value]:
        """Everything above the topmost mark, which goes too."""
        values, self._stack = self._stack, self._outer.pop()
        return values

    def drop(self) -> None:
        """Forget the topmost value, or the mark where one lies there."""
        if self._stack:
            self._stack.pop()
        else:
            self.to_mark()

    def get(self, index: int) -> None:
        """Push what was remembered."""
        if index not in self._memo:
            raise Stopped(_("it asks for something it did not remember"))
        self._stack.append(self._memo[index])

    def put(self, index: int) -> None:
        """Remember the topmost value."""
        self._memo[index] = self._stack[-1]

    def memoize(self) -> None:
        """Remember the topmost value at the next number."""
        self._memo[len(self._memo)] = self._stack[-1]

    # what would happen

    def imports(self, module: Value, name: Value) -> None:
        """A class or function is imported."""
        if not (isinstance(module, str) and isinstance(name, str)):
            self.computed = True
            self.push(UNKNOWN)
            return
        found = self._globals.get((module, name))
        if found is None:
            found = Global(module, name)
            if not found.allowed:
                note(self.imported, found.path)
            if len(self._globals) >= MOST_NAMES:
                raise Stopped(_("it names more than {most} classes and functions").format(most=MOST_NAMES))
            self._globals[module, name] = found
        self.push(found)

    def calls(self, target: Value, arguments: Value) -> Value:
        """Something is called; what it gives."""
        if not isinstance(target, Global):
            self.computed = True
            return UNKNOWN
        if not target.allowed:
            note(self.called, target.path)
            return UNKNOWN
        return self._rebuilt(target, arguments if isinstance(arguments, tuple) else ())

    def builds(self) -> None:
        """The object below the topmost value takes it as its state."""
        self.pop()
        target = self.top()  # where an unknown one came from is told already
        if isinstance(target, Made) and target.maker.name not in _TAKE_STATE:
            target = target.maker
        if isinstance(target, Global):
            note(self.called, f"{target.path}.__setstate__")

    def persistent(self, value: Value) -> None:
        """A persistent id: torch's are ``("storage", class, key, device, elements)``."""
        storage = _storage(value)
        if storage is None:
            self.computed = True
            self.push(UNKNOWN)
            return
        known = self.storages.setdefault(storage.key, storage)
        if (known.kind, known.numel) != (storage.kind, storage.numel):
            raise Stopped(_("it describes the storage {key!r} in two ways").format(key=printable(storage.key, 40)))
        self.push(storage)

    def items(self, values: list[Value]) -> None:
        """Keys and values enter a dictionary: tensors get their names there."""
        for key, value in zip(values[::2], values[1::2], strict=False):
            if isinstance(value, Tensor) and isinstance(key, str):
                self.names.append(key)

    def _rebuilt(self, target: Global, arguments: tuple[Value, ...]) -> Value:
        first = arguments[0] if arguments else PLAIN
        if target.name.startswith("_rebuild_parameter") and isinstance(first, Tensor):
            return first
        if target.name == "_rebuild_from_type_v2" and len(arguments) == 4:
            return self.calls(first, arguments[2])
        if not (target.name.startswith("_rebuild_tensor") and isinstance(first, Storage) and len(arguments) >= 3):
            return Made(target)
        shape = arguments[2]
        if not isinstance(shape, tuple):
            return Made(target)
        sizes = tuple(size for size in shape if isinstance(size, int))
        dtype = arguments[6] if target.name == "_rebuild_tensor_v3" and len(arguments) > 6 else None
        tensor = Tensor(first, sizes, dtype.name if isinstance(dtype, Global) else "")
        self.tensors.append(tensor)
        return tensor


def note(names: dict[str, None], name: str) -> None:
    """Add a name, unless there are very many."""
    if len(names) < MOST_NAMES:
        names[name] = None


def _storage(value: Value) -> Storage | None:
    if not isinstance(value, tuple) or len(value) < 5 or value[0] != "storage":
        return None
    kind, key, numel = value[1], value[2], value[4]
    if not (isinstance(kind, Global) and kind.allowed and kind.name in (*STORAGE_TYPES, "TypedStorage")):
        return None
    if not isinstance(key, str | int) or not isinstance(numel, int) or not 0 <= numel < _LARGEST:
        return None
    return Storage(kind.name, str(key), numel)


Handlers = tuple[Callable[[Machine], object] | None, ...]
"""What each byte does, by its value."""
