"""Our GGUF header reader against good, broken and hostile files. The bad cases follow llama.cpp's own list
(``tests/test-gguf.cpp``), and add those that its list leaves to the loader."""

from __future__ import annotations

import os
import resource
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gguf_maker import (
    ARR,
    BOOL,
    F32,
    F64,
    I8,
    I32,
    I64,
    SMALL_TENSORS,
    STR,
    U8,
    U16,
    U32,
    U64,
    Tensor,
    entry,
    gguf_bytes,
    small_keys,
    small_model,
    text,
    value,
)
from tests.unit.models.formats.mutants import in_a_process

from ultralab.kernel.errors import FileAccess, FileDamaged, NotFound, UltralabError, Unsupported
from ultralab.models.bundles import from_path
from ultralab.models.formats import gguf_types
from ultralab.models.formats.base import Limits
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.formats.gguf_cursor import HEADER_LIMIT
from ultralab.models.formats.gguf_reader import KEPT_LIST, read_gguf

HUGE = (2**63, 2**64 - 1, 2**62, 2**40)


def read(path: Path, content: bytes) -> UltralabError | None:
    """What the reader says of a file with this content."""
    path.write_bytes(content)
    try:
        read_gguf(path)
    except UltralabError as error:
        return error
    return None


def test_every_kind_of_value(tmp_path: Path) -> None:
    keys = [
        entry("a.u8", U8, 255), entry("a.i8", I8, -128), entry("a.u16", U16, 65535), entry("a.i32", I32, -5),
        entry("a.f32", F32, 0.5), entry("a.yes", BOOL, 1), entry("a.no", BOOL, 0), entry("a.text", STR, "模型 🚀"),
        entry("a.u64", U64, 2**64 - 1), entry("a.i64", I64, -(2**63)), entry("a.f64", F64, 0.25),
        entry("a.list", ARR, (I32, [1, -2, 3])), entry("a.words", ARR, (STR, ["x", "", "yy"])),
        entry("a.empty", ARR, (F32, [])), entry("a.long", ARR, (U8, [7] * (KEPT_LIST + 1))),
    ]  # fmt: skip
    path = tmp_path / "all.gguf"
    path.write_bytes(gguf_bytes(keys))
    header = read_gguf(path)
    assert header.values == {
        "a.u8": 255, "a.i8": -128, "a.u16": 65535, "a.i32": -5, "a.f32": 0.5, "a.yes": True, "a.no": False,
        "a.text": "模型 🚀", "a.u64": 2**64 - 1, "a.i64": -(2**63), "a.f64": 0.25,
    }  # fmt: skip
    assert header.counts == {"a.list": 3, "a.words": 3, "a.empty": 0, "a.long": KEPT_LIST + 1}
    assert header.lists == {"a.list": (1, -2, 3), "a.empty": ()}
    assert [entry.key for entry in header.entries] == [*list(header.values)[:11], *header.counts]
    assert b"".join(path.read_bytes()[item.start : item.end] for item in header.entries) == b"".join(keys)


@pytest.mark.parametrize("version", [2, 3])
def test_tensors_lie_where_the_header_says(tmp_path: Path, version: int) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(gguf_bytes(small_keys(), SMALL_TENSORS, version=version))
    header = read_gguf(path)
    assert header.version == version
    found = [(item.name, item.shape, item.type.name, item.size) for item in header.tensors]
    assert found == [(item.name, tuple(item.shape), item.type, item.size) for item in SMALL_TENSORS]
    starts = [item.start for item in header.tensors]
    assert [start - starts[0] for start in starts] == [0, 288, 544, 2848]
    assert starts[-1] + header.tensors[-1].size == header.file_size


def test_an_alignment_of_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "one.gguf"
    tensors = (Tensor("a", (3,)), Tensor("b", (5,)))
    path.write_bytes(gguf_bytes([entry("general.alignment", U32, 1)], tensors, alignment=1))
    header = read_gguf(path)
    assert [(item.start, item.size) for item in header.tensors] == [
        (header.file_size - 32, 12),
        (header.file_size - 20, 20),
    ]


def test_a_tensor_without_numbers_and_a_lone_number(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(gguf_bytes((), (Tensor("none", (64, 0)), Tensor("one", ()), Tensor("two", (2,)))))
    assert [(item.elements, item.size) for item in read_gguf(path).tensors] == [(0, 0), (1, 4), (2, 8)]


def test_lists_longer_than_a_block_are_counted(tmp_path: Path) -> None:
    words = ["x" * (index % 50) for index in range(120_000)]
    words[60_000] = "y" * (3 * 1024 * 1024)
    path = tmp_path / "long.gguf"
    path.write_bytes(gguf_bytes([entry("words", ARR, (STR, words)), entry("after", U32, 7)]))
    header = read_gguf(path)
    assert (header.counts, header.values) == ({"words": 120_000}, {"after": 7})


GOOD_KEY = entry("a", U32, 1)
ONE = Tensor("a", (32,))

BAD = {
    "bad magic": (gguf_bytes(magic=b"FUGG"), FileDamaged, "b'FUGG'"),
    "version 0": (gguf_bytes(version=0), Unsupported, "version 0"),
    "version 1": (gguf_bytes(version=1), Unsupported, "version 1"),
    "version 4": (gguf_bytes(version=4), Unsupported, "version 4"),
    "big endian": (gguf_bytes(version=3 << 24), Unsupported, "big-endian"),
    "too many tensors": (gguf_bytes(tensor_count=2**64 - 1), FileDamaged, "number of tensors"),
    "too many keys": (gguf_bytes(key_count=2**64 - 1), FileDamaged, "number of keys"),
    "one key too many": (gguf_bytes([GOOD_KEY], key_count=2), FileDamaged, "more than the file can hold"),
    "key size": (gguf_bytes([struct.pack("<Q", 2**64 - 1) + GOOD_KEY]), FileDamaged, "a key"),
    "empty key": (gguf_bytes([entry("", U32, 1)]), FileDamaged, "empty or appears twice"),
    "key not UTF-8": (gguf_bytes([entry(b"\xff\xfe", U32, 1)]), FileDamaged, "not UTF-8"),
    "value type": (gguf_bytes([text("a") + struct.pack("<IQ", 13, 1)]), FileDamaged, "unknown type 13"),
    "duplicate key": (gguf_bytes([GOOD_KEY, GOOD_KEY]), FileDamaged, "appears twice"),
    "duplicate list": (gguf_bytes([entry("a", ARR, (U8, [])), GOOD_KEY]), FileDamaged, "appears twice"),
    "alignment 13": (gguf_bytes([entry("general.alignment", U32, 13)]), FileDamaged, "no power of two"),
    "alignment 0": (gguf_bytes([entry("general.alignment", U32, 0)]), FileDamaged, "no power of two"),
    "alignment i32": (gguf_bytes([entry("general.alignment", I32, 32)]), FileDamaged, "no power of two"),
    "alignment list": (gguf_bytes([entry("general.alignment", ARR, (U32, [32]))]), FileDamaged, "no power of two"),
    "list of lists": (gguf_bytes([entry("a", ARR, (ARR, [(U8, [1])]))]), FileDamaged, "elements of the type 9"),
    "list of unknown": (
        gguf_bytes([text("a") + struct.pack("<IIQQ", ARR, 99, 0, 0)]), FileDamaged, "elements of the type 99"
    ),
    "name too long": (gguf_bytes((), (Tensor("n" * 64, (32,)),)), FileDamaged, "longer than 63 bytes"),
    "name not UTF-8": (
        gguf_bytes(tensor_count=1) + text(b"\x80") + struct.pack("<IQIQ", 1, 1, 0, 0), FileDamaged, "not UTF-8"
    ),
    "five dimensions": (gguf_bytes((), (Tensor("a", (1, 1, 1, 1, 1)),)), FileDamaged, "5 dimensions"),
    "negative side": (gguf_bytes((), (Tensor("a", (-64,)),), with_data=False), FileDamaged, "impossible"),
    "too many numbers": (
        gguf_bytes((), (Tensor("a", (2**33, 2**33)),), with_data=False), FileDamaged, "impossible"
    ),
    "too many bytes": (
        gguf_bytes((), (Tensor("a", (2**31, 2**31), code=27),), with_data=False), FileDamaged, "truncated"
    ),
    "tensor type": (gguf_bytes((), (Tensor("a", (32,), code=4),)), FileDamaged, "unknown tensor type 4"),
    "row and block": (gguf_bytes((), (Tensor("a", (33,), code=8),)), FileDamaged, "rows of 33"),
    "no row": (gguf_bytes((), (Tensor("a", (), code=8),)), FileDamaged, "rows of 1"),
    "offset beyond": (gguf_bytes((), (Tensor("a", (32,), offset=2**64 - 32),)), FileDamaged, "expected at 0"),
    "offset unaligned": (gguf_bytes((), (Tensor("a", (32,), offset=7),)), FileDamaged, "no multiple"),
    "overlap": (gguf_bytes((), (ONE, Tensor("b", (32,), offset=0))), FileDamaged, "overlaps"),
    "hole": (gguf_bytes((), (ONE, Tensor("b", (32,), offset=512))), FileDamaged, "expected at 128"),
    "wrong alignment": (gguf_bytes((), (Tensor("a", (3,)), Tensor("b", (3,))), alignment=4), FileDamaged, "multiple"),
    "duplicate tensor": (gguf_bytes((), (ONE, ONE)), FileDamaged, "appears twice"),
    "not enough data": (gguf_bytes((), (ONE,))[:-1], FileDamaged, "1 of"),
    "no data": (gguf_bytes((), (ONE,), with_data=False), FileDamaged, "128 of"),
    "sizes that overflow": (
        gguf_bytes((), (Tensor("a", (2**63 - 64,), code=24), Tensor("b", (2**63 - 64,), code=24)), with_data=False),
        FileDamaged,
        "expected at",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_and_explained(tmp_path: Path, name: str) -> None:
    content, kind, said = BAD[name]
    path = tmp_path / "坏 file.gguf"
    error = read(path, content)
    assert type(error) is kind
    assert str(path) in error.message
    assert said in error.message
    assert error.hint


@pytest.mark.parametrize("count", HUGE)
@pytest.mark.parametrize("element", [U8, F64, STR, ARR, 13])
def test_a_list_that_claims_too_much_is_refused_at_once(tmp_path: Path, count: int, element: int) -> None:
    content = gguf_bytes([text("a") + struct.pack("<IIQ", ARR, element, count)]) + bytes(64)
    before = time.perf_counter()
    error = read(tmp_path / "x.gguf", content)
    assert isinstance(error, FileDamaged)
    assert time.perf_counter() - before < 0.5


def test_the_49_byte_file_that_hangs_gguf(tmp_path: Path) -> None:
    """One key of one byte, an array of arrays of 2^60 elements: 49 bytes."""
    content = gguf_bytes([text("a") + struct.pack("<IIQ", ARR, ARR, 2**60)])
    assert len(content) == 49
    before = time.perf_counter()
    assert isinstance(read(tmp_path / "x.gguf", content), FileDamaged)
    assert time.perf_counter() - before < 0.5


def test_lists_nested_a_thousand_deep(tmp_path: Path) -> None:
    nested = struct.pack("<IQ", ARR, 1) * 1000 + struct.pack("<IQ", U8, 0)
    assert isinstance(read(tmp_path / "x.gguf", gguf_bytes([text("a") + struct.pack("<I", ARR) + nested])), FileDamaged)


@pytest.mark.parametrize("count", HUGE)
def test_a_text_that_claims_too_much(tmp_path: Path, count: int) -> None:
    content = gguf_bytes([text("a") + struct.pack("<IQ", STR, count)]) + bytes(64)
    assert isinstance(read(tmp_path / "x.gguf", content), FileDamaged)


def test_truncation_at_every_byte(tmp_path: Path) -> None:
    whole = small_model()
    path = tmp_path / "cut.gguf"
    assert read(path, whole) is None
    header_end = min(item.start for item in read_gguf(path).tensors)
    for length in (*range(header_end + 40), len(whole) - 1):
        error = read(path, whole[:length])
        assert type(error) is FileDamaged, length
        assert isinstance(error.data["offset"], int)
        assert error.data["offset"] <= length


def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    whole = small_model()
    error = read(path, whole[:-1000])
    assert isinstance(error, FileDamaged)
    assert error.message == (
        f"{path} is truncated: 1000 of {len(whole)} bytes are missing (the weights end at byte {len(whole)})."
    )
    assert error.data["missing"] == 1000


def test_a_sparse_giant_of_a_header_is_refused_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "giant.gguf"
    size = 4 * HEADER_LIMIT
    path.write_bytes(gguf_bytes([text("a") + struct.pack("<IIQ", ARR, STR, size // 16)]))
    os.truncate(path, size)  # 64 million empty strings, nothing on the disk
    before, memory = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileDamaged, match="more than 4000000 texts"):
        read_gguf(path)
    assert time.perf_counter() - before < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 64 * 1024


def test_as_many_tensors_as_are_read_cost_little_and_more_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "many.gguf"
    for count, refused in ((65_536, 0), (65_537, 1)):
        tensors = [Tensor(f"one.{at}.é{'x' * 40}", (32, 1, 1, 1)) for at in range(count)]
        path.write_bytes(gguf_bytes(small_keys(), tensors, with_data=False) + bytes(31 + 128 * count))
        outcome = in_a_process(path)
        assert (outcome.accepted, outcome.refused, outcome.crashes) == (1 - refused, refused, [])
        assert outcome.slowest < 1
        assert outcome.growth < 100_000_000
    with pytest.raises(Unsupported, match="more than 65536") as caught:
        read_gguf(path)
    assert "models.max_tensors" in caught.value.hint
    assert len(read_gguf(path, Limits(tensors=1_000_000)).tensors) == 65_537


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_gguf(tmp_path / "missing.gguf")
    with pytest.raises(FileAccess, match="not a regular file"):
        read_gguf(tmp_path)
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(FileAccess, match="not a regular file"):
        read_gguf(tmp_path / "pipe.gguf")
    with pytest.raises(FileAccess, match="not a regular file"):
        from_path(tmp_path / "pipe.gguf")
    with pytest.raises(NotFound):
        from_path(tmp_path / "missing.gguf")
    assert not FORMAT.recognises(from_path(tmp_path))


def test_recognised_by_content_not_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(small_model())
    (tmp_path / "b.gguf").write_bytes(b"PK\x03\x04")
    (tmp_path / "c.gguf").write_bytes(b"")
    assert [FORMAT.recognises(from_path(tmp_path / name)) for name in ("a.bin", "b.gguf", "c.gguf")] == [
        True,
        False,
        False,
    ]


WHOLE = small_model()


@settings(max_examples=400, deadline=2000)
@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_give_an_answer_or_an_explained_error(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(WHOLE)
    for at, byte in flips:
        content[at % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
    path.write_bytes(content)
    try:
        header = FORMAT.read_header(from_path(path))
    except (FileDamaged, Unsupported) as error:
        assert str(path) in error.message  # noqa: PT017
        return
    assert 0 <= header.shape.bytes_per_token <= header.shape.weight_bytes <= len(content)


@settings(max_examples=200, deadline=2000)
@given(st.binary(max_size=200))
def test_any_bytes_after_the_magic(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random.gguf"
    error = read(path, b"GGUF\x03\x00\x00\x00" + tail)
    assert error is None or isinstance(error, FileDamaged)


def test_value_helper_and_reader_agree_on_the_type_before_a_value() -> None:
    assert value(U32, 5) == struct.pack("<II", U32, 5)


def test_the_table_of_tensor_types_is_ggufs() -> None:
    from gguf.constants import GGML_QUANT_SIZES

    ours = {kind.code: (kind.name, kind.block, kind.bytes) for kind in gguf_types.TENSOR_TYPES.values()}
    theirs = {kind.value: (kind.name, *sizes) for kind, sizes in GGML_QUANT_SIZES.items()}
    assert ours == theirs


def test_the_real_models_header_is_read_fast(smollm2: Path) -> None:
    assert read_gguf(smollm2).counts["tokenizer.ggml.tokens"] == 49152
    times = []
    for _attempt in range(5):
        before = time.perf_counter()
        read_gguf(smollm2)
        times.append(time.perf_counter() - before)
    assert min(times) < 0.15
