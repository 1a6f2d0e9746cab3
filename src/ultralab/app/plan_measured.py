"""What this lab has measured, as the planner takes it: speeds and losses of its experiments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab
from ultralab.kernel.errors import UltralabError

if TYPE_CHECKING:
    from pathlib import Path

    from ultralab.assess.advice.quality import Loss
    from ultralab.experiments.spec import Speed
    from ultralab.experiments.types import ExperimentRecord, RunRecord
    from ultralab.planner.hardware import Hardware, Sample
    from ultralab.planner.types import ModelShape


def samples(lab: Lab) -> tuple[Sample, ...]:
    """Every run that the lab measured on this machine, of a model whose header can still be read, the oldest first.

    A run counts with the prompt that its experiment's file asked for, and without a GPU only with as many threads as
    plans take for granted.
    """
    from ultralab.assess.places import hardware_of
    from ultralab.experiments import capsule

    hardware = hardware_of(lab.machine)
    found: list[Sample] = []
    for folder in capsule.capsules(lab.home):
        with suppress(UltralabError, OSError, ValueError):  # a damaged capsule is doctor's business
            experiment = capsule.read_experiment(folder)
            if not _is_of(lab, experiment):
                continue
            speed = _speed(folder)
            for run in capsule.read_runs(folder, experiment):
                as_planned = hardware.gpu or run.options.get("threads") == hardware.cpu_cores
                if run.measured and as_planned and (sample := _sample(lab, run, speed, hardware)):
                    found.append(sample)
    return tuple(found)


def _is_of(lab: Lab, experiment: ExperimentRecord) -> bool:
    """Whether an experiment ran on this machine, or one that is equal."""
    ran_on = experiment.provenance.machine
    return all(ran_on.get(name) == getattr(lab.machine, name) for name in ("chip", "gpu_cores", "memory_bytes"))


def _speed(folder: Path) -> Speed:
    """How the experiment in a capsule measured speed, by its own copy of the file. Raises InvalidSpec, FileAccess."""
    from ultralab.experiments.lines import read_yaml
    from ultralab.experiments.spec import Speed
    from ultralab.system import files

    path = folder / "experiment.yaml"
    data, _lines = read_yaml(path, files.read_text(path))
    return Speed.model_validate(data.get("speed") or {})


def _sample(lab: Lab, run: RunRecord, speed: Speed, hardware: Hardware) -> Sample | None:
    """A run as the planner takes it: decode as a client saw it, prefill by the engine's own account, as in a calibration."""
    from ultralab.assess.calibration.samples import sample_of

    shape = _shape(lab, run)
    if run.measured is None or shape is None:
        return None
    return sample_of(
        model=run.model_title,
        engine=run.engine,
        hardware=hardware,
        shape=shape,
        quantization=run.quantization,
        prompt=speed.prompt_tokens,
        decode_tok_s=run.measured.decode_tok_s.median,
        prefill_tok_s=run.measured.engine_prefill_tok_s.median or run.measured.prefill_tok_s.median,
        source=f"{run.experiment}/{run.id}",
        generated=speed.generated_tokens,
    )


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
