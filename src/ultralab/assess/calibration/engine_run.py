"""A short run of an engine with a small model: decode and prefill at several prompt lengths, as samples."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.assess.calibration.samples import sample_of
from ultralab.engines.base import Client, Engine, Generation, LoadOptions, ModelFile
from ultralab.engines.host import Request, loaded
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.memory import Ledger
from ultralab.planner.hardware import Hardware, Sample
from ultralab.planner.types import ModelShape
from ultralab.system import clock

SOURCE: Final = "ultralab plan calibrate"
PROMPTS: Final = (64, 512, 1500)
GENERATED: Final = 24
BUDGET_SECONDS: Final = 12.0
"""Once the model is loaded: a prompt length that would take longer than what is left of it is left out."""

_CONTEXT: Final = 2048
_WARM_UP: Final = 128
_STRETCH: Final = 4
_SEED: Final = 1
_TEXT: Final = "The lighthouse keeper wrote down the hour, the wind and the colour of the sea before he slept. "


@dataclass(frozen=True)
class Subject:
    """A model to measure with: its file, its name for people, its shape, the type of most of its weights."""

    path: Path
    title: str
    shape: ModelShape
    quantization: str
    format: str = "gguf"


def measure_engine(
    engine: Engine, subject: Subject, hardware: Hardware, *, ledger: Ledger, log: Path, progress: Progress = SILENT
) -> tuple[Sample, ...]:
    """Load a model, measure it at up to three prompt lengths, end it.

    Decode is what a client sees (:func:`steady_rate`); prefill is the engine's own account of it. Raises
    Unsupported, OutOfMemory, EngineFailed, EngineDied.
    """
    trained = subject.shape.trained_context
    context = min(_CONTEXT, trained) if trained else _CONTEXT
    model = ModelFile(subject.path, subject.title, subject.format, subject.shape)
    request = Request(model, LoadOptions(context, hardware.cpu_cores, _SEED))
    samples: list[Sample] = []
    with loaded(engine, request, ledger=ledger, log=log, progress=progress) as running:
        tokens = running.client.tokenize(_TEXT * 40)
        lengths = [length for length in PROMPTS if length + GENERATED < context]
        _ask(running.client, tokens, min(_WARM_UP, context // 2), 0)
        deadline = clock.monotonic() + BUDGET_SECONDS
        with progress.step(_("Measuring speed"), len(lengths), "items") as step:
            for number, length in enumerate(lengths, start=1):
                if samples and _seconds(samples[-1], length) > deadline - clock.monotonic():
                    break
                one = _ask(running.client, tokens, length, number)
                samples.append(_sample(engine.name, subject, hardware, length, one))
                step.advance()
    return tuple(samples)


def _seconds(before: Sample, length: int) -> float:
    """What a longer prompt will take at least, by the run before it."""
    return length / max(before.prefill_tok_s, 1e-9) + GENERATED / max(before.decode_tok_s, 1e-9)


def _ask(client: Client, tokens: Sequence[int], length: int, number: int) -> Generation:
    """One generation; each reads another stretch of the text, so that no cache of any kind could help."""
    prompt = [tokens[(7 * number + offset) % len(tokens)] for offset in range(length)]
    return client.generate(prompt, GENERATED, _SEED)


def _sample(engine: str, subject: Subject, hardware: Hardware, length: int, one: Generation) -> Sample:
    return sample_of(
        model=subject.title,
        engine=engine,
        hardware=hardware,
        shape=subject.shape,
        quantization=subject.quantization,
        prompt=length,
        decode_tok_s=steady_rate(one.arrivals) or one.timings.decode_tok_s,
        prefill_tok_s=one.timings.prefill_tok_s,
        source=SOURCE,
        generated=GENERATED,
    )


def steady_rate(arrivals: Sequence[float]) -> float:
    """Tokens per second by the moments (seconds) at which tokens came; 0 for too few of them.

    The median over stretches of four tokens: another program that takes the cores for a moment does not count, and
    neither does a character of several tokens, which come together.
    """
    took = [later - sooner for sooner, later in zip(arrivals, arrivals[_STRETCH:], strict=False)]
    middle = statistics.median(took) if took else 0.0
    return _STRETCH / middle if middle > 0 else 0.0
