"""A model in another format: made aside, checked by our reader, judged by tokens, recorded with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileDamaged, ToolFailed, UnknownChoice, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models.bundles import from_path
from ultralab.models.conversion import judge, to_gguf, to_mlx, to_safetensors
from ultralab.models.conversion.base import Options, Plan, Target, Task
from ultralab.models.conversion.derived import already_made, variant_for, work_key
from ultralab.models.conversion.staging import staged_files, staging
from ultralab.models.formats.base import Format, ModelHeader
from ultralab.models.library import Library, add, model_path
from ultralab.models.types import Derivation, ModelRecord, Staged
from ultralab.system import locks

TARGETS: Final[Mapping[str, Target]] = {
    "mlx": to_mlx.TARGET,
    "gguf": to_gguf.TARGET,
    "safetensors": to_safetensors.TARGET,
}
"""What a model can be converted to."""

USUAL: Final = Options()
_JUDGE_SHARE: Final = 1.2  # of the weights: what a runner holds, a short context included
_JUDGE_BASE: Final = 1024**3
_LEFT_BEHIND: Final = (".py", ".pyc", "README.md")  # code, and a card that a converter wrote


def convert(
    library: Library,
    record: ModelRecord,
    to: str,
    formats: Sequence[Format],
    options: Options = USUAL,
    progress: Progress = SILENT,
    *,
    added_by: str = "",
    judged: bool = True,
    accept: bool = False,
) -> ModelRecord:
    """Make ``record`` in the format ``to`` (one of :data:`TARGETS`) and add it to the library.

    The result is asked for the tokens that the source says. Where nothing was rounded (``Plan.lossless``) it must say the
    same, or it is refused, unless ``accept``; where it was, the share is recorded, and is to be ``Plan.least``. A tokenizer
    that was made anew must cut texts as the source does. What could not be judged, and why, is
    recorded too; ``judged`` false leaves it out. What the library already has is returned at once; interrupted, or killed,
    nothing stays but a folder that the next call removes. Raises UnknownChoice, Unsupported, RequestError, ToolFailed,
    Failure (it says something else), FileDamaged, NotFound, DiskFull, Busy.
    """
    plan = planned(record, to, options)
    derived = Derivation(
        parent=record.ref,
        parent_sha256=record.sha256,
        tool=plan.tool,
        tool_version=plan.tool_version,
        quantization=plan.variant,
        options=plan.options,
    )
    key = work_key(derived, plan.variant)
    with locks.exclusive(library.lock(key), _("making {type} of {ref}").format(type=plan.variant, ref=record.ref)):
        if here := already_made(library, derived, any_version=plan.versionless):
            progress.say(_("{ref} is already in the library.").format(ref=here.ref))
            return here
        model_path(library, record)
        with staging(library, key, plan.size) as folder:
            task = Task(library, record, library.folder(record), folder / "model", folder, options, plan, progress)
            TARGETS[to].make(task)
            header = _header(task, formats)
            derived["judged"] = _judge(task, header, accept=accept) if judged else "not judged: left out on request"
            progress.say(_("Judged: {words}").format(words=derived["judged"]))
            return _add(task, header, derived, added_by)


def planned(record: ModelRecord, to: str, options: Options = USUAL) -> Plan:
    """What :func:`convert` would make. Raises UnknownChoice, Unsupported, RequestError."""
    if to not in TARGETS:
        raise UnknownChoice.among(_("format"), to, TARGETS)
    target = TARGETS[to]
    if record.format not in target.sources:
        ways = sorted(name for name, other in TARGETS.items() if record.format in other.sources)
        raise Unsupported(
            _("{ref} is in the format {format}, which cannot be converted to {to}.").format(
                ref=record.ref, format=record.format, to=to
            ),
            hint=_("It can be converted to: {ways}.").format(ways=", ".join(ways) or "-"),
            ref=record.ref,
        )
    return target.plan(record, options)


def converted_before(library: Library, record: ModelRecord, to: str, options: Options = USUAL) -> ModelRecord | None:
    """What :func:`convert` would give back at once, None where it has work to do. Raises what ``planned`` raises."""
    plan = planned(record, to, options)
    derived = Derivation(
        parent=record.ref,
        parent_sha256=record.sha256,
        tool=plan.tool,
        tool_version=plan.tool_version,
        quantization=plan.variant,
        options=plan.options,
    )
    return already_made(library, derived, any_version=plan.versionless)


def conversion_memory(record: ModelRecord, to: str, options: Options = USUAL, *, judged: bool = True) -> int:
    """About what :func:`convert` holds at its peak, bytes: the conversion, then the judge, who loads both whole models one
    after the other. Raises what ``planned`` raises.
    """
    plan = planned(record, to, options)
    if not judged or not judge.runner_for(record.format)[0]:
        return plan.memory
    return max(plan.memory, _JUDGE_BASE + int(_JUDGE_SHARE * max(record.size, plan.size)))


def _header(task: Task, formats: Sequence[Format]) -> ModelHeader:
    """What our reader says of the result. Raises FileDamaged: it is not what was to be made, or has lost something."""
    bundle = from_path(task.to)
    form = next((form for form in formats if form.recognises(bundle)), None)
    # An MLX model that is not quantized is SafeTensors to those who do not look at the metadata.
    wanted = {task.plan.format, "safetensors"} if task.plan.format == "mlx" else {task.plan.format}
    if form is None or form.name not in wanted:
        raise FileDamaged(
            _("{program} did not make what was asked for: {problem}").format(
                program=task.plan.tool,
                problem=_("it is in the format {format}").format(format=form.name if form else "-"),
            ),
            hint=_("Nothing was added."),
        )
    header = form.read_header(bundle)
    before, after = task.record.parameters, header.shape.parameters
    if before and after < before * 0.9:  # tied weights that are stored twice may go
        raise FileDamaged(
            _("{program} did not make what was asked for: {problem}").format(
                program=task.plan.tool,
                problem=_("it has {after} parameters instead of {before}").format(after=after, before=before),
            ),
            hint=_("Nothing was added."),
        )
    return replace(header, format=task.plan.format)


def _judge(task: Task, header: ModelHeader, *, accept: bool) -> str:
    """What the judge found, as it is recorded. Raises Failure, ToolFailed (the result does not even run)."""
    kind, why = judge.runner_for(task.record.format)
    if not kind:
        return f"not judged: {why}"
    result_kind, why = judge.runner_for(task.plan.format)
    if not result_kind:
        return f"not judged: {why}"
    source = task.source if kind == "mlx" else model_path(task.library, task.record)
    try:
        answer = judge.ask_source(kind, source, task.scratch, task.progress)
    except ToolFailed as error:
        return f"not judged: the source does not run here ({error.data.get('program')!s}, {error.data.get('status')})"
    made = task.to if result_kind == "mlx" else task.to / header.entry if header.entry else _only_file(task.to)
    try:
        found = judge.ask_result(result_kind, made, answer, task.scratch, task.progress)
    except ToolFailed:
        if not accept:
            raise
        return "kept anyway: the result does not run here"
    verdict, problem = judge.compare(answer, found), None
    if (task.plan.lossless and not verdict.same) or verdict.share < task.plan.least:
        problem = judge.refusal(task.record.ref, verdict)
    elif kind == "gguf" and (text := judge.cut_otherwise(answer, found)):  # its tokenizer was made anew
        problem = judge.cutting_refusal(task.record.ref, text)
    if problem and not accept:
        raise problem
    return f"kept anyway: {verdict.words}" if problem else verdict.words


def _only_file(folder: Path) -> Path:
    return next(iter(sorted(folder.iterdir())))


def _add(task: Task, header: ModelHeader, derived: Derivation, added_by: str) -> ModelRecord:
    parent = task.record
    variant, replacing = variant_for(task.library, parent, derived, task.plan.variant)
    return add(
        task.library,
        _staged(task),
        header,
        source=f"derived:{parent.ref}",
        added_by=added_by,
        called=parent.name,
        name=parent.name,
        variant=variant,
        title=parent.title,
        licence=parent.licence,
        source_url=parent.source_url,
        derived=derived,
        family=parent.family,
        base_models=parent.base_models,
        replace=replacing,
    )


def _staged(task: Task) -> list[Staged]:
    """The result's files; those that it shares with its parent stay where they are."""
    shared = {file.name: file for file in task.record.files}
    names = sorted(path.relative_to(task.to).as_posix() for path in task.to.rglob("*") if path.is_file())
    kept: list[Staged] = []
    own: list[str] = []
    for name in names:
        if (task.to / name).is_symlink():
            file = shared[name]
            kept.append(Staged(task.library.blobs / file.sha256, name, file.size, file.sha256, kept=True))
        elif not name.endswith(_LEFT_BEHIND):
            own.append(name)
    return [*staged_files(task.to, own, task.progress), *kept]
