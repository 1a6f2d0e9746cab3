"""The follower of pickles: everything that CPython's would call is found, and nothing is called."""

from __future__ import annotations

import builtins
import os
import pickle
import pickletools
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.torch_maker import imported, number, several, state_dict, tensor, text

from ultralab.models.formats.pickle_opcodes import HANDLERS
from ultralab.models.formats.pickle_scan import MOST_OPCODES, Scan, findings, scan
from ultralab.models.formats.pickle_values import Storage, Tensor

COMMAND = "touch {path}"


class Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (COMMAND.format(path=self.path),)


def short(value: str) -> bytes:
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def payloads(path: Path) -> dict[str, bytes]:
    """Pickles that really create ``path`` when they are loaded."""
    command = COMMAND.format(path=path)
    run = imported("os", "system")
    chain = several(imported("os", "system"), text("__call__"))
    return {
        "global": b"\x80\x02" + run + several(text(command)) + b"R.",
        "stack global": b"\x80\x04" + short("os") + short("system") + b"\x93" + short(command) + b"\x85R.",
        "names from the memo": b"\x80\x04" + short("os") + b"\x940" + short("system") + b"\x94" + b"0h\x00h\x01\x93" + short(command) + b"\x85R.",
        "memo beyond the end": b"\x80\x04" + short("os") + b"r\xff\xff\xff\x000" + short("system") + b"q\x050j\xff\xff\xff\x00h\x05\x93" + short(command) + b"\x85R.",
        "instance": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "object": b"(" + run + text(command) + b"o.",
        "text protocol": b"cos\nsystem\n(V" + command.encode() + b"\ntR.",
        "getattr": b"\x80\x02" + imported("builtins", "getattr") + chain + b"R" + several(text(command)) + b"R.",
        "dotted name": b"\x80\x04" + short("os") + short("system.__call__") + b"\x93" + short(command) + b"\x85R.",
        "nested": b"\x80\x02" + imported("collections", "OrderedDict") + several(b"]" + several(text("a"), run + several(text(command)) + b"R") + b"a") + b"R.",
        "before the damage": b"\x80\x02" + run + several(text(command)) + b"R\xff",
        "before the end": b"\x80\x02" + run + several(text(command)) + b"R",
        "thrown away": b"\x80\x02" + run + several(text(command)) + b"R0" + state_dict({"a": ("FloatStorage", (2,))})[2:],
        "under a mark": b"\x80\x02((" + run + several(text(command)) + b"R11N.",
        "second argument": b"\x80\x02" + imported("collections", "OrderedDict") + b")R(" + text("k") + run + several(text(command)) + b"Ru.",
        "framed": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00" + run + short(command) + b"\x85R.",
        **{f"protocol {version}": pickle.dumps({"x": [Touches(path)]}, protocol=version) for version in range(6)},
    }  # fmt: skip


NAMES = sorted(payloads(Path("x")))


@pytest.mark.parametrize("name", NAMES)
def test_a_payload_is_found_and_not_run(name: str, tmp_path: Path) -> None:
    path = tmp_path / "created"
    found = scan(payloads(path)[name])
    assert any(what in found.called for what in ("os.system", "posix.system", "builtins.getattr", "os.system.__call__"))
    assert any("would call" in sentence for sentence in findings("model.bin", found))
    assert not path.exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_payloads_are_real(name: str, tmp_path: Path) -> None:
    path = tmp_path / "created"
    content = payloads(path)[name]
    if name.startswith("before"):
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            pickle.loads(content)
    else:
        pickle.loads(content) if name != "thrown away" else _load_with_storages(content)
    assert path.exists()


def _load_with_storages(content: bytes) -> None:
    with pytest.raises((pickle.UnpicklingError, ModuleNotFoundError)):
        pickle.loads(content)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kept", [False, True])
def test_every_cut_of_a_payload_is_followed(name: str, kept: bool) -> None:
    content = payloads(Path("y"))[name]
    for end in range(len(content)):
        found = scan(content[:end] + (b"." if kept else b""))
        assert found.end <= end + 1


def test_a_state_dict_is_followed() -> None:
    found = scan(state_dict({"a.weight": ("HalfStorage", (3, 4)), "b.bias": ("LongStorage", (2,))}))
    first, second = Storage("HalfStorage", "0", 12), Storage("LongStorage", "1", 2)
    assert not found.outside
    assert found.storages == (first, second)
    assert found.tensors == (Tensor(first, (3, 4)), Tensor(second, (2,)))
    assert found.names == ("a.weight", "b.bias")
    assert findings("x", found) == ()


def test_a_storage_with_its_type_in_the_tensor() -> None:
    storage = several(text("storage"), imported("torch", "UntypedStorage"), text("7"), text("cpu"), number(6)) + b"Q"
    arguments = several(storage, number(0), several(number(2), number(3)), several(number(3), number(1)), b"\x89", b"N", imported("torch", "float8_e4m3fn"))  # fmt: skip
    found = scan(b"\x80\x02" + imported("torch._utils", "_rebuild_tensor_v3") + arguments + b"R.")
    assert (found.outside, found.tensors) == (
        False,
        (Tensor(Storage("UntypedStorage", "7", 6), (2, 3), "float8_e4m3fn"),),
    )


@pytest.mark.parametrize(
    ("content", "computed", "extensions"),
    [
        (b"\x82\x07.", False, (7,)),
        (b"\x83\x07\x01.", False, (263,)),
        (b"\x84\x07\x01\x00\x01.", False, (16777479,)),
        (b"\x80\x04N" + short("system") + b"\x93.", True, ()),
        (b"S'o\\x73'\nS'system'\n\x93.", True, ()),
        (b"Vo\\u0073\nVsystem\n\x93.", True, ()),
        (b"\x80\x04" + short("os") + b"X\xff\xff\x00\x00" + b"s" * 65535 + b"\x93.", True, ()),
        (b"P12\n.", True, ()),
        (b"\x80\x02" + several(text("module"), b"N", text("1"), text("cpu"), number(1)) + b"Q.", True, ()),
        (b"N)R.", True, ()),
        (b"N)\x81.", True, ()),
        (b"N)}\x92.", True, ()),
    ],
)
def test_what_cannot_be_followed_counts_as_outside(content: bytes, computed: bool, extensions: tuple[int, ...]) -> None:
    found = scan(content)
    assert (found.computed, found.extensions, found.outside, found.problem) == (computed, extensions, True, "")
    assert findings("x", found)


def test_names_are_compared_in_pairs() -> None:
    assert scan(b"\x80\x04" + short("torch") + short("_utils._rebuild_tensor_v2") + b"\x93.").imported == (
        "torch._utils._rebuild_tensor_v2",
    )


def test_a_state_for_a_function_is_told() -> None:
    function = imported("torch._utils", "_rebuild_tensor_v2")
    assert scan(b"\x80\x02" + function + b"}b.").called == ("torch._utils._rebuild_tensor_v2.__setstate__",)
    made = imported("torch", "device") + several(text("cpu")) + b"R"
    assert scan(b"\x80\x02" + made + b"}b.").called == ("torch.device.__setstate__",)
    assert not scan(b"\x80\x02" + imported("collections", "OrderedDict") + b")R}b.").outside


def test_the_rebuilder_of_types_calls_what_it_is_given() -> None:
    wrapped = imported("torch._tensor", "_rebuild_from_type_v2")
    inner = several(imported("os", "system"), imported("torch", "Tensor"), several(text("id")), b"N")
    assert scan(b"\x80\x02" + wrapped + inner + b"R.").called == ("os.system",)


def test_an_import_alone_is_told() -> None:
    found = scan(b"\x80\x02" + imported("evil.module", "Thing") + b".")
    assert (found.called, found.imported) == ((), ("evil.module.Thing",))
    assert findings("a b.pt", found) == ("Loading a b.pt would import evil.module.Thing.",)


def test_many_names_are_told_in_few_sentences() -> None:
    content = b"".join(imported("m", f"f{index}") + b")R0" for index in range(3000)) + b"N."
    said = findings("x", scan(content))
    assert len(said) == 22
    assert "980 more" in said[-2]
    assert "more than 1000 classes" in said[-1]


def test_a_name_with_escape_codes_is_shown_without() -> None:
    (said,) = findings("x", scan(b"\x80\x04" + short("a\x1b[31m\u202e") + short("b") + b"\x93."))
    assert said.isprintable()


@pytest.mark.parametrize(
    "content",
    [b"", b".", b"R.", b"(.", b"1.", b"h\x00.", b"q\x00.", b"a.", b"(e.", b"(u.", b"s.", b"\x93.", b"\x80\x06N.", b"\xff",
     b"T\xff\xff\xff\xffx", b"\x8e" + b"\xff" * 8, b"X\xff\xff\xff\xff", b"\x96" + b"\xff" * 8, b"\x97.", b"Ix\n.", b"gx\n.",
     b"g" + b"9" * 5000 + b"\n.", b"L" + b"9" * 5000, b"\x8b\xff\xff\xff\xff", b"(i", b"cos\n", b"\x94."],
)  # fmt: skip
def test_damage_is_a_problem_not_a_crash(content: bytes) -> None:
    found = scan(content)
    assert found.problem
    assert found.outside


def test_a_last_line_without_an_end_is_told() -> None:
    found = scan(b"cevil\nnam")
    assert (found.imported, found.computed) == (("evil",), True)
    assert scan(b"cevil").computed


def test_every_documented_opcode_is_understood() -> None:
    documented = {ord(opcode.code) for opcode in pickletools.opcodes}
    assert {code for code, handler in enumerate(HANDLERS) if handler is not None} | {ord(".")} == documented


LONG = {
    "memo": b"\x80\x04" + b"N\x94" * 2_000_000,
    "doubling": b"\x80\x02)" + b"2\x86" * 2_000_000,
    "names": b"\x80\x02" + b"".join(imported(f"a{index}", f"b{index}") + b")R0" for index in range(200_000)),
    "one name": b"\x80\x02" + b"cos\nsystem\n0" * 600_000,
    "texts": b"\x80\x02" + b"X\x08\x00\x00\x00abcdefgh" * 800_000,
    "marks": b"(" * 4_000_000,
    "lists": b"(l" * 2_000_000,
    "one line": b"c" + b"a" * 30_000_000,
    "a number": b"I" + b"9" * 30_000_000 + b"\n.",
    "storages": b"\x80\x02" + b"".join(tensor(str(index), "FloatStorage", (1,)) for index in range(20_000)),
}


@pytest.mark.parametrize("name", sorted(LONG))
def test_a_long_pickle_costs_less_than_a_second(name: str) -> None:
    found, taken = scan(b""), list[float]()
    while not taken or (taken[-1] >= 1 and len(taken) < 3):  # a busy machine makes processor time longer too
        started = time.process_time()
        found = scan(LONG[name])
        taken.append(time.process_time() - started)
    assert min(taken) < 1
    assert found.problem or found.end == len(LONG[name])
    assert found.opcodes <= MOST_OPCODES


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(2**70),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=30,
)


@settings(max_examples=150, deadline=None)
@given(value=plain, protocol=st.integers(0, 5))
def test_data_is_followed_to_its_end(value: object, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    found = scan(content + b"behind")
    assert (found.problem, found.end, found.computed, found.extensions) == ("", len(content), False, ())
    allowed = {"_codecs.encode", "builtins.bytearray", "__builtin__.bytes", "builtins.bytes"}
    assert {*found.called, *found.imported} <= allowed


@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=400))
def test_random_bytes_never_crash(data: bytes) -> None:
    assert isinstance(scan(data), Scan)


def test_mutants_never_crash_and_never_hide_a_name() -> None:
    """What CPython's own machine imports while it loads a mutant, the follower has told, or has called unknown."""
    rng = random.Random(4)
    seeds = [state_dict({"a": ("FloatStorage", (2, 2))}, imported("os", "system") + several(text("true")) + b"R")]
    seeds += [
        pickle.dumps([OrderedDict(a=1), {1}, 2.5, b"x" * 300, "é", builtins.len], version) for version in range(6)
    ]
    for _each in range(3000):
        content = bytearray(rng.choice(seeds))
        for _change in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            kind = rng.randrange(4)
            if kind == 0:
                content[at] = rng.randrange(256)
            elif kind == 1:
                del content[at : at + rng.randint(1, 4)]
            elif kind == 2:
                content[at:at] = bytes(rng.choices(b"()01.RbcioPQhjqr\x81\x82\x85\x92\x93\x94NK", k=rng.randint(1, 3)))
            else:
                content[at:at] = content[at : at + rng.randint(1, 30)]
            content = content or bytearray(b".")
        if b"\x96" in content:  # CPython allocates what a byte array claims
            continue
        found = scan(bytes(content))
        told = {*found.called, *found.imported}
        for module, name in _asked(bytes(content)):
            known = f"{module}.{name}"
            assert known in told or found.computed or _listed(module, name), content


class _Asked(pickle._Unpickler):  # in C, a large memo number takes gigabytes
    """Notes what would be imported and gives something harmless in its place."""

    def __init__(self, content: bytes) -> None:
        import io

        super().__init__(io.BytesIO(content), fix_imports=False)
        self.asked: list[tuple[str, str]] = []

    def find_class(self, module: str, name: str) -> object:
        self.asked.append((module, name))
        return _Harmless

    def persistent_load(self, _pid: object) -> object:
        return _Harmless()


class _Harmless(dict):  # type: ignore[type-arg]
    def __new__(cls, *_args: object, **_keywords: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_args: object, **_keywords: object) -> None:
        super().__init__()

    def __hash__(self) -> int:  # type: ignore[override]
        return 1

    def append(self, _value: object) -> None:
        return

    def __setstate__(self, _state: object) -> None:
        return


def _asked(content: bytes) -> list[tuple[str, str]]:
    loader = _Asked(content)
    with suppress(Exception):  # whatever a mutant provokes: what was asked for until then counts
        loader.load()
    return loader.asked


def _listed(module: str, name: str) -> bool:
    from ultralab.models.formats.pickle_allowed import ALLOWED

    return (module, name) in ALLOWED
