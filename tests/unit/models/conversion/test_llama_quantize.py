"""K and I types through ``llama-quantize``.

The program here is a script of ours that takes llama-quantize's arguments, says what it says, and writes a model in Q8_0
with the wanted file type: what is tested is the adapter, not llama.cpp's arithmetic.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.gguf_maker import tiny_llama
from tests.unit.models.conversion.folders import take_file

from ultralab.kernel.errors import FileDamaged, RequestError, ToolFailed, Unsupported
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models import Library, ModelRecord, made_before, model_path, quantization_memory, quantize, records
from ultralab.models.conversion import llama_quantize
from ultralab.models.formats.gguf import FORMAT
from ultralab.system import files

SCRIPT = """#!{python}
import sys, time
from pathlib import Path
from gguf import GGUFReader, GGUFWriter, GGMLQuantizationType, quants
options, places = [], []
words = iter(sys.argv[1:])
for word in words:
    if word == "--imatrix":
        options.append((word, next(words)))
    elif word.startswith("--"):
        options.append((word, ""))
    else:
        places.append(word)
source, to, target = places
Path(__file__).with_name("asked").write_text(" ".join(sys.argv[1:]))
say = lambda *words: print(*words, file=sys.stderr, flush=True)
say("version: 0.5.0 (build 9210, commit 1a2b3c4)")
say("built with a test for Linux")
say(f"main: quantizing '{{source}}' to '{{to}}' as {{target}}")
mode = {mode!r}
if mode == "fails":
    say("llama_model_quantize: failed to quantize: tensor cols 7 x 5 are not divisible")
    sys.exit(1)
reader = GGUFReader(source)
writer = GGUFWriter(to, "llama")
for key, field in reader.fields.items():
    if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
        continue
    kind = field.types[-1] if len(field.types) > 1 else None
    writer.add_key_value(key, field.contents(), field.types[0], sub_type=kind)
numbers = dict(Q4_K_M=15, Q6_K=18, IQ2_XXS=19)
writer.add_uint32("general.file_type", 7 if mode == "other type" else numbers[target])
tensors = reader.tensors[:-1] if mode == "loses one" else reader.tensors
for number, tensor in enumerate(tensors, 1):
    data = tensor.data
    if len(tensor.shape) > 1 and tensor.tensor_type == GGMLQuantizationType.F32:
        data = quants.quantize(data, GGMLQuantizationType.Q8_0)
        writer.add_tensor(tensor.name, data, raw_dtype=GGMLQuantizationType.Q8_0)
    else:
        writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
    say(f"[{{number:4d}}/{{len(tensors):4d}}] {{tensor.name}} - [64, 64, 1, 1], type = f32, converting to q4_K .. size = 1 MiB")
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
while mode == "hangs":
    time.sleep(0.05)
"""


def tool(folder: Path, mode: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "llama-quantize"
    path.write_text(SCRIPT.format(python=sys.executable, mode=mode))
    path.chmod(0o755)
    return folder


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "实验 🧪")


@pytest.fixture
def parent(library: Library, tmp_path: Path) -> ModelRecord:
    return take_file(library, tiny_llama(tmp_path / "Tiny-F32.gguf"))


def make(library: Library, parent: ModelRecord, target: str, program: Path, progress: Progress = SILENT) -> ModelRecord:
    return quantize(library, parent, target, [FORMAT], progress, program=program)


class Watcher:
    """Adds up what it is told; may press Ctrl-C when it hears enough."""

    def __init__(self, *, patience: float = 2.0) -> None:
        self.done = 0.0
        self.patience = patience

    @contextmanager
    def step(self, label: str, total: float | None = None, unit: str = "") -> Iterator[Watcher]:
        yield self

    def advance(self, amount: float = 1) -> None:
        if amount <= 1:
            self.done += amount
        if self.done >= self.patience:
            raise KeyboardInterrupt

    def describe(self, text: str) -> None:
        return None

    def say(self, text: str) -> None:
        return None


def test_what_the_tool_made_is_checked_and_recorded(library: Library, parent: ModelRecord, tmp_path: Path) -> None:
    program, watcher = tool(tmp_path / "bin"), Watcher()
    made = make(library, parent, "q4_k", program, watcher)
    assert made.derived == {
        "parent": "tiny:f32",
        "parent_sha256": parent.sha256,
        "tool": "llama-quantize",
        "tool_version": "0.5.0 (build 9210, commit 1a2b3c4)",
        "quantization": "Q4_K_M",
    }
    assert (made.ref, made.files[0].name) == ("tiny:q4_k_m", "tiny.Q4_K_M.gguf")
    assert FORMAT.name == made.format
    assert model_path(library, made).stat().st_size == made.size
    assert watcher.done == pytest.approx(1.0)
    assert list(library.partial.iterdir()) == []
    assert "--allow-requantize" not in (program / "asked").read_text()
    assert made_before(library, parent, "Q4_K_M") == made
    (program / "llama-quantize").unlink()
    assert make(library, parent, "Q4_K_M", program) == made


def test_what_is_quantized_already_must_be_allowed(library: Library, parent: ModelRecord, tmp_path: Path) -> None:
    program = tool(tmp_path / "bin")
    make(library, quantize(library, parent, "Q8_0", [FORMAT]), "Q6_K", program)
    assert (program / "asked").read_text().startswith("--allow-requantize ")


def test_an_importance_matrix_is_given_and_recorded(library: Library, parent: ModelRecord, tmp_path: Path) -> None:
    matrix = tmp_path / "the matrix.dat"
    matrix.write_bytes(b"numbers")
    program = tool(tmp_path / "bin")
    with_it = quantize(library, parent, "IQ2_XXS", [FORMAT], imatrix=matrix, program=program)
    assert f"--imatrix {matrix}" in (program / "asked").read_text()
    assert with_it.derived is not None
    assert with_it.derived["options"] == f"--imatrix {files.sha256_of(matrix)}"
    assert made_before(library, parent, "IQ2_XXS", matrix) == with_it
    assert made_before(library, parent, "IQ2_XXS") is None
    with pytest.raises(RequestError, match="needs an importance matrix") as caught:
        make(library, parent, "IQ2_XXS", program)
    assert "--imatrix" in caught.value.hint


def test_types_made_here_take_no_matrix(library: Library, parent: ModelRecord, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="Q8_0"):
        quantize(library, parent, "Q8_0", [FORMAT], imatrix=tmp_path / "x.dat")


@pytest.mark.parametrize("target", ["Q4_K_M", "iq4_xs"])
def test_without_the_tool_it_says_how_to_get_it(
    library: Library, parent: ModelRecord, tmp_path: Path, target: str
) -> None:
    with pytest.raises(Unsupported) as caught:
        make(library, parent, target, tmp_path)
    assert "brew install llama.cpp" in caught.value.hint
    assert list(library.partial.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "error", "words"),
    [
        ("fails", ToolFailed, "exit status 1.*not divisible"),
        ("other type", FileDamaged, "its type is 7 instead of 15"),
        ("loses one", FileDamaged, "missing"),
    ],
)
def test_what_goes_wrong_leaves_nothing(
    library: Library, parent: ModelRecord, tmp_path: Path, mode: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make(library, parent, "Q4_K_M", tool(tmp_path / "bin", mode))
    assert (list(library.partial.iterdir()), records(library)) == ([], (parent,))


def test_ctrl_c_ends_the_tool_and_leaves_nothing(library: Library, parent: ModelRecord, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(library, parent, "Q4_K_M", tool(tmp_path / "bin", "hangs"), Watcher(patience=0.5))
    assert (list(library.partial.iterdir()), records(library)) == ([], (parent,))


def test_memory_is_asked_for_the_largest_tensor(library: Library, parent: ModelRecord) -> None:
    path = model_path(library, parent)
    assert quantization_memory(path, "Q4_K_M") == 512 * 1024 * 1024 + 12 * 64 * (259 + 27)
    assert quantization_memory(path, "Q8_0") == quantization_memory(path)


def test_what_the_tool_says() -> None:
    line = "[  12/ 291]   blk.1.attn_q.weight - [ 4096,  4096,     1,     1], type =    f16, converting to q4_K .. "
    assert llama_quantize.progress_of(line) == (12, 291)
    assert llama_quantize.progress_of("llama_model_loader: - kv 12/291") is None
    assert llama_quantize.build_of("main: build = 4589 (eb7cf15a)") == "4589 (eb7cf15a)"
    assert llama_quantize.build_of("main: built with cc") == ""
