"""The lab's runs as the planner takes them: with the prompt that was read, and of this machine only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.gguf_maker import U32, small_model
from tests.unit.experiments.bench_sample import SPEC, TEXT

from ultralab.app import experiments, models, open_lab
from ultralab.app.lab import Lab
from ultralab.app.plan_measured import samples
from ultralab.experiments import capsule
from ultralab.kernel.progress import SILENT
from ultralab.setup.tree import create_lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab with one finished experiment on a small model."""
    create_lab(tmp_path / "lab", language="en")
    lab = open_lab(tmp_path / "lab")
    (tmp_path / "small.gguf").write_bytes(small_model(llama__context_length=(U32, 512)))
    models.pull(lab, str(tmp_path / "small.gguf"), SILENT, "small")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "text.txt").write_text(TEXT)
    (tmp_path / "spec.yaml").write_text(
        SPEC.replace("any", "small").replace("context: 512, threads: 2", "context: 512")
    )
    experiments.run(lab, tmp_path / "spec.yaml", SILENT)
    return lab


def test_a_run_counts_with_its_prompt(lab: Lab) -> None:
    (folder,) = capsule.capsules(lab.home)
    (run,) = capsule.read_runs(folder, capsule.read_experiment(folder))
    (sample,) = samples(lab)
    assert run.measured is not None
    assert sample.prompt_tokens == 32
    assert sample.decode_tok_s == run.measured.decode_tok_s.median
    assert sample.prefill_tok_s == run.measured.engine_prefill_tok_s.median
    assert sample.work.kv_bytes > 0


def test_another_machines_runs_do_not_count(lab: Lab) -> None:
    (folder,) = capsule.capsules(lab.home)
    path = folder / "experiment.json"
    good = json.loads(path.read_text())
    for name, value in (("chip", "Apple M1"), ("memory_bytes", 1)):
        machine = good["provenance"]["machine"] | {name: value}
        path.write_text(json.dumps(good | {"provenance": good["provenance"] | {"machine": machine}}))
        assert samples(lab) == ()
    path.write_text(json.dumps(good))
    assert len(samples(lab)) == 1


def test_without_a_readable_file_of_its_own_a_run_does_not_count(lab: Lab) -> None:
    (folder,) = capsule.capsules(lab.home)
    for text in ("", "speed: 5", "speed: {prompt_tokens: many}", "[" * 1000):
        (folder / "experiment.yaml").write_text(text)
        assert samples(lab) == ()
