"""A client for one model of an Ollama, in Ollama's own dialect: its OpenAI one has no context length and no durations.

How the model is loaded stands in the model that ``engines.ollama`` made of it, so that no request loads it anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ultralab.engines.clients import answers, ollama_dialect
from ultralab.engines.clients.unable import Unable
from ultralab.engines.types import About, Ask, Capability, Endpoint, Health, Piece
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _

if TYPE_CHECKING:
    import httpx

_MEANT: Final[Mapping[str, tuple[Capability, ...]]] = {
    "completion": ("chat", "completion"),
    "tools": ("tools",),
    "vision": ("vision",),
    "embedding": ("embeddings",),
}
"""Ollama's capabilities (``types/model/capability.go``) in ours."""

_CONTEXT: Final = re.compile(r"^num_ctx\s+(\d+)\s*$", re.MULTILINE)


class OllamaClient(Unable):
    """Talks to one model of an Ollama. Implements ``engines.base.Client`` as far as Ollama goes: it shows no tokens."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._http: httpx.Client = answers.client(endpoint.base_url, endpoint.secret)

    def health(self, timeout: float) -> Health:
        """Whether it answers; Ollama has no way to ask how busy it is."""
        with (
            answers.explained("/api/version"),
            answers.client(self._endpoint.base_url, self._endpoint.secret, timeout=timeout) as asking,
        ):
            answers.object_of(asking.get("/api/version"))
        return Health(0, 0.0)

    def about(self) -> About:
        """What Ollama says of the model: the context it was made with, else the one that it was trained with.

        How many requests it serves at once is the server's setting (``OLLAMA_NUM_PARALLEL``), which it does not tell: 1.
        """
        with answers.explained("/api/show"):
            found = answers.object_of(self._http.post("/api/show", json={"model": self._endpoint.model}, timeout=60))
            template = found.get("template") or ""
            return About(context_of(found), 1, capabilities_of(found), str(template))

    def stream(self, ask: Ask) -> Iterator[Piece]:
        """An answer as it comes; a ``prompt`` is given to the model as it is (``raw``)."""
        try:
            path, body = ollama_dialect.body_of(ask, self._endpoint.model)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unsupported(_("The conversation is not in OpenAI's form: {error!r}").format(error=error)) from error
        with (
            answers.explained(path),
            self._http.stream("POST", path, json=body, headers={"Connection": "close"}) as answer,
        ):
            answers.require_success(answer)
            yield from ollama_dialect.pieces(answers.lines(answer))

    def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """A vector of unit length for each text; one that is longer than the context is refused."""
        if not texts:
            return ()
        body = {
            "model": self._endpoint.model,
            "input": list(texts),
            "truncate": False,
            "keep_alive": ollama_dialect.KEEP_ALIVE,
        }
        with answers.explained("/api/embed"):
            vectors = answers.object_of(self._http.post("/api/embed", json=body))["embeddings"]
            if len(vectors) != len(texts):
                raise ValueError(f"{len(vectors)} != {len(texts)}")
            return tuple(answers.unit(vector) for vector in vectors)

    def close(self) -> None:
        """Close the connection; the model stays loaded."""
        self._http.close()


def context_of(shown: Mapping[str, Any]) -> int:
    """Tokens of context in an answer to ``/api/show``: the parameter ``num_ctx``, else the architecture's; 0 unknown."""
    if chosen := _CONTEXT.search(str(shown.get("parameters") or "")):
        return int(chosen[1])
    info = shown.get("model_info") or {}
    trained = info.get(f"{info.get('general.architecture')}.context_length")
    return trained if isinstance(trained, int) else 0


def capabilities_of(shown: Mapping[str, Any]) -> frozenset[Capability]:
    """What a model can do, from an answer to ``/api/show``; before version 0.6.4 Ollama does not say: text."""
    told = shown.get("capabilities")
    if not isinstance(told, list) or not told:
        return frozenset({"chat", "completion"})
    return frozenset(one for name in told for one in _MEANT.get(str(name), ()))
