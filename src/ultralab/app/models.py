"""The library's verbs, with the pages that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultralab.app.lab import Lab
from ultralab.app.model_access import fit, limits, pulling
from ultralab.kernel.errors import FetchFailed, NotFound, UltralabError, UnknownChoice
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.kernel.units import format_bytes
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.models import ModelRecord
    from ultralab.models.formats.base import ModelHeader
    from ultralab.models.pulling.plan import PullPlan


def pull(
    lab: Lab,
    ref: str,
    progress: Progress,
    name: str | None = None,
    *,
    variant: str | None = None,
    volume: str | None = None,
    tell: Callable[[PullPlan], None] = lambda _plan: None,
) -> ModelRecord:
    """Bring a model into the library and its pages up to date; ``tell`` gets the plan before any weights are fetched.

    Raises what ``models.pull`` raises.
    """
    from ultralab import models

    record = models.pull(
        lab.library,
        ref,
        lab.formats,
        lab.sources,
        progress,
        name=name,
        variant=variant,
        added_by=lab.author,
        how=pulling(lab, volume),
        told=tell,
    )
    write_pages(lab)
    return record


def plan_pull(
    lab: Lab,
    ref: str,
    progress: Progress,
    *,
    name: str | None = None,
    variant: str | None = None,
    volume: str | None = None,
) -> PullPlan:
    """What pulling would do; no weights are fetched, nothing is written. Raises what ``models.plan_pull`` raises."""
    from ultralab.models.pulling.pull import plan_pull as plan

    return plan(
        lab.library, ref, lab.formats, lab.sources, progress, name=name, variant=variant, how=pulling(lab, volume)
    )


def inspect(lab: Lab, ref: str, progress: Progress) -> dict[str, Any]:
    """What a path, a model of the library or a reference is, from its headers alone; with ``where`` and ``fit``.

    Raises NotFound, RequestError, and what reading headers raises.
    """
    from ultralab import models
    from ultralab.models import bundles
    from ultralab.models.inspect import inspect as look
    from ultralab.models.inspect import to_data
    from ultralab.models.pulling.pull import choose_source

    if not ref.strip():
        choose_source(ref, lab.sources)
    try:
        record = None if Path(ref).expanduser().exists() else models.find(lab.library, ref)
    except NotFound:
        record = None
    if record is not None:
        models.model_path(lab.library, record)
        path = lab.library.folder(record)
        found = look(bundles.from_path(path, limits(lab)), lab.formats)
        where = record.ref
    elif (path := Path(ref).expanduser()).exists():
        found, where = look(bundles.from_path(path, limits(lab)), lab.formats), str(path)
    else:
        choose_source(ref, lab.sources)  # what is neither has the library's near names in no message
        plan = plan_pull(lab, ref, progress)
        if plan.inspection is None:
            raise FetchFailed(plan.unread, hint=_("Its headers cannot be read from afar; pull it to see what it is."))
        found, where = plan.inspection, plan.resolution.ref
    judged = fit(lab, found.header)
    data = to_data(found)
    return {
        "where": where,
        **data,
        "fit": {
            "fits": judged.fits,
            "sentence": judged.sentence,
            "needed_bytes": judged.needed,
            "limit_bytes": judged.limit,
        },
    }


def needs_network(lab: Lab, ref: str, *, name: str | None = None) -> bool:
    """Whether pulling ``ref`` needs the network. Asks nobody, but raises now what is known to be wrong now.

    Raises RequestError (no such source, a name that is none), NotFound (no such file).
    """
    from ultralab.models.names import require_name
    from ultralab.models.pulling.pull import choose_source

    source, rest = choose_source(ref, lab.sources)
    if name is not None:
        require_name(name)
    if source.scheme != "path":
        return True
    source.resolve(rest)
    return False


def find_or_pull(lab: Lab, ref: str, progress: Progress) -> ModelRecord:
    """The model that was pulled from ``ref`` or is called so; else pull it. Needs no network for what is here."""
    from ultralab import models
    from ultralab.models.pulling.held import pulled_as

    if here := pulled_as(lab.library, ref):
        return here
    try:
        return models.find(lab.library, ref)
    except NotFound:
        schemes = {source.scheme for source in lab.sources}
        if ref.partition(":")[0] not in schemes and "/" not in ref and not ref.endswith(".gguf"):
            raise
    return pull(lab, ref, progress)


def header_of(lab: Lab, record: ModelRecord) -> tuple[Path, ModelHeader]:
    """A model's first file and what it says of itself. Raises NotFound, FileDamaged, Unsupported."""
    from ultralab import models
    from ultralab.models.bundles import from_path

    path = models.model_path(lab.library, record)
    for known in lab.formats:
        if known.name == record.format:
            return path, known.read_header(from_path(path, limits(lab)))
    raise UnknownChoice.among(_("model format"), record.format, (known.name for known in lab.formats))


def write_pages(lab: Lab) -> None:
    """Bring ``models/catalog.md`` and the models' own pages up to date with the library, and commit them.

    One process at a time: of two that pull at once, the later one's page must not be the older.
    """
    from ultralab import models
    from ultralab.models.catalog.pages import write_model_pages
    from ultralab.system import locks

    with locks.exclusive(lab.library.lock("pages"), _("the library's pages")):
        measured, experiments = _measured(lab)
        changed = write_model_pages(
            lab.home,
            models.records(lab.library),
            lab.language,
            lab.author,
            clock.now().date().isoformat(),
            measured=measured,
            experiments=experiments,
        )
        metadata = lab.library.metadata.glob("*.json")
        lab.keep([*(lab.home / path for path in changed), *metadata], "Update the model library's pages")


def _measured(lab: Lab) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """For each model reference: its newest measurement in words, and the reports that measured it (lab-relative)."""
    from ultralab.experiments import capsule

    measured: dict[str, str] = {}
    experiments: dict[str, tuple[str, ...]] = {}
    for folder in capsule.capsules(lab.home):
        try:
            runs = capsule.read_runs(folder, capsule.read_experiment(folder))
        except UltralabError:  # a damaged capsule is doctor's business; it must not keep a model from being pulled
            continue
        report = str((folder / "report.md").relative_to(lab.home))
        for run in runs:
            if run.measured:
                experiments[run.model_ref] = (*experiments.get(run.model_ref, ()), report)
                measured[run.model_ref] = _("{decode:.1f} tok/s decode, {prefill:.0f} tok/s prefill, {memory}").format(
                    decode=run.measured.decode_tok_s.median,
                    prefill=run.measured.prefill_tok_s.median,
                    memory=format_bytes(run.measured.memory_bytes),
                )
    return measured, experiments
