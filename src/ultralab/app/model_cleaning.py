"""What could go when space is short, and letting it go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab
from ultralab.app.model_access import access
from ultralab.app.model_catalog import duration
from ultralab.app.model_catalog import size as size_of
from ultralab.app.models import write_pages
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_
from ultralab.kernel.progress import Progress
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.models import ModelRecord
    from ultralab.models.pruning.cleaning import Act
    from ultralab.models.pruning.proposals import Candidate, Proposal


def proposals(
    lab: Lab, *, free: str | None = None, unused_for: str | None = None, only: str | None = None
) -> tuple[Proposal, ...]:
    """What could go, best first. With ``free``, only what is needed for so much free space on each volume.

    Raises RequestError (a size or a time that is none).
    """
    from ultralab.models.pruning.candidates import free_space, remnants
    from ultralab.models.pruning.proposals import proposals as judge

    wanted = lab.settings.models
    days = wanted.prune_age if unused_for is None else duration(unused_for).days
    known = candidates(lab)
    if only is not None:  # before it is judged what is needed: else too little would be
        known = tuple(one for one in known if (one.record.derived is not None) == (only == "derived"))
    found = judge(
        known,
        remnants(lab.library) if only is None else (),
        now=clock.now(),
        free=free_space(lab.library),
        wanted=wanted.prune_free if free is None else size_of(free),
        age_days=days,
    )
    return tuple(one for one in found if (only is None or one.class_ == only) and (free is None or one.needed))


def candidates(lab: Lab) -> tuple[Candidate, ...]:
    """Every model, with what is known about doing without it."""
    from ultralab import models
    from ultralab.models.pruning import candidates as leftovers
    from ultralab.models.store.usage import last_used

    known, tools = models.records(lab.library), models.available_tools()
    return leftovers.candidates(
        lab.library,
        last_used=last_used(lab.library),
        remakeable=lambda record: models.can_remake(known, record, tools),
    )


def apply(lab: Lab, chosen: Sequence[Proposal], progress: Progress) -> tuple[Act, ...]:
    """Delete what was proposed; what became of each."""
    from ultralab.models.pruning import cleaning

    acts = cleaning.apply(lab.library, chosen, progress)
    if not all(act.error for act in acts):
        write_pages(lab)
    return acts


def standing(lab: Lab, progress: Progress) -> tuple[Act, ...]:
    """Delete what ``lab.toml`` allows without asking, and no more."""
    from ultralab.models.pruning import cleaning
    from ultralab.models.pruning.candidates import free_space

    wanted = lab.settings.models
    acts = cleaning.standing(
        lab.library,
        cleaning.rules_for(wanted.prune, wanted.prune_age, wanted.prune_free),
        free=lambda: free_space(lab.library),
        look=lambda: candidates(lab),
        verify_refetch=lambda record: _comes_back(lab, record),
        progress=progress,
    )
    if not all(act.error for act in acts):
        write_pages(lab)
    return acts


def _comes_back(lab: Lab, record: ModelRecord) -> bool:
    """Whether the source, asked now, still has exactly these bytes; a source that gives no hashes proves nothing."""
    from ultralab.models.pulling.pull import choose_source

    try:
        source, rest = choose_source(record.source, lab.sources)
        resolution = source.resolve(rest, access(lab))
    except UltralabError:
        return False
    offered = {file.name: file for file in resolution.files}
    if record.source_sha256:
        return any(file.sha256 == record.source_sha256 for file in resolution.files)
    same_revision = bool(record.revision) and record.revision == resolution.version
    for file in record.files:
        there = offered.get(file.name)
        if there is None or there.size not in (None, file.size):
            return False
        if there.sha256.lower() != file.sha256 and not (not there.sha256 and same_revision):
            return False
    return True


def space_check(lab: Lab) -> Check:
    """For doctor: is there space on the disks, and if not, what could go?"""
    return Check("models.space", N_("There is free space on the disks of models"), lambda: _space(lab))


def _space(lab: Lab) -> Finding:
    from ultralab.models.pruning.candidates import free_space
    from ultralab.models.pruning.cleaning import low_space_finding

    free, wanted = free_space(lab.library), lab.settings.models.keep_free
    offered = proposals(lab) if any(size < wanted for size in free.values()) else ()
    return low_space_finding(offered, free, wanted)
