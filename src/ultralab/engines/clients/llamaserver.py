"""A client for llama.cpp's server dialect (``/completion``, ``/tokenize``, ``/v1/chat/completions``).

Source of the fields: llama.cpp ``tools/server/README.md``. Connections carry a bearer secret and never use a proxy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ultralab.engines.clients.unable import Unable
from ultralab.engines.types import Endpoint, Generation, Timings, TokenScore
from ultralab.kernel.errors import EngineFailed, FetchFailed
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.system import clock, http

if TYPE_CHECKING:
    import httpx

_FORCE = 100.0  # added to the wanted token's logit: it wins against any model's favourite
_SAME = 1e-4  # two readings of one log-probability; float32 noise is below


class LlamaServerClient(Unable):
    """Talks to one llama.cpp server. Implements ``engines.base.Client``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._http: httpx.Client = http.loopback_client(endpoint.base_url, endpoint.secret)
        self._trusted = False

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Tokens with the special ones the model wants at its start."""
        with _explained("/tokenize"):
            answer = self._post("/tokenize", {"content": text, "add_special": True})
            return tuple(int(token) for token in answer["tokens"])

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
            "stream": True,
        }
        pieces: list[str] = []
        arrivals: list[float] = []
        timings: Mapping[str, Any] = {}
        with _explained("/completion"):
            begun = clock.monotonic()
            # The server ends the connection after a stream without saying so: a pooled one would fail next time.
            with self._http.stream("POST", "/completion", json=body, headers={"Connection": "close"}) as answer:
                _require_success(answer)
                for line in answer.iter_lines():
                    if not line.startswith("data: "):
                        continue
                    chunk = json.loads(line[6:])
                    fresh = int(chunk.get("tokens_predicted", 0)) - len(arrivals)
                    arrivals.extend([clock.monotonic() - begun] * fresh)
                    pieces.append(chunk.get("content", ""))
                    timings = chunk.get("timings", timings)
            if len(arrivals) != count or not timings:
                raise EngineFailed(
                    _("The engine gave {got} of {wanted} tokens.").format(got=len(arrivals), wanted=count),
                    hint=_("The prompt and the answer must fit into the context."),
                )
            return Generation("".join(pieces), tuple(arrivals), _timings(timings))

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """One request per position, the prefix taken from the server's cache.

        The wanted token is forced by a bias on its logit, so that the answer holds its log-probability. This server
        reports it as it was before the bias; the first position is asked twice, with two biases, to prove that.
        """
        for position in range(1, len(tokens)):
            score = self._score_next(tokens[:position], tokens[position], _FORCE)
            if not self._trusted:
                again = self._score_next(tokens[:position], tokens[position], 2 * _FORCE)
                if abs(again.logprob - score.logprob) > _SAME:
                    raise EngineFailed(
                        _("This llama.cpp reports log-probabilities after the bias: texts cannot be scored with it."),
                        hint=_("Use the embedded engine (llamacpp) or another version of llama-server."),
                    )
                self._trusted = True
            yield score

    def chat(self, messages: Sequence[Mapping[str, str]], max_tokens: int) -> str:
        """One greedy answer through the OpenAI dialect."""
        body = {"messages": [dict(message) for message in messages], "max_tokens": max_tokens, "temperature": 0}
        with _explained("/v1/chat/completions"):
            content = self._post("/v1/chat/completions", body)["choices"][0]["message"]["content"]
            if not isinstance(content, str):
                raise TypeError(content)
            return content

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _score_next(self, prefix: Sequence[int], wanted: int, bias: float) -> TokenScore:
        body = {
            "prompt": list(prefix),
            "n_predict": 1,
            "n_probs": 1,
            "temperature": 0,
            "cache_prompt": True,
            "logit_bias": [[wanted, bias]],
        }
        with _explained("/completion"):
            given = self._post("/completion", body)["completion_probabilities"][0]
            logprob = _number(given["logprob"])
            if given["id"] != wanted:
                raise EngineFailed(
                    _("The engine gave token {got} where {wanted} was forced.").format(got=given["id"], wanted=wanted),
                    hint=_("Texts cannot be scored with this engine."),
                )
            return TokenScore(wanted, logprob, int(given["top_logprobs"][0]["id"]))

    def _post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The answer, for use inside :func:`_explained`: a field that is missing is the engine's fault, too."""
        answer = self._http.post(path, json=body)
        _require_success(answer)
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn transport errors and malformed answers into EngineFailed."""
    try:
        with http.explained(path):
            yield
    except FetchFailed as error:
        raise EngineFailed(_("The engine does not answer: {reason}").format(reason=error.message)) from error
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise EngineFailed(
            _("The engine's answer to {path} cannot be read: {error!r}").format(path=path, error=error)
        ) from error


def _number(logprob: object) -> float:
    """A log-probability; JSON has no NaN, so the server writes null for one."""
    found = math.nan if logprob is None else float(str(logprob))
    if not math.isfinite(found):
        raise EngineFailed(
            _("The model's output is not a number: its weights are probably damaged."),
            hint=_("Check the files: ultralab models verify. If they are whole, this model or variant is unusable."),
        )
    return found


def _require_success(answer: httpx.Response) -> None:
    if answer.status_code == 200:
        return
    answer.read()
    try:
        reason = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        reason = answer.text or str(answer.status_code)
    raise EngineFailed(
        _("The engine refused the request: {reason}").format(reason=printable(reason)), status=answer.status_code
    )


def _timings(found: Mapping[str, Any]) -> Timings:
    return Timings(
        cached_tokens=int(found["cache_n"]),
        prompt_tokens=int(found["prompt_n"]),
        prompt_ms=float(found["prompt_ms"]),
        generated_tokens=int(found["predicted_n"]),
        generated_ms=float(found["predicted_ms"]),
    )
