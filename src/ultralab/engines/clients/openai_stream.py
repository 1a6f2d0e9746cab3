"""OpenAI's streams read: server-sent events become :class:`Piece`. No I/O; a clock is given.

Sources: OpenAI's API reference ("Streaming", "stream_options"); llama.cpp ``tools/server/README.md`` (``timings``,
``reasoning_content``); vLLM "OpenAI-compatible server" and LM Studio's documentation (``reasoning_content`` or
``reasoning``; ``event: error``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ultralab.engines.clients import failures
from ultralab.engines.clients.answers import count, reason_in
from ultralab.engines.types import Piece, Timings, ToolCall
from ultralab.kernel.errors import EngineFailed
from ultralab.kernel.text import printable

_FIELDS: Final = ("event", "id", "retry")  # of a server-sent event, beside its data; none is of interest


def pieces(lines: Iterable[str], now: Callable[[], float], begun: float) -> Iterator[Piece]:
    """The answer in a stream of server-sent events; the last piece has ``finish`` and timings.

    ``now`` gives seconds; the request left at ``begun``. Timings are the engine's own where it sends ``timings`` as
    llama.cpp does; else they are what was seen here, with the token counts of ``usage``, and where that is missing, too,
    each chunk counts as a token and the prompt's tokens are unknown (0). Raises EngineFailed for an error in the stream and
    for one that ends in the middle, ValueError, TypeError and the like for what cannot be read.
    """
    answer = _Answer(now, begun)
    for line in lines:
        if not line or line.startswith(":"):
            continue
        name, _colon, value = line.partition(":")
        if name == "error":  # an older llama.cpp
            raise _refused(json.loads(value))
        if name != "data":
            if name not in _FIELDS:
                raise ValueError(printable(line))
            continue
        if value.strip() == "[DONE]":
            answer.done = True
            break
        if piece := answer.take(json.loads(value)):
            yield piece
    yield answer.last()


def whole(body: Mapping[str, Any], now: Callable[[], float], begun: float) -> Iterator[Piece]:
    """The pieces of an answer that came at once, from a server that does not stream."""
    answer = _Answer(now, begun)
    if piece := answer.take(body):
        yield piece
    yield answer.last()


@dataclass
class _Call:
    """A tool call whose parts are still arriving."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class _Answer:
    """What was seen of one answer so far."""

    now: Callable[[], float]
    begun: float
    first: float = 0.0
    latest: float = 0.0
    ended: float = 0.0
    chunks: int = 0
    finish: str = ""
    done: bool = False
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)
    calls: dict[int, _Call] = field(default_factory=dict)

    def take(self, chunk: Mapping[str, Any]) -> Piece | None:
        """Read one chunk; what it has to show, None for nothing."""
        if reason_in(chunk):
            raise _refused(chunk)
        self.usage = chunk.get("usage") or self.usage
        self.timings = chunk.get("timings") or self.timings
        choices = chunk.get("choices") or []
        if not choices:
            return None
        choice = choices[0]
        self.finish = str(choice.get("finish_reason") or self.finish)
        delta = choice.get("delta") or choice.get("message") or {}
        text = _text(delta.get("content")) or _text(choice.get("text"))
        reasoning = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        calls = delta.get("tool_calls") or []
        for position, call in enumerate(calls):
            self._part(position, call)
        if not (text or reasoning or calls or choice.get("finish_reason")):
            return None
        self.ended = self.now()
        if not (text or reasoning or calls):
            return None
        self.latest = self.ended
        self.first = self.first or self.latest
        self.chunks += 1
        return Piece(text=text, reasoning=reasoning) if text or reasoning else None

    def last(self) -> Piece:
        """What ends the answer."""
        if not (self.finish or self.done):
            raise failures.cut_off()
        calls = tuple(
            ToolCall(call.id or f"call_{index}", call.name, call.arguments or "{}")
            for index, call in sorted(self.calls.items())
        )
        finish = "tool_calls" if calls and self.finish in ("", "stop", "function_call") else self.finish or "stop"
        return Piece(calls=calls, finish=finish, timings=self._timings())

    def _part(self, position: int, part: Mapping[str, Any]) -> None:
        index = part.get("index")
        if index is None:  # some servers send each call whole and do not number them
            index = len(self.calls) if part.get("id") else max(self.calls, default=position)
        call = self.calls.setdefault(int(index), _Call())
        function = part.get("function") or {}
        call.id = call.id or str(part.get("id") or "")
        call.name = call.name or str(function.get("name") or "")
        arguments = function.get("arguments") or ""
        call.arguments += arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)

    def _timings(self) -> Timings:
        if self.timings:
            return llamacpp_timings(self.timings)
        details = self.usage.get("prompt_tokens_details") or {}
        cached = count(details, "cached_tokens")
        counted = count(self.usage, "completion_tokens")  # with the token that ended the text, which shows nothing
        end = (self.ended if counted else self.latest) or self.now()
        return Timings(
            cached_tokens=cached,
            prompt_tokens=max(0, count(self.usage, "prompt_tokens") - cached),
            prompt_ms=1000 * ((self.first or end) - self.begun),
            generated_tokens=counted or self.chunks,
            generated_ms=1000 * (end - (self.first or end)),
            by_engine=False,
        )


def llamacpp_timings(found: Mapping[str, Any]) -> Timings:
    """llama.cpp's own account of a request (its README, ``timings``)."""
    return Timings(
        cached_tokens=count(found, "cache_n"),
        prompt_tokens=int(found["prompt_n"]),
        prompt_ms=float(found["prompt_ms"]),
        generated_tokens=int(found["predicted_n"]),
        generated_ms=float(found["predicted_ms"]),
    )


def _text(value: object) -> str:
    """A text that may be missing or null. Raises TypeError for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value


def _refused(found: Mapping[str, Any]) -> EngineFailed:
    return failures.broke_off(reason_in(found) or json.dumps(found))
