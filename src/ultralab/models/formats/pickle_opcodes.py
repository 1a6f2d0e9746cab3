"""What each opcode of a pickle does on the stack machine of :mod:`ultralab.models.formats.pickle_machine`.

Opcodes and their arguments as ``pickletools.opcodes`` of CPython lists them, protocols 0 to 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ultralab.kernel.language import _
from ultralab.models.formats.pickle_machine import LONGEST_TEXT, MOST_NAMES, Handlers, Machine, Stopped, note
from ultralab.models.formats.pickle_values import PLAIN, UNKNOWN, Value

_LONGEST_TUPLE: Final = 16
_PROTOCOL: Final = 5


def _whole(text: bytes) -> Value:
    """A number written in digits; ``00`` and ``01`` are false and true."""
    if len(text) > 20:
        return PLAIN
    try:
        return int(text)
    except ValueError:
        raise Stopped(_("it writes a number that is none")) from None


def _index(text: bytes) -> int:
    value = _whole(text)
    if not isinstance(value, int):
        raise Stopped(_("it writes a number that is none"))
    return value


def _quoted(text: bytes) -> Value:
    """A text in quotes. One with escapes is not followed: read wrong, it could hide a name."""
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"') or b"\\" in text:
        return UNKNOWN
    return _raw(text[1:-1])


def _raw(text: bytes) -> Value:
    if len(text) >= LONGEST_TEXT or b"\\" in text or not text.isascii():
        return UNKNOWN
    return text.decode("ascii")


def _tuple(values: list[Value]) -> Value:
    return tuple(values) if len(values) <= _LONGEST_TUPLE else PLAIN


def _long(machine: Machine, width: int) -> Value:
    start, end = machine.counted(width, signed=width == 4)
    if end - start > 16:
        return PLAIN
    machine.at = start
    return machine.number(end - start, signed=True)


def _global(machine: Machine) -> None:
    module, name = _two_lines(machine)
    machine.imports(module, name)


def _instance(machine: Machine) -> None:
    module, name = _two_lines(machine)
    machine.imports(module, name)
    target = machine.pop()
    machine.push(machine.calls(target, _tuple(machine.to_mark())))


def _two_lines(machine: Machine) -> tuple[Value, Value]:
    computed, machine.computed = machine.computed, True  # of a last line without an end CPython takes a part
    module = _raw(machine.line())
    try:
        name = _raw(machine.line())
    except Stopped:
        note(machine.imported, module if isinstance(module, str) else "?")
        raise
    machine.computed = computed
    return module, name


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.imports(module, name)


def _reduce(machine: Machine) -> None:
    arguments, target = machine.pop(), machine.pop()
    machine.push(machine.calls(target, arguments))


def _new_with_keywords(machine: Machine) -> None:
    machine.pop()
    _reduce(machine)


def _object(machine: Machine) -> None:
    values = machine.to_mark()
    machine.push(machine.calls(values[0], _tuple(values[1:])))


def _extension(machine: Machine, width: int) -> None:
    code = machine.number(width, signed=width == 4)
    if len(machine.extensions) < MOST_NAMES:
        machine.extensions[code] = None
    machine.push(UNKNOWN)


def _protocol(machine: Machine) -> None:
    if (version := machine.number(1)) > _PROTOCOL:
        raise Stopped(_("it has protocol {version}; 0 to 5 are known").format(version=version))


def _take_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.top()
    machine.items([key, value])


def _take_items(machine: Machine) -> None:
    values = machine.to_mark()
    machine.top()
    machine.items(values)


def _few(machine: Machine, count: int) -> None:
    values = [machine.pop() for _each in range(count)]
    machine.push(tuple(reversed(values)))


def _buffer(_machine: Machine) -> None:
    raise Stopped(_("it needs buffers from outside"))


def _popped_into(machine: Machine) -> None:
    machine.pop()
    machine.top()


def _marked_into(machine: Machine) -> None:
    machine.to_mark()
    machine.top()


def _marked_plain(machine: Machine) -> None:
    machine.to_mark()
    machine.push(PLAIN)


def _skipped(width: int, *, signed: bool = False) -> Callable[[Machine], None]:
    def handler(machine: Machine) -> None:
        machine.counted(width, signed=signed)
        machine.push(PLAIN)

    return handler


def _texted(width: int, encoding: str, *, signed: bool = False) -> Callable[[Machine], None]:
    def handler(machine: Machine) -> None:
        start, end = machine.counted(width, signed=signed)
        machine.push(machine.text(start, end, encoding))

    return handler


def _numbered(width: int, *, signed: bool = False) -> Callable[[Machine], None]:
    def handler(machine: Machine) -> None:
        machine.push(machine.number(width, signed=signed))

    return handler


def _float(machine: Machine) -> None:
    machine.number(8)
    machine.push(PLAIN)


def _float_line(machine: Machine) -> None:
    machine.line()
    machine.push(PLAIN)


def _dictionary(machine: Machine) -> None:
    machine.items(machine.to_mark())
    machine.push(PLAIN)


def _plain(machine: Machine) -> None:
    machine.push(PLAIN)


_BY_NAME: Final[dict[bytes, Callable[[Machine], object]]] = {
    b"(": Machine.mark, b"0": Machine.drop, b"1": Machine.to_mark, b"2": lambda m: m.push(m.top()),
    b"F": _float_line, b"I": lambda m: m.push(_whole(m.line())),
    b"L": lambda m: m.push(_whole(m.line().removesuffix(b"L"))),
    b"J": _numbered(4, signed=True), b"K": _numbered(1), b"M": _numbered(2), b"N": _plain,
    b"G": _float,
    b"P": lambda m: m.persistent(_raw(m.line())), b"Q": lambda m: m.persistent(m.pop()),
    b"R": _reduce, b"b": Machine.builds, b"c": _global, b"i": _instance, b"o": _object,
    b"S": lambda m: m.push(_quoted(m.line())), b"V": lambda m: m.push(_raw(m.line())),
    b"T": _texted(4, "ascii", signed=True), b"U": _texted(1, "ascii"), b"X": _texted(4, "utf-8"),
    b"B": _skipped(4), b"C": _skipped(1), b"}": _plain, b"]": _plain, b")": lambda m: m.push(()),
    b"a": _popped_into, b"e": _marked_into, b"s": _take_item, b"u": _take_items, b"d": _dictionary,
    b"l": _marked_plain, b"t": lambda m: m.push(_tuple(m.to_mark())),
    b"g": lambda m: m.get(_index(m.line())), b"h": lambda m: m.get(m.number(1)), b"j": lambda m: m.get(m.number(4)),
    b"p": lambda m: m.put(_index(m.line())), b"q": lambda m: m.put(m.number(1)), b"r": lambda m: m.put(m.number(4)),
    b"\x80": _protocol, b"\x81": _reduce, b"\x82": lambda m: _extension(m, 1), b"\x83": lambda m: _extension(m, 2),
    b"\x84": lambda m: _extension(m, 4), b"\x85": lambda m: _few(m, 1), b"\x86": lambda m: _few(m, 2),
    b"\x87": lambda m: _few(m, 3), b"\x88": lambda m: m.push(1), b"\x89": lambda m: m.push(0),
    b"\x8a": lambda m: m.push(_long(m, 1)), b"\x8b": lambda m: m.push(_long(m, 4)),
    b"\x8c": _texted(1, "utf-8"), b"\x8d": _texted(8, "utf-8"), b"\x8e": _skipped(8), b"\x8f": _plain,
    b"\x90": _marked_into, b"\x91": _marked_plain, b"\x92": _new_with_keywords, b"\x93": _stack_global,
    b"\x94": Machine.memoize, b"\x95": lambda m: m.number(8), b"\x96": _skipped(8), b"\x97": _buffer, b"\x98": Machine.top,
}  # fmt: skip
HANDLERS: Final[Handlers] = tuple(_BY_NAME.get(bytes([code])) for code in range(256))
"""What each byte does; STOP is the loop's own, None is no opcode."""
