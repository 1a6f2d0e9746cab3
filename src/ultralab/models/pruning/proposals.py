"""Which models to propose for deletion, and in which order. Pure: what is known comes in, proposals come out.

Three classes, after how a model comes back: ``refetchable`` (its source has it, as far as is known), ``derived`` (the
lineage can make it again), ``neither`` (this is the last copy; the proposal says so).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from ultralab.kernel.language import _, ngettext
from ultralab.models.types import ModelRecord

Class = Literal["refetchable", "derived", "neither"]
Kind = Literal["model", "unfinished", "damaged"]

_RANKS: Final[Mapping[Kind, int]] = {"damaged": 0, "unfinished": 1, "model": 2}
_FRESH: Final = timedelta(days=1)
"""A file under way that somebody wrote to within this time may be under way still."""


@dataclass(frozen=True)
class Candidate:
    """A model, and what is known about doing without it.

    ``frees``: for each volume's name, the bytes there that this model alone uses: nothing for what belongs to another
    tool (adopted) or is shared with other models. ``touched``: when it was last used, or added if that was later.
    ``refetchable``: whether its source has the same bytes: None where nobody asked. ``remakeable``: whether the lineage
    can make it again from what is here. ``better``: the reference of a better quantization of the same model that is
    here. ``keep``: its owner protects it. ``in_use``: a process has it loaded.
    """

    record: ModelRecord
    frees: Mapping[str, int]
    touched: datetime | None
    refetchable: bool | None
    remakeable: bool = False
    better: str = ""
    keep: bool = False
    in_use: bool = False


@dataclass(frozen=True)
class Remnant:
    """Bytes that are no model: a download or conversion that did not end, or a file that was found damaged.

    ``paths`` are what would go, ``label`` what people call it, ``changed`` when somebody last wrote to it.
    """

    kind: Literal["unfinished", "damaged"]
    label: str
    paths: tuple[str, ...]
    volume: str
    size: int
    changed: datetime


@dataclass(frozen=True)
class Proposal:
    """Something that could go. ``what`` is a model's reference or a remnant's label; ``frees`` bytes by volume.

    ``reasons`` are sentences in the user's language; ``warning`` is not empty where something would be lost for good.
    ``certain``: its source was asked, or the lineage holds; ``needed``: without it the wanted space is not reached.
    ``back``: how to get it back.
    """

    kind: Kind
    what: str
    class_: Class
    frees: Mapping[str, int]
    reasons: tuple[str, ...]
    back: str
    warning: str = ""
    certain: bool = False
    needed: bool = False
    record: ModelRecord | None = None
    remnant: Remnant | None = None

    @property
    def freed(self) -> int:
        """Bytes on all volumes."""
        return sum(self.frees.values())

    @property
    def reason(self) -> str:
        """All that speaks for and against it, in one line."""
        return " ".join(text for text in (*self.reasons, self.warning) if text)


def proposals(
    models: Sequence[Candidate],
    remnants: Sequence[Remnant] = (),
    *,
    now: datetime,
    free: Mapping[str, int],
    wanted: int,
    age_days: int,
) -> tuple[Proposal, ...]:
    """What could go, best first: damaged and unfinished files, then models that come back, those a better quantization
    of which is here before others, by bytes times days without use; last copies at the end.

    ``free`` is each volume's free space, ``wanted`` what should be free on each of them, in bytes. What was touched
    within ``age_days``, is kept by its owner, is in use, or would free nothing is not proposed; neither is a model
    whose last use nobody knows.
    """
    age = timedelta(days=age_days)
    ordered = sorted(
        (one for one in models if _may_go(one, now, age)),
        key=lambda one: (_class(one) == "neither", not one.better, -_weight(one, now), one.record.ref),
    )
    rest = sorted(
        (one for one in remnants if one.kind == "damaged" or now - one.changed >= _FRESH),
        key=lambda one: (_RANKS[one.kind], -one.size, one.label),
    )
    found = [*(_of_remnant(one) for one in rest), *_of_models(ordered, now)]
    return _needed(found, free, wanted)


def better_of(record: ModelRecord, known: Iterable[ModelRecord]) -> str:
    """The reference of the best version of the same model in the same format with more bits per weight; else empty."""
    better = [
        other
        for other in known
        if (other.name, other.format) == (record.name, record.format)
        and other.bits_per_weight > record.bits_per_weight
        and not other.unsafe
    ]
    return max(better, key=lambda other: (other.bits_per_weight, other.ref)).ref if better else ""


def way_back(record: ModelRecord) -> str:
    """How a deleted model comes back, as a command: its reference with its revision, or its derivation."""
    if record.derived is not None:
        made = record.derived
        options = f" ({text})" if (text := made.get("options", "")) else ""
        return f"{made['tool']} {made['tool_version']}: {made['parent']} → {made['quantization']}{options}"
    revision = f" ({record.revision})" if record.revision and record.revision not in record.source else ""
    return f"ultralab models pull {record.source}{revision}"


def _may_go(one: Candidate, now: datetime, age: timedelta) -> bool:
    return (
        not one.keep
        and not one.in_use
        and sum(one.frees.values()) > 0
        and one.touched is not None
        and now - one.touched >= age
    )


def _class(one: Candidate) -> Class:
    if one.record.derived is not None:
        return "derived" if one.remakeable else "neither"
    return "neither" if one.refetchable is False else "refetchable"


def _days(one: Candidate, now: datetime) -> int:
    return max((now - one.touched).days, 0) if one.touched else 0


def _weight(one: Candidate, now: datetime) -> int:
    return sum(one.frees.values()) * (_days(one, now) + 1)


def _of_models(ordered: Sequence[Candidate], now: datetime) -> list[Proposal]:
    parents = {one.record.derived["parent_sha256"] for one in ordered if one.record.derived is not None}
    proposed = {one.record.sha256 for one in ordered}
    return [_of_model(one, now, parents, proposed, {other.record.ref for other in ordered}) for one in ordered]


def _of_model(one: Candidate, now: datetime, parents: set[str], proposed: set[str], refs: set[str]) -> Proposal:
    record = one.record
    class_ = _class(one)
    days = _days(one, now)
    reasons = [ngettext("Not used for {days} day.", "Not used for {days} days.", days).format(days=days)]
    if one.better:
        better = _("A better quantization is here: {ref}.").format(ref=one.better)
        if one.better in refs:
            better = _("{ref} is a better quantization and is proposed too: keep one of the two.").format(
                ref=one.better
            )
        reasons.append(better)
    reasons.append(_comes_back(one, class_))
    if record.sha256 in parents:
        reasons.append(_("Others that are proposed too are made from it."))
    warning = _warning(one, class_)
    if record.derived is not None and class_ == "derived" and record.derived["parent_sha256"] in proposed:
        warning = _("Its source {parent} is proposed too: without it, this cannot be made again.").format(
            parent=record.derived["parent"]
        )
    return Proposal(
        kind="model",
        what=record.ref,
        class_=class_,
        frees=one.frees,
        reasons=tuple(text for text in reasons if text),
        back=way_back(record),
        warning=warning,
        certain=class_ == "derived" or one.refetchable is True,
        record=record,
    )


def _comes_back(one: Candidate, class_: Class) -> str:
    if class_ == "derived" and one.record.derived is not None:
        return _("It can be made again from {parent}.").format(parent=one.record.derived["parent"])
    if class_ == "refetchable" and one.refetchable:
        return _("It can be fetched again: {source}.").format(source=one.record.source)
    if class_ == "refetchable":
        return _("It came from {source}; nobody asked whether it is still there.").format(source=one.record.source)
    return ""


def _warning(one: Candidate, class_: Class) -> str:
    if class_ != "neither":
        return ""
    if one.record.derived is not None:
        return _("This is the last copy: {parent}, from which it was made, is not here.").format(
            parent=one.record.derived["parent"]
        )
    return _("This is the last copy: it cannot be fetched again from {source}.").format(source=one.record.source)


def _of_remnant(one: Remnant) -> Proposal:
    if one.kind == "damaged":
        reason = _("This file was found damaged and set aside.")
        back = _("Pull or make its model again.")
    else:
        reason = _("Something was downloaded or made here and did not end, last on {date}.").format(
            date=one.changed.date().isoformat()
        )
        back = _("Pull or make it again from the beginning.")
    frees = {one.volume: one.size}
    return Proposal(one.kind, one.label, "neither", frees, (reason,), back, certain=True, remnant=one)


def _needed(found: Iterable[Proposal], free: Mapping[str, int], wanted: int) -> tuple[Proposal, ...]:
    """Mark those without which the wanted space is not reached, in their order."""
    left = {volume: wanted - have for volume, have in free.items()}
    marked: list[Proposal] = []
    for proposal in found:
        needed = any(left.get(volume, 0) > 0 for volume, size in proposal.frees.items() if size)
        if needed:
            for volume, size in proposal.frees.items():
                left[volume] = left.get(volume, 0) - size
        marked.append(replace(proposal, needed=needed))
    return tuple(marked)
