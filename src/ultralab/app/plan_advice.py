"""Advice, the ranking of well-known models, the guide, and calibration, wired to this lab."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from ultralab.app.lab import Lab
from ultralab.app.plan_measured import losses, samples
from ultralab.app.plan_questions import calibration, place
from ultralab.app.plan_subjects import subject
from ultralab.kernel.errors import NotFound, RequestError, UltralabError, UnknownChoice
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.settings import is_lab
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.assess.advice.types import Candidate, Means, Wish
    from ultralab.assess.calibration.engine_run import Subject
    from ultralab.assess.known.models import KnownModel
    from ultralab.assess.types import Place
    from ultralab.engines.base import Engine
    from ultralab.models import ModelRecord

CONTEXTS = (8_192, 32_768, 131_072)


def advise(lab: Lab, ref: str, wish: Wish, machine: str) -> dict[str, Any]:
    """A table of what could be loaded of one model, and a choice. Raises what reading its header raises."""
    from ultralab.assess.advice import advise as advice
    from ultralab.assess.advice.data import to_data

    name, candidates = _candidates(lab, ref)
    contexts = [one for one in CONTEXTS if one <= max(wish.context, _trained(candidates))]
    where = place(lab, machine)
    found = advice.advise(name, candidates, where, wish, means(lab, where), contexts=contexts, measured=_losses(lab))
    return to_data(found)


def fits(lab: Lab, wish: Wish, machine: str) -> dict[str, Any]:
    """The well-known large models on a machine, the best first."""
    from ultralab.assess.advice import fits as ranking

    where = place(lab, machine)
    return ranking.to_data(ranking.fits(where, means(lab, where), wish, measured=_losses(lab)), where, wish)


def write_guide(lab: Lab, wish: Wish, machine: str) -> tuple[str, ...]:
    """Bring ``models/large_models.md`` up to date, and commit it; the pages that changed. Raises FileAccess, InvalidSpec."""
    from ultralab.assess.advice import guide

    if not is_lab(lab.home):
        raise NotFound(
            _("There is no lab in {home} to write the guide to.").format(home=lab.home),
            hint=_("Make one: ultralab init {home} — or name another with --home.").format(home=quote(str(lab.home))),
        )
    where = place(lab, machine)
    changed = guide.write_guide(
        lab.home, where, means(lab, where), lab.language, lab.author, clock.now().date().isoformat(),
        wish, measured=losses(lab),
    )  # fmt: skip
    lab.keep([lab.home / path for path in changed], "Update the guide to large models")
    return changed


def means(lab: Lab, where: Place) -> Means:
    """The planner for a machine, as advice asks it."""
    from ultralab.assess.advice.means import means_of

    return means_of(where, calibration(lab, where.name)[0])


def calibrate(lab: Lab, progress: Progress) -> dict[str, Any]:
    """Measure this machine, keep it in the lab. Raises NotFound (no lab), OutOfMemory, EngineFailed, DiskFull."""
    from ultralab.assess.calibration import calibrate as room

    if not is_lab(lab.home):
        raise NotFound(
            _("There is no lab in {home} to keep a calibration in.").format(home=lab.home),
            hint=_("Make one: ultralab init {home} — or name another with --home.").format(home=quote(str(lab.home))),
        )
    runs = _runs(lab)
    if not runs:
        progress.say(_("The library has no small model in GGUF: only memory is measured."))
    kept = room.calibrate(
        lab.home, lab.machine, runs, ledger=lab.ledger, log=lab.home / "state" / "calibrate.log",
        measured=samples(lab), progress=progress,
    )  # fmt: skip
    return {
        "made": kept.made,
        "chip": kept.hardware.chip,
        "nominal_bandwidth": kept.hardware.bandwidth or None,
        "measured_bandwidth": kept.reading.bytes_per_second or None,
        "measured_by": kept.reading.by,
        "disturbed": kept.disturbed,
        "samples": [
            {
                "model": one.model,
                "engine": one.engine,
                "prompt": one.prompt_tokens,
                "decode_tok_s": one.decode_tok_s or None,
                "prefill_tok_s": one.prefill_tok_s or None,
                "source": one.source,
            }
            for one in kept.samples
        ],
        "path": str(room.path_of(lab.home)),
    }


def _losses(lab: Lab) -> tuple[Any, ...]:
    return losses(lab) if is_lab(lab.home) else ()


def _trained(candidates: tuple[Candidate, ...]) -> int:
    return max(one.shape.trained_context for one in candidates)


def _candidates(lab: Lab, ref: str) -> tuple[str, tuple[Candidate, ...]]:
    """A well-known model by name, every variant of a library model, or what one reference is."""
    from ultralab.assess.advice.advise import of_header
    from ultralab.assess.advice.fits import candidates_of

    if (records := _variants(lab, ref)) and len(records) > 1:
        return records[0].name, tuple(_of_record(lab, record) for record in records)
    if not records and not Path(ref).expanduser().exists() and (known := _known(ref)):
        return known.name, candidates_of(known)
    with subject(lab, ref) as found:
        return found.name, (of_header(found.name, found.header, ref),)


def _variants(lab: Lab, ref: str) -> tuple[ModelRecord, ...]:
    from ultralab import models

    if Path(ref).expanduser().exists() or not is_lab(lab.home):
        return ()
    named = tuple(record for record in models.records(lab.library) if record.name == ref)
    if named:
        return named
    try:
        return (models.find(lab.library, ref),)
    except UltralabError:
        return ()


def _of_record(lab: Lab, record: ModelRecord) -> Candidate:
    from ultralab.app.models import header_of
    from ultralab.assess.advice.advise import of_header

    return of_header(record.title, header_of(lab, record)[1], record.ref)


def _known(ref: str) -> KnownModel | None:
    """A well-known model; None for what is a reference to a source. Raises UnknownChoice for what is neither."""
    from ultralab.assess.known import models as known

    try:
        return known.find(ref)
    except UnknownChoice as error:
        if ":" in ref or "/" in ref or ref.lower().endswith(".gguf"):
            return None
        raise RequestError(
            _("{ref!r} is no model of the library, no file, no reference and no well-known model.").format(ref=ref),
            hint=error.hint or _("“ultralab plan fits” lists the well-known ones."),
            ref=ref,
        ) from error


_SMALL = 2 * 1024**3


def _runs(lab: Lab) -> list[tuple[Engine, Subject]]:
    """The lab's engine with the smallest GGUF model that is there, if both are."""
    from ultralab import engines, models
    from ultralab.app.models import header_of
    from ultralab.assess.calibration.engine_run import Subject

    engine = engines.engine(lab.settings.engines.default)
    here = [one for one in models.records(lab.library) if one.format in engine.formats and one.size <= _SMALL]
    for record in sorted(here, key=lambda one: one.size):
        try:
            path, header = header_of(lab, record)
        except UltralabError:  # on a volume that is away
            continue
        if engine.availability().ready:
            return [(engine, Subject(path, record.title, header.shape, header.quantization))]
    return []
