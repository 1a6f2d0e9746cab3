"""Conversions of tiny models, really made and really run: MLX and SafeTensors by mlx_lm, GGUF by llama.cpp.

Only the converter to GGUF is a script of ours: llama.cpp's needs torch. It writes what llama.cpp loads.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from tests.hf_maker import hf_llama, packed_llama
from tests.unit.models.conversion.folders import FORMATS, converter, take

from ultralab.kernel.errors import Failure, FileDamaged, RequestError, UnknownChoice, Unsupported
from ultralab.models import (
    ConversionOptions,
    Library,
    ModelRecord,
    conversion_memory,
    convert,
    converted_before,
    model_path,
    records,
)
from ultralab.models.conversion.convert import planned
from ultralab.models.conversion.staging import sweep


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "实验 🧪")


def judged(record: ModelRecord) -> str:
    assert record.derived is not None
    return record.derived["judged"]


@pytest.mark.slow  # a framework
def test_hf_becomes_mlx_and_says_the_same(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf", dtype="BF16"), "tiny")
    made = convert(library, parent, "mlx", FORMATS, added_by="tests")
    assert made.derived == {
        "parent": parent.ref,
        "parent_sha256": parent.sha256,
        "tool": "mlx_lm",
        "tool_version": planned(parent, "mlx").tool_version,
        "quantization": "mlx-bf16",
        "options": "dtype=BF16",
        "judged": "96/96 greedy tokens equal",
    }
    assert (made.ref, made.format, made.parameters) == ("tiny:mlx-bf16", "mlx", parent.parameters)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in made.files}
    assert model_path(library, made).is_dir()
    assert list(library.partial.iterdir()) == []
    assert convert(library, parent, "mlx", FORMATS) == made
    assert converted_before(library, parent, "mlx") == made
    assert converted_before(library, parent, "mlx", ConversionOptions(bits=4)) is None


@pytest.mark.slow
def test_mlx_quantized_and_quantized_otherwise(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf", dtype="F16"), "tiny")
    four = convert(library, parent, "mlx", FORMATS, ConversionOptions(bits=4, group_size=32))
    assert (four.ref, four.format) == ("tiny:mlx-4bit-g32", "mlx")
    assert 4 < four.bits_per_weight < 6
    equal = int(judged(four).partition("/")[0])
    assert 20 < equal < 96, "a random model of 4 bits says something else, but not all of it"
    eight = convert(library, four, "mlx", FORMATS, ConversionOptions(bits=8, group_size=32))
    assert eight.derived is not None
    assert (eight.ref, eight.derived["parent"]) == ("tiny:mlx-8bit-g32", four.ref)
    assert 8 < eight.bits_per_weight < 10
    assert int(judged(eight).partition("/")[0]) > 80
    with pytest.raises(RequestError, match="already"):
        convert(library, eight, "mlx", FORMATS)


@pytest.mark.slow  # a framework
def test_awq_becomes_f16_and_says_what_mlx_lm_reads_in_it(library: Library, tmp_path: Path) -> None:
    meant = packed_llama(tmp_path / "awq", "awq")
    parent = take(library, tmp_path / "awq", "tiny")
    made = convert(library, parent, "safetensors", FORMATS)
    assert judged(made) == "96/96 greedy tokens equal"
    assert (made.ref, made.format, made.quantization) == ("tiny:safetensors-f16", "safetensors", "F16")
    folder = library.folder(made)
    config = json.loads((folder / "config.json").read_text())
    assert ("quantization_config" in config, config["torch_dtype"]) == (False, "float16")
    assert load_file(folder / "model.safetensors").keys() == meant.keys()
    shared = {file.name: file.sha256 for file in parent.files}
    assert {file.name for file in made.files if shared.get(file.name) == file.sha256} == {
        "tokenizer.json",
        "tokenizer_config.json",
    }
    model_path(library, parent)  # what it shares with its parent is still the parent's


def test_gptq_becomes_f16_and_it_is_said_that_nobody_judged(library: Library, tmp_path: Path) -> None:
    packed_llama(tmp_path / "gptq", "gptq", bits=3, ordered=True)
    parent = take(library, tmp_path / "gptq", "tiny")
    made = convert(library, parent, "safetensors", FORMATS)
    assert judged(made) == "not judged: nothing here runs gptq"
    assert convert(library, parent, "safetensors", FORMATS) == made


def test_hf_becomes_gguf_and_llama_cpp_says_what_mlx_says(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf"), "tiny")
    options = ConversionOptions(llama_cpp=converter(tmp_path / "llama.cpp"))
    made = convert(library, parent, "gguf", FORMATS, options)
    assert (made.ref, made.format, made.quantization) == ("tiny:gguf-f32", "gguf", "F32")
    assert made.files[0].name == "tiny.F32.gguf"
    assert judged(made).startswith(("96/96", "95/96 greedy tokens equal, 1 near", "94/96 greedy tokens equal, 2 near"))


@pytest.mark.slow
def test_what_says_something_else_is_refused_unless_it_is_accepted(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf"), "tiny")
    options = ConversionOptions(llama_cpp=converter(tmp_path / "llama.cpp", wrong=True))
    with pytest.raises(Failure, match="changed what the model says") as caught:
        convert(library, parent, "gguf", FORMATS, options)
    assert caught.value.data["wanted"] != caught.value.data["found"]
    assert (list(library.partial.iterdir()), records(library)) == ([], (parent,))
    made = convert(library, parent, "gguf", FORMATS, options, accept=True)
    assert judged(made).startswith("kept anyway: ")


def test_without_the_judge_that_is_recorded(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf"), "tiny")
    options = ConversionOptions(llama_cpp=converter(tmp_path / "llama.cpp"))
    assert judged(convert(library, parent, "gguf", FORMATS, options, judged=False)) == "not judged: left out on request"


def test_what_cannot_be_done_is_said_before_anything_is_made(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf"), "tiny")
    for to, options, error, words in (
        ("onnx", ConversionOptions(), UnknownChoice, "onnx"),
        ("safetensors", ConversionOptions(), Unsupported, "cannot be converted"),
        ("gguf", ConversionOptions(llama_cpp=tmp_path), Unsupported, "convert_hf_to_gguf.py"),
        ("gguf", ConversionOptions(bits=4), Unsupported, "does not quantize"),
        ("mlx", ConversionOptions(bits=7), RequestError, "7 bits"),
        ("mlx", ConversionOptions(mode="mxfp4", bits=8), RequestError, "8 bits"),
        ("mlx", ConversionOptions(mode="round"), UnknownChoice, "round"),
        ("mlx", ConversionOptions(dtype="F8"), UnknownChoice, "F8"),
    ):
        with pytest.raises(error, match=words) as caught:
            convert(library, parent, to, FORMATS, options)
        assert caught.value.hint
    assert not library.partial.exists() or list(library.partial.iterdir()) == []


def test_a_converter_that_makes_nothing(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf"), "tiny")
    (tmp_path / "convert_hf_to_gguf.py").write_text("")
    with pytest.raises(FileDamaged, match="did not make what was asked for"):
        convert(library, parent, "gguf", FORMATS, ConversionOptions(llama_cpp=tmp_path))
    assert (list(library.partial.iterdir()), records(library)) == ([], (parent,))


def test_memory(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf"), "tiny")
    gib = 1024**3
    assert conversion_memory(parent, "mlx", judged=False) == gib + parent.size + 4 * parent.parameters
    assert conversion_memory(parent, "mlx") >= gib + int(1.2 * parent.size)
    assert conversion_memory(parent, "mlx", ConversionOptions(bits=4), judged=False) < conversion_memory(parent, "mlx")


class Impatient:
    """Presses Ctrl-C as soon as a step has begun."""

    @contextmanager
    def step(self, label: str, total: float | None = None, unit: str = "") -> Iterator[Impatient]:
        yield self

    def advance(self, amount: float = 1) -> None:
        raise KeyboardInterrupt

    def describe(self, text: str) -> None:
        return None

    def say(self, text: str) -> None:
        return None


SLEEPER = """import os, pathlib, time
here = pathlib.Path(__file__).parent
(here / "pid.new").write_text(str(os.getpid()))
(here / "pid.new").rename(here / "pid")
while True:
    time.sleep(0.05)
"""


def test_ctrl_c_leaves_nothing(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf"), "tiny")
    (tmp_path / "convert_hf_to_gguf.py").write_text(SLEEPER)
    with pytest.raises(KeyboardInterrupt):
        convert(library, parent, "gguf", FORMATS, ConversionOptions(llama_cpp=tmp_path), Impatient())
    assert (list(library.partial.iterdir()), records(library)) == ([], (parent,))


KILLED = """
import sys
from pathlib import Path
from tests.unit.models.conversion.folders import FORMATS
from ultralab.models import ConversionOptions, Library, convert, find
library = Library(Path(sys.argv[1]))
convert(library, find(library, "tiny"), "gguf", FORMATS, ConversionOptions(llama_cpp=Path(sys.argv[2])))
"""


def test_killed_it_takes_its_program_along_and_the_next_call_cleans_up(library: Library, tmp_path: Path) -> None:
    parent = take(library, hf_llama(tmp_path / "hf"), "tiny")
    (tmp_path / "convert_hf_to_gguf.py").write_text(SLEEPER)
    root = Path(__file__).parents[4]
    argv = [sys.executable, "-c", KILLED, str(library.home), str(tmp_path)]
    with subprocess.Popen(argv, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}) as child:
        wait_for((tmp_path / "pid").exists)
        assert sweep(library) == 0, "a folder in use stays"
        child.send_signal(signal.SIGKILL)
    sleeper = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(sleeper))
    assert [path.suffix for path in library.partial.iterdir()] == [".making"]
    assert sweep(library) == 1
    assert (list(library.partial.iterdir()), records(library)) == ([], (parent,))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: object, seconds: float = 30) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
