# ruff: noqa: UP031 — texts full of braces
"""Our SafeTensors header reader: it accepts what the safetensors library accepts, refuses what that refuses, and is bounded."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest
from tests.safetensors_maker import SMALL, framed, header_of, safetensors_bytes
from tests.unit.models.formats.mutants import in_a_process, mutants

from ultralab.kernel.errors import FileDamaged, UltralabError, Unsupported
from ultralab.models.bundles import from_path
from ultralab.models.formats.base import Limits
from ultralab.models.formats.safetensors_scan import Header, Tensor
from ultralab.models.formats.safetensors_types import BITS

ENTRY = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
WIDE = '{"dtype":"F32","shape":[1],"data_offsets":[0,4],%s}'


def tensors_of(path: Path, limits: Limits | None = None) -> list[Tensor]:
    item = from_path(path).items[0]
    with item.open() as stream:
        return list(Header(item, stream, limits or Limits()).tensors())


def judged(path: Path, content: bytes) -> UltralabError | None:
    path.write_bytes(content)
    try:
        tensors_of(path)
    except UltralabError as error:
        return error
    return None


def library_accepts(content: bytes) -> bool:
    from safetensors import SafetensorError, deserialize

    try:
        deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError:
        return False
    return True


SPELLINGS = {
    "usual": '{"a":%s}' % ENTRY,
    "space before": ' \n{"a":%s}' % ENTRY,
    "space behind": '{"a":%s} \r\n\t ' % ENTRY,
    "space everywhere": ' { "a" : { "dtype" : "F32" , "shape" : [ 1 , 1 ] , "data_offsets" : [ 0 , 4 ] } } ',
    "sorted fields": '{"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}}',
    "fields in another order": '{"a":{"shape":[1],"data_offsets":[0,4],"dtype":"F32"}}',
    "an array for an object": '{"a":["F32",[1],[0,4]]}',
    "a variant as an object": '{"a":{"dtype":{"F32":null},"shape":[1],"data_offsets":[0,4]}}',
    "a field nobody knows": '{"a":%s}' % (WIDE % '"x":{"y":[1.5,true,null,"[{"]}'),
    "escapes in a field's name": '{"a":{"d\\u0074ype":"F32","shape":[1],"data_offsets":[0,4]}}',
    "escapes in a type": '{"a":{"dtype":"F\\u00332","shape":[1],"data_offsets":[0,4]}}',
    "escapes in a name": '{"\\u6a21\\"\\\\\\n":%s}' % ENTRY,
    "a surrogate pair": '{"a\\ud83d\\ude00":%s}' % ENTRY,
    "Chinese and emoji": '{"模型 🚀":%s}' % ENTRY,
    "an empty name": '{"":%s}' % ENTRY,
    "a number": '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}',
    "metadata": '{"__metadata__":{"format":"pt","x":"\\u00e9"},"a":%s}' % ENTRY,
    "metadata behind": '{"a":%s,"__metadata__":{}}' % ENTRY,
    "metadata null": '{"__metadata__":null,"a":%s}' % ENTRY,
    "metadata twice the same key": '{"__metadata__":{"a":"b","a":"c"},"a":%s}' % ENTRY,
    "125 deep": '{"a":%s}' % (WIDE % ('"x":' + "[" * 125 + "]" * 125)),
    "a huge number nobody reads": '{"a":%s}' % (WIDE % ('"x":' + "9" * 300)),
    "empty tensors": '{"n":{"dtype":"F16","shape":[0,7],"data_offsets":[0,0]},"a":%s,"z":{"dtype":"F16","shape":[0],"data_offsets":[4,4]}}' % ENTRY,
    "out of order": '{"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}',
    "a shape that ends in nothing": '{"a":%s,"b":{"dtype":"U8","shape":[0,1099511627776,1099511627776],"data_offsets":[4,4]}}' % ENTRY,
}  # fmt: skip

REFUSED = {
    "an empty file": b"",
    "seven bytes": b"\1\0\0\0\0\0\0",
    "length 0": framed(""),
    "a length beyond the file": struct.pack("<Q", 99) + b'{"a":1}',
    "a length beyond the limit": struct.pack("<Q", 100_000_001) + b"{}",
    "length 2^64-1": struct.pack("<Q", 2**64 - 1) + b"{}",
    "no JSON": framed("hello"),
    "an array": framed("[]"),
    "a byte order mark": framed("\ufeff{}"),
    "not UTF-8": framed(b'{"a\xff":%s}' % ENTRY.encode(), 4),
    "not UTF-8 in metadata": framed(b'{"__metadata__":{"a":"\xc3"},"a":%s}' % ENTRY.encode(), 4),
    "something behind": framed('{"a":%s}x' % ENTRY, 4),
    "a comma too many": framed('{"a":%s,}' % ENTRY, 4),
    "no comma": framed('{"a":%s"b":%s}' % (ENTRY, ENTRY), 4),
    "no end": framed('{"a":%s' % ENTRY, 4),
    "a control character": framed('{"a\n":%s}' % ENTRY, 4),
    "half a surrogate pair": framed('{"a\\ud83d":%s}' % ENTRY, 4),
    "half a pair in a field nobody reads": framed('{"a":%s}' % (WIDE % '"x":"\\udc00"'), 4),
    "NaN": framed('{"a":%s}' % (WIDE % '"x":NaN'), 4),
    "1e999": framed('{"a":%s}' % (WIDE % '"x":1e999'), 4),
    "126 deep": framed('{"a":%s}' % (WIDE % ('"x":' + "[" * 126 + "]" * 126)), 4),
    "a side that is no whole number": framed('{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', 4),
    "a side below zero": framed('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', 4),
    "minus zero": framed('{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}', 4),
    "a leading zero": framed('{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}', 4),
    "three offsets": framed('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}', 4),
    "a field twice": framed('{"a":%s}' % (WIDE % '"dtype":"F32"'), 4),
    "a field missing": framed('{"a":{"dtype":"F32","shape":[1]}}', 4),
    "a type nobody knows": framed('{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}', 4),
    "a type that is null": framed('{"a":{"dtype":null,"shape":[1],"data_offsets":[0,4]}}', 4),
    "metadata that is no text": framed('{"__metadata__":{"a":1},"a":%s}' % ENTRY, 4),
    "metadata that is a tensor": framed('{"__metadata__":%s}' % ENTRY, 4),
    "metadata twice": framed('{"__metadata__":{},"__metadata__":{},"a":%s}' % ENTRY, 4),
    "a size that is not the shape's": framed('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4),
    "half a byte": framed('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}', 1),
    "a shape that overflows": framed('{"a":{"dtype":"U8","shape":[1099511627776,1099511627776,0],"data_offsets":[0,0]}}'),
    "bits that overflow": framed('{"a":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,0]}}'),
    "a hole": framed('{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', 3),
    "an overlap": framed('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', 3),
    "backwards": framed('{"a":{"dtype":"U8","shape":[0],"data_offsets":[4,0]}}', 4),
    "truncated data": framed('{"a":%s}' % ENTRY, 3),
    "too much data": framed('{"a":%s}' % ENTRY, 5),
    "data and no tensor": framed("{}", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_what_the_library_accepts_is_accepted(tmp_path: Path, name: str) -> None:
    content = framed(SPELLINGS[name], 4)
    assert library_accepts(content)
    assert judged(tmp_path / "m.safetensors", content) is None


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_library_refuses_is_refused_and_explained(tmp_path: Path, name: str) -> None:
    path = tmp_path / "坏 file.safetensors"
    assert not library_accepts(REFUSED[name])
    error = judged(path, REFUSED[name])
    assert type(error) is FileDamaged
    assert str(path) in error.message
    assert error.hint


def test_the_table_of_types_is_the_librarys(tmp_path: Path) -> None:
    for dtype, bits in BITS.items():
        content = framed('{"a":{"dtype":"%s","shape":[8],"data_offsets":[0,%d]}}' % (dtype, bits), bits)
        assert library_accepts(content), dtype
        assert judged(tmp_path / "m.safetensors", content) is None
    assert not library_accepts(framed('{"a":{"dtype":"U4","shape":[8],"data_offsets":[0,4]}}', 4))


def test_the_two_readers_agree_on_mutants(tmp_path: Path) -> None:
    """But for names that appear twice, and more dimensions than there are."""
    compared = 0
    for content in (raw for files in mutants(3000, 77) for name, raw in files.items() if name.endswith(".safetensors")):
        error = judged(tmp_path / "m.safetensors", content)
        if isinstance(error, Unsupported) or (error is not None and "appears twice" in error.message):
            continue
        assert (error is None) == library_accepts(content), (error, content[:400])
        compared += 1
    assert compared > 1400


def test_every_tensor_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes(SMALL, {"format": "pt"}))
    found = tensors_of(path)
    assert [(one.name, one.dtype, one.shape) for one in found] == [(n, d, tuple(s)) for n, (d, s) in SMALL.items()]
    assert [one.start for one in found] == [0, 12800, 25088, 25344]
    assert sum(one.size for one in found) == 38_144


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    rng = random.Random(5)
    arrays = {
        f"层.{at}.weight": np.zeros(
            [rng.randrange(5) for _ in range(rng.randrange(4))], rng.choice(["f4", "f2", "i8", "u1"])
        )
        for at in range(300)
    }
    path = tmp_path / "m.safetensors"
    save_file(arrays, path, metadata={"note": 'a "quoted" \\ 模型'})
    found = {one.name: (one.shape, one.size) for one in tensors_of(path)}
    assert found == {name: (array.shape, array.nbytes) for name, array in arrays.items()}


def test_a_name_that_appears_twice_is_refused_though_the_library_keeps_the_last(tmp_path: Path) -> None:
    content = framed('{"a":%s,"a":%s}' % (ENTRY, ENTRY), 4)
    assert library_accepts(content)
    error = judged(tmp_path / "m.safetensors", content)
    assert isinstance(error, FileDamaged)
    assert "appears twice" in error.message


def test_more_dimensions_than_any_framework_has(tmp_path: Path) -> None:
    shape = ",".join(["1"] * 65)
    error = judged(
        tmp_path / "m.safetensors", framed('{"a":{"dtype":"U8","shape":[%s],"data_offsets":[0,1]}}' % shape, 1)
    )
    assert isinstance(error, Unsupported)


def test_truncation_at_every_byte(tmp_path: Path) -> None:
    whole = safetensors_bytes({"a": ("F32", (2,)), "b": ("U8", (3,))}, {"format": "pt"})
    for length in range(len(whole)):
        error = judged(tmp_path / "m.safetensors", whole[:length])
        assert type(error) is FileDamaged, length


def test_entries_across_the_blocks_of_reading(tmp_path: Path) -> None:
    shapes = {f"{'x' * (at % 900)}.{at}": ("U8", (at % 3,)) for at in range(9000)}
    content = safetensors_bytes(shapes, {"long": "y" * 3_000_000, "format": "pt"})
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    assert [one.name for one in tensors_of(path)] == list(shapes)


def test_too_many_tensors_are_refused_at_once_with_limit_and_setting(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes({f"layers.{at}.weight": ("U8", (0,)) for at in range(5000)}))
    for limit in (4999, 100, 1):
        with pytest.raises(Unsupported, match=f"too many tensors: more than {limit}") as caught:
            tensors_of(path, Limits(tensors=limit))
        assert "models.max_tensors" in caught.value.hint
        assert caught.value.data["limit"] == limit
    assert len(tensors_of(path, Limits(tensors=5000))) == 5000


def test_long_lists_in_any_order(tmp_path: Path) -> None:
    """More than are sorted by plain Python: numpy takes over."""
    header = header_of({f"t{at}": ("U8", (at % 2,)) for at in range(51_000)})
    names = list(header)
    random.Random(3).shuffle(names)
    path = tmp_path / "m.safetensors"
    path.write_bytes(framed(json.dumps({name: header[name] for name in names}), 25_500))
    assert len(tensors_of(path)) == 51_000
    twice = json.dumps({name: header[name] for name in names}).replace('"t7"', '"t8"')
    assert isinstance(judged(path, framed(twice, 25_500)), FileDamaged)
    assert isinstance(judged(path, framed(json.dumps({n: header[n] for n in names if n != "t7"}), 25_500)), FileDamaged)


MEGABYTES = 12_000_000
HOSTILE = {
    "space": b" " * MEGABYTES,
    "a name": b'{"' + b"a" * MEGABYTES + b'":1}',
    "escapes": b'{"' + b"\\n" * (MEGABYTES // 2) + b'":1}',
    "metadata": b'{"__metadata__":{"a":"' + b"x" * MEGABYTES + b'"}}',
    "brackets": b'{"a":' + b"[" * MEGABYTES,
    "flat brackets": b'{"a":[' + b"[]," * (MEGABYTES // 3) + b"[]]}",
    "commas": b"{" + b"," * MEGABYTES + b"}",
    "sides": b'{"a":{"dtype":"U8","shape":[' + b"1," * (MEGABYTES // 2) + b'1],"data_offsets":[0,1]}}',
    "pairs": b'{"__metadata__":{' + b'"":"",' * (MEGABYTES // 6) + b'"":""}}',
    "long names": b"{"
    + b",".join(b'"%d%s":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % (at, b"x" * 36_000) for at in range(1000))
    + b"}",
    "odd entries": b"{" + b",".join(b'"%d":["U8",[0],[0,0]]' % at for at in range(200_000)) + b"}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_giant_costs_little(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(framed(HOSTILE[name], 1))
    outcome = in_a_process(path)
    assert (outcome.refused, outcome.crashes) == (1, [])
    assert outcome.slowest < 1
    assert outcome.growth < 100_000_000
