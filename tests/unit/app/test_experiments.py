"""An experiment file that asks for what the lab does not have: the complaint has the file, the field and the line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.gguf_maker import U32, Tensor, gguf_bytes, small_keys, small_model, tiny_llama
from tests.unit.experiments.bench_sample import SPEC, TEXT

from ultralab import memory
from ultralab.app import experiments, models, open_lab
from ultralab.app.lab import Lab
from ultralab.app.settings import change_setting
from ultralab.kernel.errors import InvalidSpec, NotFound, OutOfMemory, UnknownChoice
from ultralab.kernel.progress import SILENT
from ultralab.models import quantization_memory, rebuild, records
from ultralab.setup.tree import create_lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab with one small model, ``small:q4_0``."""
    create_lab(tmp_path / "lab", language="en")
    lab = open_lab(tmp_path / "lab")
    (tmp_path / "small.gguf").write_bytes(small_model())
    models.pull(lab, str(tmp_path / "small.gguf"), SILENT, "small")
    return lab


def _complaint(lab: Lab, text: str) -> str:
    folder = lab.home.parent
    (folder / "below").mkdir()
    (folder / "below" / "text.txt").write_text(TEXT)
    path = folder / "spec.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSpec) as caught:
        experiments.run(lab, path, SILENT)
    assert not list(lab.home.glob("experiments/sample/*"))
    return caught.value.message.removeprefix(f"{path}:")


def test_a_model_that_nobody_has(lab: Lab) -> None:
    assert _complaint(lab, SPEC) == "4: model: There is no model 'any' in the library"


def test_a_model_file_that_is_not_there(lab: Lab) -> None:
    found = _complaint(lab, SPEC.replace("any", f"{lab.home}/none.gguf"))
    assert found == f"4: model: There is no such file: {lab.home}/none.gguf"


def test_a_variant_that_is_the_reference_itself(lab: Lab) -> None:
    text = SPEC.replace("model: any", "model: small").replace("engine: fake", "engine: fake\nvariants: [Q8_0, Q4_0]")
    (record,) = [models.find_or_pull(lab, "small", SILENT)]
    expected = f"6: variants.1: {record.title} is Q4_0 already: it is the reference of this experiment"
    assert _complaint(lab, text) == expected


def test_the_ref_of_a_pulled_file_is_found_without_the_file(lab: Lab) -> None:
    path = lab.home.parent / "small.gguf"
    path.unlink()
    assert models.find_or_pull(lab, f"path:{path}", SILENT).ref == "small:q4_0"


def test_a_lab_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        open_lab(tmp_path / "none")
    assert caught.value.hint == f"Make one: ultralab init {tmp_path}/none — or name another with --home."


def test_a_context_beyond_what_the_model_was_trained_for(lab: Lab) -> None:
    (record,) = [models.find_or_pull(lab, "small", SILENT)]
    found = _complaint(lab, SPEC.replace("model: any", "model: small"))
    assert found == f"6: options.context: {record.title} was trained for 128 tokens"


class _Watching:
    """A progress that notes what the ledger holds when a step begins."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.held: dict[str, list[tuple[str, int]]] = {}

    @contextmanager
    def step(self, label: str, total: float | None = None, unit: str = "") -> Iterator[_Watching]:
        self.held[label] = [(item.purpose, item.amount) for item in memory.holders(self.lab.ledger)]
        yield self

    def advance(self, amount: float = 1) -> None:
        return None

    def describe(self, text: str) -> None:
        return None

    def say(self, text: str) -> None:
        return None


RUNNABLE = SPEC.replace("model: any", "model: ./tiny.gguf").replace("engine: fake", "engine: fake\nvariants: [Q8_0]")


def _experiment(lab: Lab) -> Path:
    """A folder that is not the working directory, with an experiment file, its text and its model."""
    folder = lab.home.parent
    (folder / "below").mkdir()
    (folder / "below" / "text.txt").write_text(TEXT)
    tiny_llama(folder / "tiny.gguf")
    (folder / "spec.yaml").write_text(RUNNABLE)
    return folder / "spec.yaml"


def test_quantizing_holds_memory_and_a_model_beside_the_file_is_found(lab: Lab) -> None:
    path = _experiment(lab)
    watching = _Watching(lab)
    result = experiments.run(lab, path, watching)
    assert [run.model_ref for run in result.runs] == ["tiny:f32", "tiny:q8_0"]
    amount = quantization_memory(path.parent / "tiny.gguf")
    assert watching.held["Quantizing to Q8_0"] == [("Making Q8_0 of tiny", amount)]
    assert memory.holders(lab.ledger) == ()
    (path.parent / "tiny.gguf").unlink()
    again = _Watching(lab)
    repeated = experiments.run(lab, result.folder / "experiment.yaml", again)  # as its report says
    assert [run.model_ref for run in repeated.runs] == ["tiny:f32", "tiny:q8_0"]
    assert not [label for label in again.held if label.startswith("Quantizing")]


def test_quantizing_without_memory_left_fails_that_run(lab: Lab) -> None:
    path = _experiment(lab)
    big = Tensor("blk.0.ffn_up.weight", (1024, 1024), "F32")
    (path.parent / "tiny.gguf").write_bytes(gguf_bytes(small_keys(llama__context_length=(U32, 512)), (big,)))
    with memory.held(lab.ledger, lab.ledger.limit - 35_000_000, "something else"), pytest.raises(OutOfMemory) as caught:
        experiments.run(lab, path, SILENT)
    assert caught.value.message.startswith("Making Q8_0 of tiny needs ")
    assert [record.variant for record in records(lab.library) if record.name == "tiny"] == ["f32"]


def _of_format(lab: Lab, name: str) -> None:
    """Make the lab's model one of another format."""
    for path in lab.library.metadata.glob("*.json"):
        path.write_text(path.read_text().replace('"format": "gguf"', f'"format": "{name}"'))
    rebuild(lab.library)


def test_a_model_in_a_format_that_the_engine_does_not_load(lab: Lab) -> None:
    _of_format(lab, "safetensors")
    (record,) = [models.find_or_pull(lab, "small", SILENT)]
    found = _complaint(lab, SPEC.replace("model: any", "model: small"))
    assert found == f"5: engine: fake does not load {record.title}: it is in the format safetensors"


def test_an_unknown_engine_in_the_settings_is_named_there(lab: Lab) -> None:
    path = lab.home.parent / "spec.yaml"
    path.write_text(SPEC)
    settings = lab.home / "lab.toml"
    settings.write_text('[engines]\ndefault = "nope"\n')
    with pytest.raises(InvalidSpec) as caught:
        experiments.run(open_lab(lab.home), path, SILENT)
    assert caught.value.message == f"{settings}: engines.default: Unknown engine: 'nope'"


def test_an_unknown_engine_is_not_set(lab: Lab) -> None:
    before = (lab.home / "lab.toml").read_text()
    with pytest.raises(UnknownChoice, match="Unknown engine: 'nope'"):
        change_setting(lab, "engines.default", "nope")
    assert (lab.home / "lab.toml").read_text() == before
