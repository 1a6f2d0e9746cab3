"""Advice: which quantization of a model, in which engine, with which context, on a machine, and why.

The rule is in :mod:`choice`, what is said about it in :mod:`reasons`, what would help further in :mod:`changes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ultralab.assess.advice.changes import better_ones, changes_for, machines_needed
from ultralab.assess.advice.choice import choose, holds, usable
from ultralab.assess.advice.quality import Loss, known_loss
from ultralab.assess.advice.reasons import reasons
from ultralab.assess.advice.types import Advice, Candidate, Means, Row, Wish
from ultralab.assess.types import Place, Question
from ultralab.kernel.errors import RequestError, UltralabError, UnknownChoice, Unsupported
from ultralab.kernel.language import N_, _
from ultralab.models.formats.base import ModelHeader
from ultralab.planner.types import Demand

_EXACT = N_("the bytes of the tensors that the header lists")


def of_header(name: str, header: ModelHeader, ref: str = "") -> Candidate:
    """A model whose header was read, as something that could be loaded."""
    names = tuple(one for one in (name, header.title, *header.base_models) if one)
    return Candidate(name, header.format, header.quantization, header.shape, names, 0.0, _EXACT, ref or name)


def advise(
    name: str,
    candidates: Sequence[Candidate],
    place: Place,
    wish: Wish,
    means: Means,
    *,
    contexts: Iterable[int] = (),
    measured: Sequence[Loss] = (),
) -> Advice:
    """Compare candidates (of one model) on a machine. ``contexts``: further ones for the table; ``measured``: the lab's own.

    Pure; some milliseconds. Raises RequestError for a wish that nothing can be, and where there is no candidate,
    Unsupported or UnknownChoice where no engine can keep its cache in the types that are wished for.
    """
    require_sensible(wish)
    if not candidates:
        raise RequestError(
            _("There is no quantization of {name} to compare.").format(name=name),
            hint=_("Name a model of the library, a file, or a well-known model: ultralab plan fits lists them."),
        )
    lengths = sorted({wish.context, *contexts})
    asked = [
        (candidate, context, engine)
        for candidate in candidates
        for engine in means.engines(candidate.format)
        for context in lengths
    ]
    rows = _rows(asked, place, wish, means, measured)
    wanted = [one for one in rows if one.question.demand.context == wish.context]
    chosen = choose(wanted, wish)
    smallest = min(wanted, key=lambda one: one.needed, default=None)
    return Advice(
        name=name,
        place=place,
        wish=wish,
        rows=rows,
        chosen=chosen,
        why=reasons(chosen, wanted, place, wish),
        changes=better_ones(wanted, chosen, place, wish) if chosen else changes_for(wanted, place, wish, means),
        machines=machines_needed(chosen or smallest, place, wish) if smallest else None,
    )


def require_sensible(wish: Wish) -> None:
    """Raises RequestError for a context, a speed or a margin that cannot be."""
    problems = (
        (_("the context"), wish.context, 1, 100_000_000),
        (_("the prompt"), wish.prompt, 1, 100_000_000),
        (_("the number of sequences"), wish.sequences, 1, 256),
        (_("the speed"), wish.least_decode, 0, 100_000),
    )
    for what, value, least, most in problems:
        if not least <= value <= most:
            raise RequestError(
                _("{what} is {value}; it must be from {least} to {most}.").format(
                    what=what, value=value, least=least, most=most
                ),
                hint=_("Give a number that a model could be loaded with."),
            )


def _rows(
    asked: Sequence[tuple[Candidate, int, str]], place: Place, wish: Wish, means: Means, measured: Sequence[Loss]
) -> tuple[Row, ...]:
    """The lines of the table, without those whose engine cannot keep its cache as wished; where it is all, the error."""
    rows: list[Row] = []
    refused: UltralabError | None = None
    for candidate, context, engine in asked:
        try:
            rows.append(row(candidate, context, engine, place, wish, means, measured))
        except (Unsupported, UnknownChoice) as error:
            refused = error
    if refused and not rows:
        raise refused
    return tuple(rows)


def row(
    candidate: Candidate, context: int, engine: str, place: Place, wish: Wish, means: Means, measured: Sequence[Loss] = ()
) -> Row:  # fmt: skip
    """One line of the table. Raises Unsupported, UnknownChoice (a type of cache that the engine does not have)."""
    question = Question(demand_of(wish, context), engine, min(wish.prompt, context))
    memory = means.memory(candidate.shape, question.demand, engine)
    decode, prefill, ttft = means.speeds(candidate.shape, question, candidate.quantization)
    needed = round(memory.total * (1 + memory.error_band) + memory.weights.bytes * candidate.size_band)
    return Row(
        candidate=candidate,
        question=question,
        memory=memory,
        needed=needed,
        fits=holds(place.limit_bytes, needed, memory),
        tight=usable(place.limit_bytes, wish) < needed <= place.limit_bytes,
        decode=decode,
        prefill=prefill,
        ttft=ttft,
        loss=known_loss((*candidate.names, candidate.name), candidate.quantization, measured),
    )


def demand_of(wish: Wish, context: int) -> Demand:
    """How the wish would be loaded, with that context."""
    return Demand(context, wish.sequences, key_type=wish.key_type, value_type=wish.value_type)
