"""What this lab has measured, as the planner takes it: speeds and losses of its experiments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab
from ultralab.kernel.errors import UltralabError

if TYPE_CHECKING:
    from ultralab.assess.advice.quality import Loss
    from ultralab.experiments.types import RunRecord
    from ultralab.planner.hardware import Sample
    from ultralab.planner.types import ModelShape


def samples(lab: Lab) -> tuple[Sample, ...]:
    """Every measured run of the lab on a model whose header can still be read, the oldest first."""
    from ultralab.assess.calibration.samples import sample_of
    from ultralab.assess.places import hardware_of

    hardware = hardware_of(lab.machine)
    found = []
    for run in _runs(lab):
        shape = _shape(lab, run)
        if run.measured is None or shape is None:
            continue
        prompt = run.options.get("prompt_tokens", 0)
        found.append(
            sample_of(
                model=run.model_title,
                engine=run.engine,
                hardware=hardware,
                shape=shape,
                quantization=run.quantization,
                prompt=prompt if isinstance(prompt, int) else 0,
                decode_tok_s=run.measured.decode_tok_s.median,
                prefill_tok_s=run.measured.prefill_tok_s.median,
                source=f"{run.experiment}/{run.id}",
            )
        )
    return tuple(found)


def losses(lab: Lab) -> tuple[Loss, ...]:
    """What quantizations cost in the lab's own experiments, each against its experiment's reference."""
    from math import exp

    from ultralab.assess.advice.quality import OWN, Loss

    by_experiment: dict[str, list[RunRecord]] = {}
    for run in _runs(lab):
        by_experiment.setdefault(run.experiment, []).append(run)
    found = []
    for runs in by_experiment.values():
        reference = next((run for run in runs if run.reference and run.measured), None)
        for run in runs:
            if reference is None or run is reference or run.measured is None or reference.measured is None:
                continue
            found.append(
                Loss(
                    quantization=run.quantization,
                    measured_on=run.model_title,
                    against=reference.quantization,
                    text=run.experiment,
                    source=OWN,
                    perplexity_ratio=exp(run.measured.nll - reference.measured.nll),
                    agreement=run.measured.agreement,
                )
            )
    return tuple(found)


def _runs(lab: Lab) -> Iterator[RunRecord]:
    from ultralab.experiments import capsule

    for folder in capsule.capsules(lab.home):
        with suppress(UltralabError):  # a damaged capsule is doctor's business
            yield from (run for run in capsule.read_runs(folder, capsule.read_experiment(folder)) if run.measured)


def _shape(lab: Lab, run: RunRecord) -> ModelShape | None:
    from ultralab import models
    from ultralab.app.models import header_of

    try:
        return header_of(lab, models.find(lab.library, run.model_ref))[1].shape
    except UltralabError:  # it was removed, or made for its experiment only
        return None
