"""Teacher forcing with a server that only generates: one token at a time, the wanted one forced by a bias.

Source of the fields: llama.cpp ``tools/server/README.md``, ``/completion`` (``n_probs``, ``logit_bias``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ultralab.engines.types import TokenScore
from ultralab.kernel.errors import EngineFailed
from ultralab.kernel.language import _

BIAS: Final = 100.0
"""Added to the wanted token's logit: it wins against any model's favourite."""


def request(prefix: Sequence[int], wanted: int, bias: float) -> dict[str, object]:
    """What to ask for: one token after ``prefix``, which the server's cache mostly holds already."""
    return {
        "prompt": list(prefix),
        "n_predict": 1,
        "n_probs": 1,
        "temperature": 0,
        "cache_prompt": True,
        "logit_bias": [[wanted, bias]],
    }


def score_in(answer: Mapping[str, Any], wanted: int) -> TokenScore:
    """The wanted token's score in an answer. Raises EngineFailed; KeyError and the like for what cannot be read."""
    given = answer["completion_probabilities"][0]
    logprob = finite(given["logprob"])
    if given["id"] != wanted:
        raise EngineFailed(
            _("The engine gave token {got} where {wanted} was forced.").format(got=given["id"], wanted=wanted),
            hint=_("Texts cannot be scored with this engine."),
        )
    return TokenScore(wanted, logprob, int(given["top_logprobs"][0]["id"]))


def finite(logprob: object) -> float:
    """A log-probability; JSON has no NaN, so a server writes null for one. Raises EngineFailed for what is no number."""
    found = math.nan if logprob is None else float(str(logprob))
    if not math.isfinite(found):
        raise EngineFailed(
            _("The model's output is not a number: its weights are probably damaged."),
            hint=_("Check the files: ultralab models verify. If they are whole, this model or variant is unusable."),
        )
    return found
