"""What pulling needs of the lab: tokens and addresses, limits, and whether a model will fit into memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.system import environ

if TYPE_CHECKING:
    from ultralab.models.formats.base import Limits, ModelHeader
    from ultralab.models.pulling.plan import FitCheck, Pulling
    from ultralab.models.sources.base import Access


def access(lab: Lab) -> Access:
    """Tokens, asked for when they are needed, and the addresses of hubs: a variable's, the default, then mirrors."""
    from ultralab.models.sources.base import Access
    from ultralab.secrets import token_for

    @lru_cache
    def token(realm: str) -> str:
        return token_for(lab.secrets, realm) if realm else ""

    return Access(token, _endpoints(lab))


def _endpoints(lab: Lab) -> Mapping[str, tuple[str, ...]]:
    from ultralab.models.sources.huggingface import DEFAULT as HUB
    from ultralab.models.sources.modelscope import DEFAULT as MODELSCOPE

    mirrors: dict[str, list[str]] = {}
    for text in lab.settings.models.mirrors:
        realm, _equals, address = text.partition("=")
        mirrors.setdefault(realm, []).append(address.rstrip("/"))
    own = {"hf": (environ.read("HF_ENDPOINT") or HUB).rstrip("/"), "modelscope": MODELSCOPE}
    return {realm: (own[realm], *mirrors.get(realm, ())) for realm in own} | {
        realm: tuple(found) for realm, found in mirrors.items() if realm not in own
    }


def limits(lab: Lab) -> Limits:
    """What headers may cost here."""
    from ultralab.models.formats.base import Limits

    return Limits(tensors=lab.settings.models.max_tensors)


def pulling(lab: Lab, volume: str | None = None) -> Pulling:
    """How this lab pulls."""
    from ultralab.models.pulling.plan import Pulling

    return Pulling(
        access=access(lab),
        limits=limits(lab),
        connections=lab.settings.models.connections,
        fit=lambda header: fit(lab, header),
        volume=volume,
    )


def fit(lab: Lab, header: ModelHeader) -> FitCheck:
    """Whether a model will fit into what models may take here, at the context that the settings name.

    Where the planner knows an upper bound only, weights that are too large by themselves are a no, else nobody can say.
    """
    from ultralab.assess.engines import MEMORY, engine_for
    from ultralab.assess.plan import fits
    from ultralab.models.pulling.plan import FitCheck
    from ultralab.planner import Demand

    limit, context = _memory(lab.settings.memory.reserve), lab.settings.engines.context
    weights = header.shape.loaded_bytes
    try:
        memory = MEMORY[engine_for(header.format)](header.shape, Demand(context))
    except Unsupported as error:
        return FitCheck(None, error.message, weights, limit)
    judged = fits(memory, limit)
    sentence = {
        True: _("fits: {needed} needed at {context} tokens of context, models may take {limit}"),
        False: _("does not fit: {needed} needed at {context} tokens of context, models may take {limit}"),
        None: _("the weights take {weights} of {limit}; what a context adds is not known for {architecture}"),
    }[judged]
    said = sentence.format(
        needed=format_bytes(memory.total),
        context=context,
        limit=format_bytes(limit),
        weights=format_bytes(weights),
        architecture=header.shape.architecture,
    )
    return FitCheck(judged, said, memory.total, limit)


@lru_cache
def _memory(reserve: int) -> int:
    """Bytes that models may take, by the ledger; this machine's bandwidth, which may have to be measured, says nothing here."""
    from ultralab.app.lab import machine_ledger
    from ultralab.machine import read_machine

    return machine_ledger(read_machine(measure=False), reserve).limit
