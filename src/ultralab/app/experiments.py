"""The experiments' verbs: wiring an experiment file to the library, an engine, the ledger, trackers and samplers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ultralab.app import models as model_verbs
from ultralab.app.engines import configured
from ultralab.app.lab import Lab
from ultralab.engines import engine, engine_plugins
from ultralab.kernel import plugins
from ultralab.kernel.errors import InvalidSpec, RequestError, UltralabError, UnknownChoice
from ultralab.kernel.ids import new_id
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.settings import LAB_FILE
from ultralab.system import clock, files

if TYPE_CHECKING:
    from ultralab.experiments.bench import Made, Result, Subject
    from ultralab.experiments.spec import SpecFile
    from ultralab.experiments.trackers.base import Tracker
    from ultralab.experiments.types import Expected
    from ultralab.models import ModelRecord
    from ultralab.models.formats.base import ModelHeader
    from ultralab.monitor import Sampler
    from ultralab.planner.types import ModelShape

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
    if settings.engines.default not in names:  # the fault is in lab.toml, not in the file that leaves it open
        unknown = UnknownChoice.among(_("engine"), settings.engines.default, names)
        problem = unknown.message.rstrip(".。")
        raise InvalidSpec(lab.home / LAB_FILE, problem, field="engines.default", hint=unknown.hint)
    return load_spec(path, engines=names, quantizations=QUANTIZATIONS, defaults=defaults)


def run(lab: Lab, path: Path, progress: Progress, announce: Announce = lambda _expected: None) -> Result:
    """Run an experiment file in a lab; ``announce`` gets the predictions. Raises what the rooms raise."""
    from ultralab.assess.calibration import calibrate
    from ultralab.experiments.bench import Bench
    from ultralab.experiments.run import run_experiment
    from ultralab.models.store.usage import in_use

    file = load(lab, path)
    kept = calibrate.read(lab.home, lab.machine)
    bench = Bench(
        home=lab.home,
        machine=lab.machine,
        ledger=lab.ledger,
        engine=configured(lab, file.spec.engine),
        author=lab.author,
        language=lab.language,
        keep=lab.keep,
        trackers=[partial(_tracker, lab, name) for name in file.spec.trackers],
        samplers=_samplers(),
        announce=announce,
        in_use=partial(in_use, lab.library),
        calibration=kept.calibration if kept else None,
        reading=kept.reading.bytes_per_second if kept else 0.0,
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


def memory_needed(lab: Lab, file: SpecFile) -> int:
    """Bytes that running this file takes at its peak, for a job; 0 where its model would have to be pulled first.

    What is not known beforehand is reserved while it runs, as always. Raises what running it would raise at once:
    InvalidSpec (the model's format, its variants, its context).
    """
    from ultralab import models
    from ultralab.engines.base import LoadOptions
    from ultralab.experiments.expect import expect
    from ultralab.models.pulling.held import pulled_as

    reference = _beside(lab, file.path.parent, file.spec.model)
    try:
        record = pulled_as(lab.library, reference) or models.find(lab.library, reference)
        path, header = model_verbs.header_of(lab, record)
    except UltralabError:
        return 0
    _require_format(file, record)
    _require_sense(file, record, header)
    shapes = [header.shape, *(_planned_shape(file, path, number) for number in range(len(file.spec.variants)))]
    options = LoadOptions(context=file.spec.options.context, threads=file.spec.options.threads)
    loaded = max(
        expect(shape, configured(lab, file.spec.engine), options, lab.machine).memory_bytes for shape in shapes
    )
    making = models.quantization_memory(path) if file.spec.variants else 0
    return max(loaded, making)


def snapshot(lab: Lab, file: SpecFile) -> Path:
    """A copy of an experiment file and its text as they are now, for a job: what is edited until then changes nothing.

    Relative paths of models are found from the folder in which the job runs, which is the file's own.
    Raises DiskFull, FileAccess.
    """
    text = Path(file.spec.quality.text)
    if text.is_absolute():  # it may lie beside its own file only
        return file.path.absolute()
    folder = snapshots(lab) / new_id(clock.now())
    files.write(folder / text, file.quality_text)
    files.write(folder / file.path.name, file.text)
    return folder / file.path.name


def snapshots(lab: Lab) -> Path:
    """Where the copies are."""
    return lab.home / "state" / "detached"


def _subjects(lab: Lab, file: SpecFile, progress: Progress) -> list[Subject]:
    """The reference as it came, then one subject per variant."""
    from ultralab.experiments.bench import Made, Subject

    try:
        record = model_verbs.find_or_pull(lab, _beside(lab, file.path.parent, file.spec.model), progress)
    except RequestError as error:
        raise file.wrong(error.message, "model", hint=error.hint) from error
    _require_format(file, record)
    path, header = model_verbs.header_of(lab, record)
    _require_sense(file, record, header)
    reference = Made(record, path, header.shape)
    subjects = [Subject(record.quantization, record.title, None, header.shape, lambda _progress: reference)]
    for number, target in enumerate(file.spec.variants):
        shape = _planned_shape(file, path, number)
        subjects.append(Subject(target, record.title, target, shape, partial(_make, lab, record, target)))
    return subjects


def _beside(lab: Lab, folder: Path, ref: str) -> str:
    """A relative path is taken from the experiment file's folder where such a file is there, else as it stands.

    A capsule holds the file but not the model: there, the path means the model that was measured.
    """
    given = Path(ref.removeprefix("path:"))
    is_path = ref.startswith("path:") or "/" in ref or ref.endswith(".gguf")
    if not is_path or given.is_absolute():
        return ref
    if ref.partition(":")[0] in {source.scheme for source in lab.sources} - {"path"}:
        return ref
    with suppress(OSError, ValueError):  # a name too long for a file is none
        if (folder / given).exists():
            return str((folder / given).absolute())
    return _measured_in(folder) or ref


def _measured_in(folder: Path) -> str:
    """The reference model of the capsule in ``folder``; empty where there is no capsule, or it measured none."""
    from ultralab.experiments import capsule

    with suppress(UltralabError):
        runs = capsule.read_runs(folder, capsule.read_experiment(folder))
        return next((run.model_ref for run in runs if run.reference), "")
    return ""


def _require_format(file: SpecFile, record: ModelRecord) -> None:
    """The engine loads this model's format, and variants can be made from it."""
    formats = engine(file.spec.engine).formats
    if record.format not in formats:
        raise file.wrong(
            _("{engine} does not load {title}: it is in the format {format}").format(
                engine=file.spec.engine, title=record.title, format=record.format
            ),
            "engine",
            hint=_("{engine} loads: {formats}. Take another engine or another model.").format(
                engine=file.spec.engine, formats=", ".join(sorted(formats))
            ),
        )
    if file.spec.variants and record.format != "gguf":
        raise file.wrong(
            _("{title} is in the format {format}; only GGUF models can be quantized").format(
                title=record.title, format=record.format
            ),
            "variants",
            0,
            hint=_("Leave the variants out, or give a GGUF model."),
        )


def _require_sense(file: SpecFile, record: ModelRecord, header: ModelHeader) -> None:
    """No variant is the reference itself, and the context is one that the model knows."""
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


def _planned_shape(file: SpecFile, path: Path, number: int) -> ModelShape:
    from ultralab.models.conversion.planned import planned_header

    try:
        return planned_header(path, file.spec.variants[number]).shape
    except RequestError as error:
        raise file.wrong(error.message, "variants", number, hint=error.hint) from error


def _make(lab: Lab, parent: ModelRecord, target: str, progress: Progress) -> Made:
    """The variant from the library; where it has to be made first, with a reservation for that."""
    from ultralab import memory, models
    from ultralab.experiments.bench import Made

    record = models.made_before(lab.library, parent, target)
    if record is None:
        amount = models.quantization_memory(models.model_path(lab.library, parent))
        purpose = _("Making {target} of {title}").format(target=target, title=parent.title)
        with memory.held(lab.ledger, amount, purpose):
            record = models.quantize(lab.library, parent, target, lab.formats, progress, added_by=lab.author)
    path, header = model_verbs.header_of(lab, record)
    return Made(record, path, header.shape)


def _tracker(lab: Lab, name: str) -> Tracker:
    assert name == "mlflow", "the schema of the experiment file allows no other"
    from ultralab.experiments.trackers.mlflow import MlflowTracker

    return MlflowTracker(lab.home / "state" / "mlflow.db", lab.home / "store" / "mlflow_artifacts")


def _samplers() -> dict[str, Callable[[int], Sampler]]:
    """Every registered sampler by name; imported when it is opened, so that a broken one breaks nothing else."""
    return {plugin.name: partial(_sampler, plugin.name) for plugin in plugins.installed("ultralab.samplers")}


def _sampler(name: str, pid: int) -> Sampler:
    opening = cast("Callable[[int], Sampler]", plugins.load("ultralab.samplers", name, _("sampler")))
    return opening(pid)
