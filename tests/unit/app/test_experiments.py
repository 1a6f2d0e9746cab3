"""An experiment file that asks for what the lab does not have: the complaint has the file, the field and the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.gguf_maker import small_model
from tests.unit.experiments.bench_sample import SPEC, TEXT

from ultralab.app import experiments, models, open_lab
from ultralab.app.lab import Lab
from ultralab.kernel.errors import InvalidSpec, NotFound
from ultralab.kernel.progress import SILENT
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
