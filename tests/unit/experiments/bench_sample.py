"""A bench for whole experiments on the fake engine: real processes, real files, no model library."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from ultralab import memory
from ultralab.engines import engine
from ultralab.experiments.bench import Bench, Made, Result, Subject
from ultralab.experiments.run import run_experiment
from ultralab.experiments.spec import SpecFile, load_spec
from ultralab.experiments.trackers.base import Tracker
from ultralab.experiments.types import Expected
from ultralab.kernel.progress import SILENT, Progress
from ultralab.machine.types import Bandwidth, Machine
from ultralab.models.types import ModelFile, ModelRecord
from ultralab.monitor.base import Sampler
from ultralab.monitor.samplers.system import SystemSampler
from ultralab.planner.types import AttentionLayers, ModelShape

TEXT = "The quick brown fox jumps over the lazy dog. " * 20

SPEC = """\
experiment: sample
title: A sample
question: Does it work?
model: any
engine: fake
options: {context: 512, threads: 2}
speed: {prompt_tokens: 32, generated_tokens: 8, repeats: 3}
quality: {text: below/text.txt, tokens: 64}
seed: 11
trackers: []
tags: [one, two]
"""

MACHINE = Machine(
    chip="Test",
    vendor="Nobody",
    architecture="x86_64",
    os_name="Linux",
    os_version="6",
    performance_cores=4,
    efficiency_cores=0,
    logical_cores=4,
    memory_bytes=8_000_000_000,
    gpu_cores=0,
    gpu_memory_limit_bytes=0,
    unified_memory=False,
    bandwidth=Bandwidth(20e9, "measured", "copy"),
)


def shape(weight_bytes: int = 90_000_000) -> ModelShape:
    return ModelShape(
        architecture="llama",
        layers=2,
        embedding=64,
        feed_forward=128,
        heads=4,
        kv_heads=2,
        key_dim=16,
        value_dim=16,
        vocabulary=256,
        trained_context=512,
        parameters=100_000_000,
        weight_bytes=weight_bytes,
        bytes_per_token=weight_bytes,
        cache=(AttentionLayers(2, 4, 2, 16, 16),),
    )


def record(name: str, variant: str) -> ModelRecord:
    return ModelRecord(
        name=name,
        variant=variant.lower(),
        title="Sample",
        family="sample",
        format="gguf",
        architecture="llama",
        parameters=100_000_000,
        quantization=variant,
        bits_per_weight=7.2,
        context=512,
        licence="",
        source="path:/somewhere",
        source_url="",
        added="2026-11-23T00:00:00+00:00",
        added_by="tests",
        files=(ModelFile("model.gguf", 90_000_000, "ab" * 32),),
    )


@dataclass
class Sample:
    """A lab's folder, an experiment file in it, and what the bench was told."""

    folder: Path
    text: str = SPEC
    trackers: Sequence[Callable[[], Tracker]] = ()
    samplers: Mapping[str, Callable[[int], Sampler]] = field(default_factory=lambda: {"system": SystemSampler})
    refusal: str = ""
    on_keep: Callable[[], None] = lambda: None
    kept: list[tuple[list[str], str]] = field(default_factory=list)
    announced: list[tuple[str, int]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "lab"

    def file(self) -> SpecFile:
        (self.folder / "below").mkdir(exist_ok=True)
        (self.folder / "below" / "text.txt").write_text(TEXT)
        path = self.folder / "spec.yaml"
        path.write_text(self.text)
        return load_spec(path, engines=["fake"], quantizations=["Q8_0", "Q4_0"])

    def subject(
        self, label: str, *, reference: bool = False, make: Callable[[], None] | None = None, **trouble: object
    ) -> Subject:
        """A model whose file tells the fake engine what trouble to make."""
        path = self.folder / f"{label}.gguf"
        path.write_text(json.dumps(trouble) if trouble else "GGUF")

        def made(_progress: Progress) -> Made:
            if make:
                make()
            return Made(record("sample", label), path, shape())

        return Subject(label, "Sample", None if reference else label, shape(), made)

    def bench(self) -> Bench:
        def keep(paths: Sequence[Path], message: str) -> str:
            self.kept.append(([str(path.relative_to(self.home)) for path in paths], message))
            self.on_keep()
            return self.refusal

        def announce(expected: Sequence[tuple[Subject, Expected]]) -> None:
            self.announced += [(subject.label, one.memory_bytes) for subject, one in expected]

        return Bench(
            home=self.home,
            machine=MACHINE,
            ledger=memory.open_ledger(self.folder / "state", 1_000_000_000),
            engine=engine("fake"),
            author="Ada",
            language="en",
            keep=keep,
            trackers=self.trackers,
            samplers=self.samplers,
            announce=announce,
            in_use=lambda _record: nullcontext(),
        )

    def run(self, *subjects: Subject) -> Result:
        return run_experiment(self.file(), subjects, self.bench(), SILENT)
