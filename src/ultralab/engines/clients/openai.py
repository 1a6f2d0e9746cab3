"""A client for OpenAI's dialect, as llama.cpp, vLLM, LM Studio, exo and our own engines speak it.

Source: OpenAI's API reference (chat completions, completions, embeddings, models), and where servers differ from it,
their own documentation, named where it matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ultralab.engines.clients import answers, openai_stream
from ultralab.engines.clients.unable import Unable
from ultralab.engines.types import About, Ask, Capability, Endpoint, Health, Piece
from ultralab.kernel.errors import EngineFailed
from ultralab.system import clock

if TYPE_CHECKING:
    import httpx

CAPABILITIES: Final[frozenset[Capability]] = frozenset({"chat", "completion", "embeddings", "tools"})
"""What the dialect can ask for. No server says which of these a model can do."""

_VERSIONED: Final = re.compile(r"^https?://[^/]+/(.+/)?v\d+[a-z0-9]*(/|$)")
_CONTEXT: Final = ("max_model_len", "loaded_context_length", "context_length", "context_window", "n_ctx")


class OpenAIClient(Unable):
    """Talks to one server. Implements ``engines.base.Client`` as far as the dialect goes.

    The endpoint's address may end with ``/v1`` or not; one that names a version anywhere (Zhipu's ``/api/paas/v4``, Google's
    ``/v1beta/openai``) is taken as it is. Redirects are not followed: the key belongs to one address.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._root, self._version = parted(endpoint.base_url)
        self._http: httpx.Client = answers.client(self._root, endpoint.secret)
        self._counts = True  # whether the server lets itself be asked for token counts

    def health(self, timeout: float) -> Health:
        """Whether it answers; the dialect has no way to ask how busy it is."""
        path = f"{self._version}/models"
        with (
            answers.explained(path),
            answers.client(self._root, self._endpoint.secret, timeout=timeout) as asking,
            asking.stream("GET", path) as answer,
        ):
            answers.require_success(answer)
        return Health(0, 0.0)

    def about(self) -> About:
        """What the list of models says of this one: its context, where the server tells it."""
        listed = self.models()
        mine = [one for one in listed if one.get("id") == self._endpoint.model] or listed[:1]
        return About(context_of(mine[0]) if mine else 0, 1, CAPABILITIES)

    def models(self, timeout: float = 30) -> list[dict[str, Any]]:
        """What the server serves: the objects of ``/v1/models``, each with an ``id``. ``timeout``: seconds of silence."""
        path = f"{self._version}/models"
        with answers.explained(path):
            found = answers.object_of(self._http.get(path, timeout=timeout))["data"]
            return [{**one, "id": str(one["id"])} for one in found]

    def stream(self, ask: Ask) -> Iterator[Piece]:
        """An answer as it comes; see :func:`openai_stream.pieces` for where its timings come from.

        Token counts are asked for (``stream_options``); a server that refuses that very field is asked again without it.
        With a ``prompt`` and without ``max_tokens`` some servers stop early: vLLM's default there is 16 tokens.
        """
        path = self._version + ("/chat/completions" if ask.messages else "/completions")
        body = {**self._named(), **body_of(ask)}
        try:
            yield from self._stream(path, body)
        except EngineFailed as error:
            if not (self._counts and _is_about_counts(error)):
                raise
            self._counts = False  # refused before anything was generated
            yield from self._stream(path, body)

    def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """A vector of unit length for each text."""
        if not texts:
            return ()
        path = f"{self._version}/embeddings"
        with answers.explained(path):
            body = {**self._named(), "input": list(texts), "encoding_format": "float"}
            found = answers.object_of(self._http.post(path, json=body))["data"]
            ordered = sorted(found, key=lambda one: int(one["index"]))
            if len(ordered) != len(texts):
                raise ValueError(f"{len(ordered)} != {len(texts)}")
            return tuple(answers.unit(one["embedding"]) for one in ordered)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _named(self) -> dict[str, str]:
        return {"model": self._endpoint.model} if self._endpoint.model else {}

    def _stream(self, path: str, body: Mapping[str, Any]) -> Iterator[Piece]:
        asked = {**body, "stream": True, **({"stream_options": {"include_usage": True}} if self._counts else {})}
        with answers.explained(path):
            begun = clock.monotonic()
            # Some servers end the connection after a stream without saying so: a pooled one would fail next time.
            with self._http.stream("POST", path, json=asked, headers={"Connection": "close"}) as answer:
                answers.require_success(answer)
                if answer.headers.get("content-type", "").startswith("application/json"):
                    answer.read()
                    yield from openai_stream.whole(answers.object_of(answer), clock.monotonic, begun)
                else:
                    yield from openai_stream.pieces(answers.lines(answer), clock.monotonic, begun)


def body_of(ask: Ask) -> dict[str, Any]:
    """A request's body without the model's name.

    What OpenAI documents of the sampling is always sent, neutral values too: a server's own defaults need not be neutral
    (vLLM takes the model's ``generation_config.json``, llama.cpp's ``top_p`` is 0.95). ``top_k``, ``min_p`` and the repeat
    penalty are not OpenAI's own, which refuses fields that it does not know: they are sent where they are not neutral,
    else the server's default counts. llama.cpp and LM Studio call the last one ``repeat_penalty``, vLLM and mlx_lm
    ``repetition_penalty``: both are sent.
    """
    drawn = ask.sampling
    body: dict[str, Any] = {"messages": [dict(one) for one in ask.messages]} if ask.messages else {"prompt": ask.prompt}
    body |= {
        "temperature": drawn.temperature,
        "top_p": drawn.top_p,
        "presence_penalty": drawn.presence_penalty,
        "frequency_penalty": drawn.frequency_penalty,
    }
    optional: tuple[tuple[str, Any, bool], ...] = (
        ("max_tokens", ask.max_tokens, ask.max_tokens > 0),
        ("stop", list(ask.stop), bool(ask.stop)),
        ("tools", [dict(one) for one in ask.tools], bool(ask.tools)),
        ("seed", drawn.seed, drawn.seed is not None),
        ("top_k", drawn.top_k, drawn.top_k > 0),
        ("min_p", drawn.min_p, drawn.min_p > 0),
        ("repeat_penalty", drawn.repeat_penalty, drawn.repeat_penalty != 1),
        ("repetition_penalty", drawn.repeat_penalty, drawn.repeat_penalty != 1),
    )
    return body | {name: value for name, value, given in optional if given}


def parted(base_url: str) -> tuple[str, str]:
    """The address, and what stands before the dialect's paths there: ``/v1``, or nothing where it names a version itself."""
    root = base_url.rstrip("/").removesuffix("/v1").rstrip("/")
    return root, "" if _VERSIONED.search(root) else "/v1"


def context_of(model: Mapping[str, Any]) -> int:
    """Tokens of context that an entry of ``/v1/models`` tells; 0 where it does not.

    ``max_model_len`` is vLLM's, ``meta.n_ctx`` llama.cpp's, ``loaded_context_length`` LM Studio's.
    """
    meta = model.get("meta")
    for place in (model, meta if isinstance(meta, Mapping) else {}):
        for name in _CONTEXT:
            value = place.get(name)
            if isinstance(value, int) and value > 0:
                return value
    return 0


def _is_about_counts(error: EngineFailed) -> bool:
    return error.data.get("status") in (400, 422) and any(
        name in error.message for name in ("stream_options", "include_usage")
    )
