"""A client for llama.cpp's server: its own dialect beside OpenAI's.

Source of paths and fields: llama.cpp ``tools/server/README.md``. Connections carry a bearer secret and never use a proxy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ultralab.engines.clients import answers, forcing
from ultralab.engines.clients.openai import OpenAIClient, body_of
from ultralab.engines.clients.openai_stream import llamacpp_timings
from ultralab.engines.clients.slots import Observer, latest, rows
from ultralab.engines.types import (
    About,
    Ask,
    Capability,
    Endpoint,
    Generation,
    Health,
    Message,
    Piece,
    Sampling,
    TokenScore,
    capabilities,
)
from ultralab.kernel.errors import EngineFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.system import clock, http

_SAME = 1e-4  # two readings of one log-probability; float32 noise is below
_NOT_SUPPORTED = 501
_TEXT: tuple[Capability, ...] = ("chat", "completion", "scoring")


class LlamaServerClient(OpenAIClient):
    """Talks to one llama.cpp server. Implements ``engines.base.Client``."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._trusted = False
        self._about: About | None = None
        self._observer = Observer()

    def health(self, timeout: float) -> Health:
        """Whether it answers; how busy it is as its slots say.

        ``/health`` is answered even while the engine computes, ``/slots`` only between two pieces of work: when that
        does not come in time, it is busy with what it was seen at last. Stalled is therefore what was seen from here, from
        one call to the next.
        """
        with http.server_client(self._endpoint.base_url, self._endpoint.secret, timeout=timeout) as asking:
            with answers.explained("/health"), asking.stream("GET", "/health") as answer:
                answers.require_success(answer)
            try:
                with answers.explained("/slots"):
                    found = asking.get("/slots")
                    answers.require_success(found)
                    return self._observer.seen(rows(found.json()), clock.monotonic())
            except EngineFailed as error:
                if "status" in error.data or isinstance(error.__cause__, (TypeError, ValueError, AttributeError)):
                    raise
                return self._observer.silent(clock.monotonic())

    def about(self) -> About:
        """What the server says of its model; whether it gives embeddings it only says when it is asked for one."""
        if self._about is None:
            with answers.explained("/props"):
                found = self._get("/props")
                context = int(found["default_generation_settings"]["n_ctx"])
                template = str(found.get("chat_template") or "")
                self._about = About(context, int(found["total_slots"]), self._able(found), template)
        return self._about

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Tokens with the special ones the model wants at its start."""
        with answers.explained("/tokenize"):
            answer = self._post("/tokenize", {"content": text, "add_special": True})
            return tuple(int(token) for token in answer["tokens"])

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of tokens; special ones are written out."""
        with answers.explained("/detokenize"):
            return _text(self._post("/detokenize", {"tokens": list(tokens)})["content"])

    def template(self, messages: Sequence[Message]) -> str:
        """The prompt that the chat template makes of a conversation."""
        with answers.explained("/apply-template"):
            return _text(self._post("/apply-template", {"messages": [dict(one) for one in messages]})["prompt"])

    def generate(self, prompt: Sequence[int], count: int, seed: int) -> Generation:
        """Stream a greedy generation and note when each token arrives.

        The server holds a token back until its characters are whole (an emoji or a Chinese character may take
        several tokens): those arrive together, as its running count of tokens says.
        """
        body = {
            "prompt": list(prompt),
            "n_predict": count,
            "seed": seed,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
            "return_tokens": True,
            "stream": True,
        }
        pieces: list[str] = []
        tokens: list[int] = []
        arrivals: list[float] = []
        timings: Mapping[str, Any] = {}
        with answers.explained("/completion"):
            begun = clock.monotonic()
            # The server ends the connection after a stream without saying so: a pooled one would fail next time.
            with self._http.stream("POST", "/completion", json=body, headers={"Connection": "close"}) as answer:
                answers.require_success(answer)
                for line in answers.lines(answer):
                    if not line.startswith("data: "):
                        continue
                    chunk = json.loads(line[6:])
                    fresh = int(chunk.get("tokens_predicted", 0)) - len(arrivals)
                    arrivals.extend([clock.monotonic() - begun] * fresh)
                    pieces.append(chunk.get("content", ""))
                    tokens.extend(int(token) for token in chunk.get("tokens", ()))
                    timings = chunk.get("timings", timings)
            if len(arrivals) != count or not timings:
                raise EngineFailed(
                    _("The engine gave {got} of {wanted} tokens.").format(got=len(arrivals), wanted=count),
                    hint=_("The prompt and the answer must fit into the context."),
                )
            return Generation("".join(pieces), tuple(arrivals), llamacpp_timings(timings), tuple(tokens))

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """One request per position, the prefix taken from the server's cache.

        The wanted token is forced by a bias on its logit, so that the answer holds its log-probability. This server
        reports it as it was before the bias; the first position is asked twice, with two biases, to prove that.
        """
        for position in range(1, len(tokens)):
            score = self._score_next(tokens[:position], tokens[position], forcing.BIAS)
            if not self._trusted:
                again = self._score_next(tokens[:position], tokens[position], 2 * forcing.BIAS)
                if abs(again.logprob - score.logprob) > _SAME:
                    raise EngineFailed(
                        _("This llama.cpp reports log-probabilities after the bias: texts cannot be scored with it."),
                        hint=_("Use the embedded engine (llamacpp) or another version of llama-server."),
                    )
                self._trusted = True
            yield score

    def stream(self, ask: Ask) -> Iterator[Piece]:
        """An answer as it comes. Every field of the sampling is sent: this server's own defaults are not neutral.

        Raises Unsupported for tools where the chat template has no place for them: the server would pass them over.
        """
        able = self.about().capabilities
        if "completion" not in able:
            raise Unsupported(
                _("This model was loaded to give embeddings, not text."), hint=_("Load it without embeddings.")
            )
        if ask.tools and "tools" not in able:
            raise Unsupported(
                _("This model's chat template has no place for tools."),
                hint=_("Use a model that was trained for tools, or give a chat template (chat_template)."),
            )
        path = "/v1/chat/completions" if ask.messages else "/v1/completions"
        yield from self._stream(path, {**body_of(ask), **sampling_of(ask.sampling)})

    def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """A vector of unit length for each text."""
        try:
            return super().embed(texts)
        except EngineFailed as error:
            if error.data.get("status") != _NOT_SUPPORTED:
                raise
            raise Unsupported(
                _("This model was loaded to give text, not embeddings."),
                hint=_("Load it with embeddings = true."),
            ) from error

    def keep(self, name: str) -> int:
        """Write the prompt of the slot that worked last to ``name``; its tokens, 0 where there is none (an empty file)."""
        with answers.explained("/slots"):
            found = self._http.get("/slots")
            answers.require_success(found)
            slot = latest(rows(found.json()))
        return self._slot(slot, "save", name, "n_saved")

    def recall(self, name: str) -> int:
        """Read what :meth:`keep` wrote into the first slot; a prompt that begins alike is given to that slot."""
        return self._slot(0, "restore", name, "n_restored")

    def _slot(self, slot: int, action: str, name: str, count: str) -> int:
        path = f"/slots/{slot}"
        with answers.explained(path):
            try:
                return int(self._post(f"{path}?action={action}", {"filename": name})[count])
            except EngineFailed as error:
                if error.data.get("status") != _NOT_SUPPORTED:
                    raise
                raise Unsupported(
                    _("This model was loaded without a place for prompts on disk."),
                    hint=_("Load it with a prompt cache (prompt_cache)."),
                ) from error

    def _able(self, props: Mapping[str, Any]) -> frozenset[Capability]:
        if self._embeds():
            return capabilities(["embeddings"])
        found: list[str] = list(_TEXT)
        if (props.get("modalities") or {}).get("vision"):
            found.append("vision")
        if (props.get("chat_template_caps") or {}).get("supports_tools"):
            found.append("tools")
        return capabilities(found)

    def _embeds(self) -> bool:
        """Whether it answers a request for an embedding; a server for text refuses at once, without computing."""
        answer = self._http.post("/v1/embeddings", json={"input": "a"})
        if answer.status_code != _NOT_SUPPORTED:
            answers.require_success(answer)
        return answer.status_code == 200

    def _score_next(self, prefix: Sequence[int], wanted: int, bias: float) -> TokenScore:
        with answers.explained("/completion"):
            return forcing.score_in(self._post("/completion", forcing.request(prefix, wanted, bias)), wanted)

    def _post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The answer, for use inside ``answers.explained``: a field that is missing is the engine's fault, too."""
        return answers.object_of(self._http.post(path, json=body))

    def _get(self, path: str) -> dict[str, Any]:
        return answers.object_of(self._http.get(path))


def sampling_of(drawn: Sampling) -> dict[str, Any]:
    """The whole sampling in llama.cpp's words (README, ``/completion``: its defaults are top_k 40, top_p 0.95 …)."""
    return {
        "temperature": drawn.temperature,
        "top_p": drawn.top_p,
        "top_k": drawn.top_k,
        "min_p": drawn.min_p,
        "repeat_penalty": drawn.repeat_penalty,
        "presence_penalty": drawn.presence_penalty,
        "frequency_penalty": drawn.frequency_penalty,
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value
