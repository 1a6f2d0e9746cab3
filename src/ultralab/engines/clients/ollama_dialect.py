"""Ollama's dialect, without I/O: what is asked becomes a body, lines become :class:`Piece`.

Source: ollama ``docs/api.md`` and ``api/types.go`` (version 0.33).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ultralab.engines.clients import failures
from ultralab.engines.clients.answers import count, reason_in
from ultralab.engines.types import Ask, Message, Piece, Sampling, Timings, ToolCall
from ultralab.kernel.errors import EngineFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable

KEEP_ALIVE: Final = "1h"
"""How long Ollama holds a model after a request: as long as that it stays where its owner was killed, and no longer."""


def body_of(ask: Ask, model: str) -> tuple[str, dict[str, Any]]:
    """The path and the body of a request. Raises Unsupported (a message holds what Ollama does not take), EngineFailed.

    ``truncate`` and ``shift`` are off: a prompt that is too long is refused, not shortened (an older Ollama does not know
    them, and shortens).
    """
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "keep_alive": KEEP_ALIVE,
        "truncate": False,
        "shift": False,
        "options": _options(ask),
    }
    if ask.messages:
        body["messages"] = messages_of(ask.messages)
        if ask.tools:
            body["tools"] = [dict(one) for one in ask.tools]
        return "/api/chat", body
    if not ask.prompt:  # Ollama takes it for the wish to load the model
        raise EngineFailed(
            _("Ollama goes on with a text only: the prompt is empty."), hint=_("Give it a text to go on with.")
        )
    return "/api/generate", {**body, "prompt": ask.prompt, "raw": True}


def messages_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A conversation in OpenAI's form as Ollama wants it. Raises Unsupported: a picture that is only an address."""
    names: dict[str, str] = {}
    return [_message(one, names) for one in messages]


def pieces(lines: Iterable[str]) -> Iterator[Piece]:
    """The answer in a stream of JSON lines; the last piece has ``finish`` and Ollama's own timings.

    Raises EngineFailed for an error in the stream and for one that ends in the middle, ValueError, TypeError and the like
    for what cannot be read.
    """
    calls: list[ToolCall] = []
    for line in lines:
        if not line:
            continue
        chunk = json.loads(line)
        if reason := reason_in(chunk):
            raise failures.broke_off(reason)
        message = chunk.get("message") or {}
        calls += [_call(one, len(calls) + at) for at, one in enumerate(message.get("tool_calls") or ())]
        text = str(chunk.get("response") or message.get("content") or "")
        reasoning = str(chunk.get("thinking") or message.get("thinking") or "")
        if text or reasoning:
            yield Piece(text=text, reasoning=reasoning)
        if chunk.get("done"):
            finish = str(chunk.get("done_reason") or "stop")
            yield Piece(calls=tuple(calls), finish="tool_calls" if calls else finish, timings=timings_of(chunk))
            return
    raise failures.cut_off()


def timings_of(found: Mapping[str, Any]) -> Timings:
    """Ollama's account of a request (durations in nanoseconds).

    It does not tell how much of the prompt came from its cache: all tokens are in ``prompt_tokens``, the time is that of
    the computed ones.
    """
    return Timings(
        cached_tokens=0,
        prompt_tokens=count(found, "prompt_eval_count"),
        prompt_ms=count(found, "prompt_eval_duration") / 1e6,
        generated_tokens=count(found, "eval_count"),
        generated_ms=count(found, "eval_duration") / 1e6,
    )


def _options(ask: Ask) -> dict[str, Any]:
    """Every sampling value, neutral ones too: Ollama's own defaults are not neutral."""
    drawn: Sampling = ask.sampling
    options: dict[str, Any] = {
        "num_predict": ask.max_tokens or -1,
        "temperature": drawn.temperature,
        "top_p": drawn.top_p,
        "top_k": drawn.top_k,
        "min_p": drawn.min_p,
        "typical_p": 1.0,
        "repeat_penalty": drawn.repeat_penalty,
        "presence_penalty": drawn.presence_penalty,
        "frequency_penalty": drawn.frequency_penalty,
    }
    if ask.stop:
        options["stop"] = list(ask.stop)
    if drawn.seed is not None:
        options["seed"] = drawn.seed
    return options


def _message(message: Message, names: dict[str, str]) -> dict[str, Any]:
    """One message; ``names`` remembers which tool each call was for."""
    text, images = _content(message.get("content"))
    made: dict[str, Any] = {"role": message["role"], "content": text}
    if images:
        made["images"] = images
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        made["thinking"] = thought
    if calls := message.get("tool_calls"):
        made["tool_calls"] = [
            {"function": {"name": one["function"]["name"], "arguments": _object(one["function"].get("arguments"))}}
            for one in calls
        ]
        names |= {str(one["id"]): str(one["function"]["name"]) for one in calls if one.get("id")}
    if message["role"] == "tool":
        asked = str(message.get("tool_call_id") or "")
        if name := message.get("name") or names.get(asked):
            made["tool_name"] = name
        if asked:
            made["tool_call_id"] = asked
    return made


def _content(content: object) -> tuple[str, list[str]]:
    """Text and pictures (base64) of a message's content: a text, or a list of parts."""
    if content is None or isinstance(content, str):
        return content or "", []
    texts: list[str] = []
    images: list[str] = []
    for part in content if isinstance(content, Sequence) else ():
        if part.get("type") == "text":
            texts.append(str(part["text"]))
            continue
        address = str((part.get("image_url") or {}).get("url", ""))
        head, comma, data = address.partition(",")
        if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
            raise Unsupported(
                _("Ollama takes no message part of the kind {kind!r}.").format(
                    kind=printable(str(part.get("type")), 40)
                ),
                hint=_("It takes texts, and pictures that the message itself holds (data:image/…;base64,…)."),
            )
        images.append(data)
    return "\n".join(texts), images


def _object(arguments: object) -> object:
    """A call's arguments: JSON text in OpenAI's form, an object in Ollama's."""
    return json.loads(arguments or "{}") if isinstance(arguments, str) else (arguments or {})


def _call(found: Mapping[str, Any], number: int) -> ToolCall:
    function = found["function"]
    arguments = function.get("arguments") or {}
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(str(found.get("id") or f"call_{number}"), str(function["name"]), text)
