"""Answers in OpenAI's dialect and in llama.cpp's own, made. Pure: values in, values for JSON out.

Sources: OpenAI's API reference; llama.cpp ``tools/server/README.md`` (``/completion``, ``timings``).
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ultralab.engines.serving.scheduler import Token
from ultralab.engines.types import Timings, ToolCall

_NONE: Final = -9999.0  # OpenAI's log-probability of what is out of the question; JSON has no infinity


@dataclass(frozen=True)
class Heading:
    """What every part of one answer repeats. ``created``: seconds since the epoch."""

    id: str
    created: int
    model: str


def usage(timings: Timings) -> dict[str, Any]:
    """Token counts; those of the prompt include the cached ones."""
    read = timings.cached_tokens + timings.prompt_tokens
    return {
        "prompt_tokens": read,
        "completion_tokens": timings.generated_tokens,
        "total_tokens": read + timings.generated_tokens,
        "prompt_tokens_details": {"cached_tokens": timings.cached_tokens},
    }


def account(timings: Timings) -> dict[str, Any]:
    """llama.cpp's ``timings``."""
    return {
        "cache_n": timings.cached_tokens,
        "prompt_n": timings.prompt_tokens,
        "prompt_ms": timings.prompt_ms,
        "prompt_per_second": timings.prefill_tok_s,
        "predicted_n": timings.generated_tokens,
        "predicted_ms": timings.generated_ms,
        "predicted_per_second": timings.decode_tok_s,
    }


def chat_chunk(heading: Heading, delta: dict[str, Any], finish: str = "", logprobs: Any = None) -> dict[str, Any]:
    """One part of a streamed chat answer."""
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish or None}
    return {**_head(heading, "chat.completion.chunk"), "choices": [choice]}


def chat_answer(heading: Heading, message: dict[str, Any], finish: str, logprobs: Any) -> dict[str, Any]:
    """A whole chat answer."""
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
    return {**_head(heading, "chat.completion"), "choices": [choice]}


def text_answer(heading: Heading, text: str, finish: str = "", logprobs: Any = None) -> dict[str, Any]:
    """A completion, whole or one part of a stream (OpenAI gives both the same form)."""
    choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish or None}
    return {**_head(heading, "text_completion"), "choices": [choice]}


def with_counts(body: dict[str, Any], timings: Timings) -> dict[str, Any]:
    """A last part or whole answer, with its token counts and timings."""
    return {**body, "usage": usage(timings), "timings": account(timings)}


def calls(found: Sequence[ToolCall], first: int, numbered: bool) -> list[dict[str, Any]]:
    """Tool calls, with their ``index`` in a stream; ``first`` is the number of the first one."""
    return [
        {
            **({"index": number} if numbered else {}),
            "id": call.id or f"call_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(found, first)
    ]


def chat_logprobs(tokens: Sequence[Token], top: int, shown: Callable[[int], str]) -> dict[str, Any]:
    """Log-probabilities as chat answers hold them."""
    return {
        "content": [
            {
                **_entry(token.token, token.logprob, shown),
                "top_logprobs": [_entry(one, logprob, shown) for one, logprob in token.top[:top]],
            }
            for token in tokens
        ]
    }


def text_logprobs(tokens: Sequence[Token], top: int, shown: Callable[[int], str]) -> dict[str, Any]:
    """Log-probabilities as completions hold them."""
    return {
        "tokens": [shown(token.token) for token in tokens],
        "token_logprobs": [_finite(token.logprob) for token in tokens],
        "top_logprobs": [{shown(one): _finite(logprob) for one, logprob in token.top[:top]} for token in tokens],
    }


def native(text: str, tokens: Sequence[int], timings: Timings, stop: str | None, word: str = "") -> dict[str, Any]:
    """One part of llama.cpp's ``/completion``; ``stop``: None while it goes on, then ``eos``, ``limit`` or ``word``."""
    body: dict[str, Any] = {
        "index": 0,
        "content": text,
        "tokens": list(tokens),
        "stop": stop is not None,
        "id_slot": 0,
        "tokens_predicted": timings.generated_tokens,
        "tokens_evaluated": timings.cached_tokens + timings.prompt_tokens,
    }
    if stop is None:
        return body
    return {**body, "stop_type": stop, "stopping_word": word, "truncated": False, "timings": account(timings)}


def embeddings(heading: Heading, vectors: Sequence[Sequence[float]], read: int, packed: bool) -> dict[str, Any]:
    """Vectors; ``packed``: as base64 of little-endian 32-bit floats. ``read``: tokens of all texts."""
    data = [
        {"object": "embedding", "index": number, "embedding": _packed(vector) if packed else list(vector)}
        for number, vector in enumerate(vectors)
    ]
    counts = {"prompt_tokens": read, "total_tokens": read}
    return {"object": "list", "data": data, "model": heading.model, "usage": counts}


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _entry(token: int, logprob: float, shown: Callable[[int], str]) -> dict[str, Any]:
    text = shown(token)
    return {"id": token, "token": text, "bytes": list(text.encode()), "logprob": _finite(logprob)}


def _finite(logprob: float) -> float | None:
    """None for what the framework did not tell; JSON has no NaN and no infinity."""
    return None if math.isnan(logprob) else max(logprob, _NONE)


def _head(heading: Heading, kind: str) -> dict[str, Any]:
    return {"id": heading.id, "object": kind, "created": heading.created, "model": heading.model}
