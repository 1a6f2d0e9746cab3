"""The experiments' verbs: wiring an experiment file to the library, an engine, the ledger, trackers and samplers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ultralab.app import models as model_verbs
from ultralab.app.lab import Lab
from ultralab.engines import engine, engine_plugins
from ultralab.kernel import plugins
from ultralab.kernel.errors import RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress

if TYPE_CHECKING:
    from ultralab.experiments.bench import Made, Result, Subject
    from ultralab.experiments.spec import SpecFile
    from ultralab.experiments.trackers.base import Tracker
    from ultralab.experiments.types import Expected
    from ultralab.models import ModelRecord
    from ultralab.monitor import Sampler

Announce = Callable[[Sequence[tuple["Subject", "Expected"]]], None]


def load(lab: Lab, path: Path) -> SpecFile:
    """Read an experiment file; what it leaves open is as the lab's settings say. Raises NotFound, FileAccess, InvalidSpec."""
    from ultralab.experiments.spec import Defaults, load_spec
    from ultralab.models import QUANTIZATIONS

    settings = lab.settings
    defaults = Defaults(
        engine=settings.engines.default,
        context=settings.engines.context,
        threads=settings.engines.threads,
        trackers=settings.experiments.trackers,
    )
    names = [plugin.name for plugin in engine_plugins()]
    return load_spec(path, engines=names, quantizations=QUANTIZATIONS, defaults=defaults)


def run(lab: Lab, path: Path, progress: Progress, announce: Announce = lambda _expected: None) -> Result:
    """Run an experiment file in a lab; ``announce`` gets the predictions. Raises what the rooms raise."""
    from ultralab.experiments.bench import Bench
    from ultralab.experiments.run import run_experiment

    file = load(lab, path)
    bench = Bench(
        home=lab.home,
        machine=lab.machine,
        ledger=lab.ledger,
        engine=engine(file.spec.engine),
        author=lab.author,
        language=lab.language,
        keep=lab.keep,
        trackers=[partial(_tracker, lab, name) for name in file.spec.trackers],
        samplers=_samplers(),
        announce=announce,
    )
    subjects = _subjects(lab, file, progress)
    try:
        result = run_experiment(file, subjects, bench, progress)
    except UltralabError:
        with suppress(UltralabError):  # the models that were made are in the library; the first error counts
            model_verbs.write_pages(lab)
        raise
    model_verbs.write_pages(lab)
    return result


def _subjects(lab: Lab, file: SpecFile, progress: Progress) -> list[Subject]:
    """The reference as it came, then one subject per variant."""
    from ultralab.experiments.bench import Made, Subject
    from ultralab.models.planned import planned_header

    try:
        record = model_verbs.find_or_pull(lab, file.spec.model, progress)
    except RequestError as error:
        raise file.wrong(error.message, "model", hint=error.hint) from error
    path, header = model_verbs.header_of(lab, record)
    if record.quantization in file.spec.variants:
        raise file.wrong(
            _("{title} is {name} already: it is the reference of this experiment.").format(
                title=record.title, name=record.quantization
            ),
            "variants",
            file.spec.variants.index(record.quantization),
            hint=_("Take {name} out of the variants.").format(name=record.quantization),
        )
    trained = header.shape.trained_context
    if 0 < trained < file.spec.options.context:
        raise file.wrong(
            _("{title} was trained for {count} tokens").format(title=record.title, count=trained),
            "options",
            "context",
            hint=_("Give at most {count}.").format(count=trained),
        )
    reference = Made(record, path, header.shape)
    subjects = [Subject(record.quantization, record.title, None, header.shape, lambda _progress: reference)]
    for number, target in enumerate(file.spec.variants):
        try:
            shape = planned_header(path, target).shape
        except RequestError as error:
            raise file.wrong(error.message, "variants", number, hint=error.hint) from error
        subjects.append(Subject(target, record.title, target, shape, partial(_make, lab, record, target)))
    return subjects


def _make(lab: Lab, parent: ModelRecord, target: str, progress: Progress) -> Made:
    from ultralab import models
    from ultralab.experiments.bench import Made

    record = models.quantize(lab.library, parent, target, lab.formats, progress, added_by=lab.author)
    path, header = model_verbs.header_of(lab, record)
    return Made(record, path, header.shape)


def _tracker(lab: Lab, name: str) -> Tracker:
    assert name == "mlflow", "the schema of the experiment file allows no other"
    from ultralab.experiments.trackers.mlflow import MlflowTracker

    return MlflowTracker(lab.home / "state" / "mlflow.db", lab.home / "store" / "mlflow_artifacts")


def _samplers() -> list[Callable[[int], Sampler]]:
    group = "ultralab.samplers"
    return [
        cast("Callable[[int], Sampler]", plugins.load(group, plugin.name, _("sampler")))
        for plugin in plugins.installed(group)
    ]
