"""Running an experiment: predict every variant, then make, load, measure and record one after the other; report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from ultralab.engines import choice, host
from ultralab.engines.base import LoadOptions, ModelFile, TokenScore
from ultralab.experiments import capsule
from ultralab.experiments.bench import Bench, Result, Subject
from ultralab.experiments.expect import expect
from ultralab.experiments.measure import measure
from ultralab.experiments.report import write_report
from ultralab.experiments.sampling import sampled
from ultralab.experiments.session import Session, begin
from ultralab.experiments.spec import SpecFile
from ultralab.experiments.trackers.base import Tracker
from ultralab.experiments.types import Expected, Status
from ultralab.kernel.errors import DiskFull, Interrupted, InvalidSpec, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.system import clock


def run_experiment(file: SpecFile, subjects: Sequence[Subject], bench: Bench, progress: Progress) -> Result:
    """Measure every subject (the reference first) and write the report.

    One failed run does not stop the others; the first failure is raised at the end, when everything is recorded.
    A full disk, a mistake in the file and Ctrl-C stop at once, with what was measured recorded and the run marked.
    Raises what the engine raises, DiskFull, Interrupted, InvalidSpec.
    """
    choice.require_ready(bench.engine)
    options = LoadOptions(
        file.spec.options.context, file.spec.options.threads or bench.machine.performance_cores, file.spec.seed
    )
    expected = _expected(file, subjects, bench, options)
    bench.announce([(subject, expected[subject.label]) for subject in subjects])
    warnings: list[str] = []
    session = begin(file, subjects, bench, expected, options, warnings)
    try:
        problem = _run_all(session, subjects, progress, warnings)
    except Exception as error:
        session.end("failed", repr(error))
        raise
    return _finish(session, problem, progress, warnings)


def _expected(file: SpecFile, subjects: Sequence[Subject], bench: Bench, options: LoadOptions) -> dict[str, Expected]:
    """By label: what the planner says, with the cache as full as it is in the middle of the speed measurement."""
    cached = file.spec.speed.prompt_tokens + file.spec.speed.generated_tokens // 2
    return {
        subject.label: expect(
            subject.shape,
            bench.engine,
            options,
            bench.machine,
            bench.calibration,
            reading=bench.reading,
            cached=cached,
        )
        for subject in subjects
    }


def _run_all(
    session: Session, subjects: Sequence[Subject], progress: Progress, warnings: list[str]
) -> UltralabError | None:
    """Every run in turn; the first problem, if any."""
    problem: UltralabError | None = None
    reference: tuple[TokenScore, ...] | None = None
    try:
        trackers = _open_trackers(session.bench, progress, warnings)
        for subject in subjects:
            try:
                scores = _one_run(session, subject, reference, progress, warnings)
                reference = reference or (scores if subject.target is None else None)
            except UltralabError as error:
                if isinstance(error, (Interrupted, DiskFull, InvalidSpec)):
                    raise
                problem = problem or error
                progress.say(_("{label} failed: {problem}").format(label=subject.label, problem=error.message))
            finally:
                _track(session, subject.label, trackers, warnings)
    except KeyboardInterrupt:
        return Interrupted()
    except (Interrupted, DiskFull, InvalidSpec) as error:
        return error
    return problem


def _one_run(
    session: Session,
    subject: Subject,
    reference: tuple[TokenScore, ...] | None,
    progress: Progress,
    warnings: list[str],
) -> tuple[TokenScore, ...]:
    label = subject.label
    progress.say("")
    progress.say(_("{label}, the reference").format(label=label) if subject.target is None else label)
    try:
        session.change(label, status="running", started=clock.now().isoformat())
        scores = _measure_run(session, subject, reference, progress, warnings)
    except KeyboardInterrupt as error:
        stopped = Interrupted()
        session.mark(label, "interrupted", stopped.message)
        raise stopped from error
    except UltralabError as error:
        session.mark(label, "failed", error.message)
        raise
    except Exception as error:
        session.mark(label, "failed", repr(error))  # a fault of ours: the records end in order all the same
        raise
    return scores


def _measure_run(
    session: Session,
    subject: Subject,
    reference: tuple[TokenScore, ...] | None,
    progress: Progress,
    warnings: list[str],
) -> tuple[TokenScore, ...]:
    bench, folder = session.bench, session.run_folder(subject.label)
    capsule.write_provenance(folder, session.experiment.provenance)
    made = subject.make(progress)
    session.made(subject.label, made.record)

    def record(name: str, value: float, step: int) -> None:
        capsule.append_reading(folder, name, value, step)

    request = host.Request(
        ModelFile(made.path, f"{made.record.title} {subject.label}", made.record.format, made.shape), session.options
    )
    with ExitStack() as stack:
        log = folder / "engine.log"
        stack.enter_context(bench.in_use(made.record))
        model = stack.enter_context(host.loaded(bench.engine, request, ledger=bench.ledger, log=log, progress=progress))
        stack.enter_context(sampled(bench.samplers, model.pid, folder, warnings))
        known: Sequence[TokenScore] | Literal["self"] | None = "self" if subject.target is None else reference
        spec, text = session.file.spec, session.file.quality_text
        try:
            outcome = measure(model, spec, text, reference=known, record=record, progress=progress)
        except RequestError as error:
            raise session.file.wrong(error.message, "quality", "tokens", hint=error.hint) from error
    capsule.write_scores(folder, outcome.scores)
    session.change(
        subject.label,
        status="finished",
        ended=clock.now().isoformat(),
        measured=outcome.measured,
        engine_version=model.version,
    )
    return outcome.scores


def _open_trackers(bench: Bench, progress: Progress, warnings: list[str]) -> list[Tracker]:
    trackers = []
    for opening in bench.trackers:
        with progress.step(_("Opening the experiment tracker")):
            try:
                trackers.append(opening())
            except UltralabError as error:
                warnings.append(error.message)
    return trackers


def _track(session: Session, label: str, trackers: Sequence[Tracker], warnings: list[str]) -> None:
    """Tell the trackers of a run that has ended. Their failure is a warning: the capsule has everything."""
    run, folder = session.runs[label], session.run_folder(label)
    for tracker in trackers:
        try:
            tracker.record_run(session.experiment, run, list(capsule.readings(folder)), folder)
        except UltralabError as error:
            warnings.append(error.message)


def _finish(session: Session, problem: UltralabError | None, progress: Progress, warnings: list[str]) -> Result:
    """End the records, write the report, commit; then raise the problem, if there was one."""
    status: Status = "finished"
    if problem:
        status = "interrupted" if isinstance(problem, Interrupted) else "failed"
    try:
        session.end(status, problem.message if problem else "")
        runs = tuple(session.runs.values())
        with progress.step(_("Writing the report")):
            written = write_report(session.folder, session.experiment, runs, session.bench.language)
    except UltralabError as error:
        raise problem or error from error
    message = f"End experiment {session.experiment.kind} {session.experiment.id}: {status}"
    refusal = session.bench.keep(_readable_files(session.folder), message)
    if refusal and refusal not in warnings:  # git may have said so at the beginning already
        warnings.append(refusal)
    if problem:
        for warning in warnings:  # there is no result that could carry them
            progress.say(warning)
        recorded = _("What was measured is recorded: {folder}").format(folder=session.folder)
        problem.hint = f"{problem.hint} {recorded}".lstrip()
        raise problem
    return Result(session.folder, session.experiment, runs, written.markdown, written.html, tuple(warnings))


def _readable_files(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".log")
