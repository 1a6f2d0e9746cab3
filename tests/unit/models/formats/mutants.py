"""Hostile headers: valid GGUF and SafeTensors files, broken at one to three places that matter.

``python -m tests.unit.models.formats.mutants COUNT SEED`` (or one PATH) reads that many in a process of its own and prints what came of
it as JSON: how many were accepted and refused, every crash, the slowest, how far the process's memory grew.
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.gguf_maker import (
    ARR,
    F32,
    I32,
    SMALL_TENSORS,
    STR,
    U8,
    U16,
    U32,
    entry,
    gguf_bytes,
    small_keys,
    split_model,
)  # fmt: skip
from tests.safetensors_maker import LLAMA, SMALL, Shapes, framed, header_of, safetensors_bytes, size_of
from tests.torch_maker import state_dict, zipped

from ultralab.kernel.errors import UltralabError
from ultralab.models.bundles import from_path
from ultralab.models.formats import awq, gguf, gptq, mlx, pytorch, safetensors
from ultralab.models.inspect import inspect

EXTREMES = (
    0,
    1,
    2,
    7,
    31,
    63,
    64,
    65,
    255,
    2**15,
    2**16,
    2**20,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**53,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
FORMATS = tuple(one.FORMAT for one in (awq, gguf, gptq, mlx, pytorch, safetensors))

Files = dict[str, bytes]
Fields = list[bytes]


def mutants(count: int, seed: int) -> Iterator[Files]:
    """``count`` bundles, the same for the same seed: half GGUF (one file, parts), half SafeTensors in every layout, and
    pickles."""
    rng = random.Random(seed)
    versions = [_fields(gguf_bytes(_keys(), SMALL_TENSORS, version=version)) for version in (2, 3)]
    parts = {name: _fields(content) for name, content in split_model(2).items()}
    others = (_plain, _shards, _plain, _packed, _plain, _shards, _packed, _pickled)
    for number in range(count):
        if number % 2:
            yield others[number // 2 % len(others)](rng)
        elif number % 4:
            yield {"model.gguf": b"".join(_mutated(rng, rng.choice(versions)))}
        else:
            broken = rng.choice(list(parts))
            yield {name: b"".join(_mutated(rng, one) if name == broken else one) for name, one in parts.items()}


def _plain(rng: random.Random) -> Files:
    return {"model.safetensors": _safetensors(rng, SMALL), "config.json": _config(rng, LLAMA)}


def _shards(rng: random.Random) -> Files:
    """Two files and their index, one of the three broken."""
    tensors = list(SMALL.items())
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index: object = {"metadata": {}, "weight_map": {name: names[at // 2] for at, (name, _one) in enumerate(tensors)}}
    broken = rng.randrange(3)
    files = {
        name: _safetensors(rng, part) if at == broken else safetensors_bytes(part)
        for at, (name, part) in enumerate(zip(names, (dict(tensors[:2]), dict(tensors[2:])), strict=True))
    }
    raw = json.dumps(_changed(rng, index) if broken == 2 else index).encode("utf-8", "surrogatepass")
    if broken == 2 and rng.random() < 0.3:
        raw = b"".join(_mutated(rng, [raw]))
    return {**files, "model.safetensors.index.json": raw, "config.json": _config(rng, LLAMA)}


_WORDS: dict[str, Shapes] = {
    "gptq": {"m.qweight": ("I32", (8, 32)), "m.qzeros": ("I32", (2, 4)), "m.scales": ("F16", (2, 32)), "m.g_idx": ("I32", (64,))},
    "awq": {"m.qweight": ("I32", (64, 4)), "m.qzeros": ("I32", (2, 4)), "m.scales": ("F16", (2, 32))},
    "mlx": {"m.weight": ("U32", (32, 8)), "m.scales": ("F16", (32, 2)), "m.biases": ("F16", (32, 2))},
    "mxfp4": {"m.experts.a_blocks": ("U8", (4, 2, 16)), "m.experts.a_scales": ("U8", (4, 2))},
}  # fmt: skip


def _packed(rng: random.Random) -> Files:
    """Packed weights: the header or the configuration broken, or both."""
    method = rng.choice(list(_WORDS))
    said = {"bits": 4, "group_size": 32, "quant_method": method}
    config = {**LLAMA, "quantization" if method == "mlx" else "quantization_config": said}
    shapes = {"model.embed_tokens.weight": ("BF16", (10, 64)), **_WORDS[method]}
    whole = rng.random() < 0.3
    weights = safetensors_bytes(shapes) if whole else _safetensors(rng, shapes)
    return {"model.safetensors": weights, "config.json": _config(rng, config)}


_PICKLED = {"a": ("HalfStorage", (3, 4)), "b": ("FloatStorage", (2,))}


def _pickled(rng: random.Random) -> Files:
    """A pickle with a bit, an opcode or a number changed, in an archive that is whole or broken too."""
    pickle = state_dict(_PICKLED)
    cut = sorted(rng.randrange(len(pickle)) for _time in range(6))
    fields = [pickle[begin:end] for begin, end in zip([0, *cut], [*cut, len(pickle)], strict=True)]
    stream = io.BytesIO()
    zipped(stream, b"".join(_mutated(rng, fields)), _PICKLED)
    whole = stream.getvalue()
    if rng.random() < 0.3:
        at = rng.randrange(len(whole))
        whole = b"".join(_mutated(rng, [whole[:at], whole[at:]]))
    return {"pytorch_model.bin": whole, "config.json": _config(rng, LLAMA)}


def _keys() -> list[bytes]:
    return [
        *small_keys(),
        entry("a.u8", ARR, (U8, [1, 2, 3])),
        entry("a.scores", ARR, (F32, [0.5] * 9)),
        entry("tokenizer.ggml.token_type", ARR, (I32, [1, 2, 3, 4])),
        entry("tokenizer.chat_template", STR, "{{ messages }}"),
        entry("general.alignment", U32, 32),
        entry("a.u16", U16, 7),
    ]


def _fields(content: bytes) -> Fields:
    """A good file cut at every field of its header; the rest is the last."""
    fields: Fields = []
    at = 0

    def cut(size: int) -> bytes:
        nonlocal at
        fields.append(content[at : at + size])
        at += size
        return fields[-1]

    def text() -> None:
        cut(struct.unpack("<Q", cut(8))[0])

    def value(kind: int) -> None:
        if kind == STR:
            text()
        elif kind == ARR:
            element, count = struct.unpack("<I", cut(4))[0], struct.unpack("<Q", cut(8))[0]
            for _item in range(count):
                value(element)
        else:
            cut({0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}[kind])

    cut(4), cut(4)
    tensors, keys = struct.unpack("<Q", cut(8))[0], struct.unpack("<Q", cut(8))[0]
    for _key in range(keys):
        text()
        value(struct.unpack("<I", cut(4))[0])
    for _tensor in range(tensors):
        text()
        for _side in range(struct.unpack("<I", cut(4))[0]):
            cut(8)
        cut(4), cut(8)
    fields.append(content[at:])
    return fields


def _mutated(rng: random.Random, fields: Fields) -> Fields:
    found = list(fields)
    for _time in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(found)) if found else 0
        found = found or [b""]
        found = rng.choice(
            (_extreme, _extreme, _cut, _twice, _without, _swapped, _flipped, _nested, _retyped, _filled)
        )(rng, found, at)
    return found


def _extreme(rng: random.Random, fields: Fields, at: int) -> Fields:
    size = len(fields[at]) if len(fields[at]) in (1, 2, 4, 8) else 8
    number = rng.choice((*EXTREMES, rng.getrandbits(64))) & (2 ** (8 * size) - 1)
    return [*fields[:at], number.to_bytes(size, "little"), *fields[at + 1 :]]


def _cut(rng: random.Random, fields: Fields, at: int) -> Fields:
    return [*fields[:at], fields[at][: rng.randrange(len(fields[at]) + 1)]]


def _twice(rng: random.Random, fields: Fields, at: int) -> Fields:
    return [*fields[: at + 1], *fields[at : at + rng.choice((1, 3, 8))], *fields[at + 1 :]]


def _without(rng: random.Random, fields: Fields, at: int) -> Fields:
    return [*fields[:at], *fields[at + rng.choice((1, 2, 5)) :]]


def _swapped(rng: random.Random, fields: Fields, at: int) -> Fields:
    other = rng.randrange(len(fields))
    found = list(fields)
    found[at], found[other] = found[other], found[at]
    return found


def _flipped(rng: random.Random, fields: Fields, at: int) -> Fields:
    content = bytearray(fields[at] or b"\0")
    for _bit in range(rng.randint(1, 4)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return [*fields[:at], bytes(content), *fields[at + 1 :]]


def _nested(rng: random.Random, fields: Fields, at: int) -> Fields:
    """A list of lists of lists, as deep as you like, or claiming more than there is."""
    deep = struct.pack("<IQ", ARR, rng.choice((1, 2, 2**60))) * rng.choice((1, 10, 3000))
    return [*fields[:at], struct.pack("<I", ARR) + deep, *fields[at:]]


def _retyped(rng: random.Random, fields: Fields, at: int) -> Fields:
    kinds = [index for index, one in enumerate(fields) if len(one) == 4]
    chosen = rng.choice(kinds) if kinds else at
    return [*fields[:chosen], struct.pack("<I", rng.randrange(50)), *fields[chosen + 1 :]]


def _filled(rng: random.Random, fields: Fields, at: int) -> Fields:
    filling = rng.choice((b"\0", b"\xff", b"GGUF", b"\x01\0\0\0\0\0\0\0")) * rng.choice((1, 100, 20_000))
    return [*fields[:at], filling, *fields[at:]]


VALUES: tuple[object, ...] = (
    *EXTREMES, -1, -0.0, 1.5, 1e300, float("nan"), float("inf"), 10**400, None, True, "", "F32", "\ud800", "\u202e\x1b[31m", "../../x",
    [], {}, [[]], [0], [0, 0, 0], {"dtype": "F32"}, "x" * 5000, [1] * 500,
)  # fmt: skip
TOKENS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"\\u",
    b"\\ud83d",
    b"NaN",
    b"1e999",
    b"-0",
    b"01",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b" " * 9999,
    b"[" * 5000,
    b'{"a":' * 3000,
    b'"data_offsets"',
)


def _safetensors(rng: random.Random, shapes: Shapes) -> bytes:
    header: object = header_of(shapes, {"format": "pt", "note": "模型"})
    data = bytes(sum(size_of(*one) for one in shapes.values()))
    for _time in range(rng.choice((0, 1, 1, 1, 2, 3))):
        header = _changed(rng, header)
    text = json.dumps(header, ensure_ascii=rng.random() < 0.5, separators=rng.choice(((",", ":"), (", ", ": "))))
    raw = text.encode("utf-8", "surrogatepass")
    choice = rng.random()
    if choice < 0.3:
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + rng.choice(TOKENS) + raw[at + rng.choice((0, 0, 1, 5)) :]
    elif choice < 0.4:
        raw = raw[: rng.randrange(len(raw) + 1)]
    elif choice < 0.5:
        raw = b"".join(_flipped(rng, [raw], 0))
    elif choice < 0.6:
        data = data[: rng.randrange(len(data))] if rng.random() < 0.5 else data + bytes(rng.randrange(1, 99))
    whole = framed(raw, data)
    if rng.random() < 0.15:
        whole = struct.pack("<Q", rng.choice((*EXTREMES, len(raw) + 1, max(0, len(raw) - 1)))) + whole[8:]
    return whole[: rng.randrange(len(whole))] if rng.random() < 0.05 else whole


def _config(rng: random.Random, config: object) -> bytes:
    for _time in range(rng.choice((0, 0, 1, 2))):
        config = _changed(rng, config)
    raw = json.dumps(config).encode()
    return raw if rng.random() < 0.9 else b"".join(_mutated(rng, [raw]))


def _changed(rng: random.Random, value: object) -> object:
    """The value with one thing inside it changed, anywhere."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        choice = rng.random()
        if choice < 0.1:
            return {one: content for one, content in value.items() if one != key}
        if choice < 0.2:
            return {
                **value,
                rng.choice(("__metadata__", "extra", "a" * 9999, "\u202e", "dtype")): rng.choice((value[key], *VALUES)),
            }
        return {**value, key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], _changed(rng, value[at]), *value[at + 1 :]]
    return rng.choice(VALUES)


@dataclass
class Outcome:
    """What became of many bundles. ``growth`` in bytes, over what the process held after its first hundred."""

    accepted: int = 0
    refused: int = 0
    crashes: list[str] = field(default_factory=list)
    slowest: float = 0.0
    growth: int = 0


def read_all(bundles: Iterator[Files], folder: Path) -> Outcome:
    """Read each as whoever pulls a model does: recognise, then read the header."""
    outcome = Outcome()
    before = 0
    for number, bundle in enumerate(bundles):
        place = folder / str(number % 8)
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        for name, content in bundle.items():
            (place / name).write_bytes(content)
        begun = time.perf_counter()
        _judge(place, outcome, number)
        outcome.slowest = max(outcome.slowest, time.perf_counter() - begun)
        if number == 100:
            before = _peak()
    outcome.growth = max(0, _peak() - before)
    return outcome


def _judge(place: Path, outcome: Outcome, number: int) -> None:
    try:
        inspect(from_path(place), FORMATS)
        outcome.accepted += 1
    except UltralabError as error:
        if not (error.message and error.hint):
            outcome.crashes.append(f"{number}: unexplained: {error.message!r}")
        outcome.refused += 1
    except Exception as error:  # noqa: BLE001 — whatever it is, it is what we look for
        outcome.crashes.append(f"{number}: {type(error).__name__}: {error}"[:300])


def _peak() -> int:
    """The most memory that this process has held, bytes. Linux's ``ru_maxrss`` begins with the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read_one(path: Path) -> Outcome:
    """What one file costs, from a process's beginning (after what reading any file imports)."""
    with tempfile.TemporaryDirectory() as folder:
        read_all(mutants(120, 1), Path(folder))
    before, outcome, begun = _peak(), Outcome(), time.process_time()
    _judge(path, outcome, 0)
    outcome.slowest = time.process_time() - begun
    outcome.growth = _peak() - before
    return outcome


def in_a_process(*arguments: str | Path) -> Outcome:
    """The outcome of :func:`main` in a process of its own."""
    command = [sys.executable, "-m", "tests.unit.models.formats.mutants", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[4], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return Outcome(**json.loads(done.stdout))


def main() -> None:
    """Read COUNT mutants of SEED, or one file."""
    if len(sys.argv) == 2:
        outcome = read_one(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            outcome = read_all(mutants(int(sys.argv[1]), int(sys.argv[2])), Path(folder))
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
