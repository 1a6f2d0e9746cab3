"""Requests in OpenAI's dialect, read. Pure. Unknown fields are ignored; known ones that cannot be done are refused.

Source: OpenAI's API reference (chat completions, completions, embeddings). ``top_k``, ``min_p`` and the repeat penalty
are what llama.cpp's and vLLM's servers add to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ultralab.engines.serving import fields
from ultralab.engines.serving.fields import Body, Refused
from ultralab.engines.types import Message, Sampling

_MANY: Final = 2**31 - 1
_MOST_TOP: Final = 20  # OpenAI's own limit for top_logprobs


@dataclass(frozen=True)
class Wanted:
    """How an answer is wanted. ``max_tokens`` 0: as many as fit. ``top``: log-probabilities of each token and of so
    many likeliest ones; None for none. ``counts``: token counts after a stream, too.
    """

    sampling: Sampling
    max_tokens: int = 0
    stop: tuple[str, ...] = ()
    stream: bool = False
    counts: bool = False
    top: int | None = None
    model: str = ""
    past_end: bool = False
    reuse: bool = True


@dataclass(frozen=True)
class Chat:
    """A conversation to go on with, and how."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    wanted: Wanted


def chat(body: Body, seed: int) -> Chat:
    """A body of ``/v1/chat/completions``; ``seed`` is for a request that gives none. Raises Refused."""
    fields.only(body, "functions", [])
    fields.only(body, "tool_choice", "auto", "none")
    fields.only(body, "modalities", ["text"])
    top = fields.whole(body, "top_logprobs", 0, 0, _MOST_TOP)
    wanted = _wanted(body, seed, top if fields.flag(body, "logprobs", False) else None)
    tools = () if body.get("tool_choice") == "none" else fields.objects(body, "tools")
    for tool in tools:
        function = tool.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Refused("tools must be functions with a name.", field="tools")
    return Chat(messages(body), tools, wanted)


def completion(body: Body, seed: int) -> Wanted:
    """A body of ``/v1/completions``, its prompt excepted (:func:`prompt`). Raises Refused."""
    fields.only(body, "echo", False)
    fields.only(body, "best_of", 1)
    fields.only(body, "suffix", "")
    top = None if body.get("logprobs") in (None, False) else fields.whole(body, "logprobs", 0, 0, _MOST_TOP)
    return _wanted(body, seed, top)


def prompt(body: Body, vocabulary: int) -> str | tuple[int, ...]:
    """The prompt of a completion: a text or tokens; a list of one of these is taken as that one. Raises Refused."""
    value = body.get("prompt")
    if isinstance(value, list) and value and not isinstance(value[0], int):
        if len(value) != 1:
            raise Refused("prompt holds several prompts: send them one by one.", field="prompt")
        value = value[0]
    if isinstance(value, str):
        return fields.sound(value, "prompt")
    if isinstance(value, list):
        return fields.tokens(value, "prompt", vocabulary)
    raise Refused("prompt must be a text or a list of token numbers.", field="prompt")


def embedding(body: Body, vocabulary: int) -> tuple[tuple[str | tuple[int, ...], ...], bool]:
    """A body of ``/v1/embeddings``: its texts (or tokens), and whether vectors are wanted as base64. Raises Refused."""
    value = body.get("input")
    if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], int)):
        value = [value]
    if not isinstance(value, list) or not value:
        raise Refused("input must be a text or a list of texts.", field="input")
    found: list[str | tuple[int, ...]] = []
    for one in value:
        if isinstance(one, str):
            found.append(fields.sound(one, "input"))
        else:
            found.append(fields.tokens(one, "input", vocabulary))
    fields.only(body, "encoding_format", "float", "base64")
    fields.only(body, "dimensions")
    return tuple(found), body.get("encoding_format") == "base64"


def messages(body: Body) -> tuple[Message, ...]:
    """The conversation, contents made of parts joined to texts, arguments of tool calls as objects (templates want it)."""
    found = fields.objects(body, "messages")
    if not found:
        raise Refused("messages must be a list of at least one message.", field="messages")
    return tuple(_message(one, f"messages[{number}]") for number, one in enumerate(found))


def sampling(body: Body, seed: int) -> Sampling:
    """How tokens are drawn; OpenAI's defaults. A seed of −1 means none, as llama.cpp has it."""
    given = fields.whole(body, "seed", -1, -_MANY - 1, 2**64 - 1)
    repeat = "repeat_penalty" if body.get("repeat_penalty") is not None else "repetition_penalty"
    return Sampling(
        temperature=fields.number(body, "temperature", 1.0, 0.0, 100.0),
        top_p=fields.number(body, "top_p", 1.0, 0.0, 1.0),
        top_k=max(0, fields.whole(body, "top_k", 0, -1, _MANY)),
        min_p=fields.number(body, "min_p", 0.0, 0.0, 1.0),
        repeat_penalty=fields.number(body, repeat, 1.0, 0.01, 100.0),
        presence_penalty=fields.number(body, "presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=fields.number(body, "frequency_penalty", 0.0, -2.0, 2.0),
        seed=seed if given == -1 else given & _MANY,
    )


def _wanted(body: Body, seed: int, top: int | None) -> Wanted:
    fields.only(body, "n", 1)
    fields.only(body, "logit_bias", {}, [])
    _require_plain_format(body)
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise Refused("stream_options must be an object.", field="stream_options")
    model = body.get("model")
    return Wanted(
        sampling=sampling(body, seed),
        max_tokens=_max_tokens(body),
        stop=fields.texts(body, "stop"),
        stream=fields.flag(body, "stream", False),
        counts=fields.flag(options, "include_usage", False),
        top=top,
        model=model if isinstance(model, str) else "",
        past_end=fields.flag(body, "ignore_eos", False),
        reuse=fields.flag(body, "cache_prompt", True),
    )


def _max_tokens(body: Body) -> int:
    """0 for as many as fit. −1 means that, too (llama.cpp)."""
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    value = fields.whole(body, name, -1, -1, _MANY)
    if value == 0:
        raise Refused(f"{name} must be at least 1.", field=name)
    return max(0, value)


def _require_plain_format(body: Body) -> None:
    wanted = body.get("response_format")
    if wanted is not None and (not isinstance(wanted, dict) or wanted.get("type") != "text"):
        raise Refused("response_format: this engine answers in plain text only.", field="response_format")


def _message(given: Body, where: str) -> Message:
    role = given.get("role")
    if not isinstance(role, str):
        raise Refused(f"{where}.role must be a text.", field=where)
    found = {**given, "content": _content(given.get("content"), where)}
    if calls := given.get("tool_calls"):
        if not isinstance(calls, list):
            raise Refused(f"{where}.tool_calls must be a list.", field=where)
        found["tool_calls"] = [_call(one, where) for one in calls]
    return found


def _content(value: object, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return fields.sound(value, f"{where}.content")
    if not isinstance(value, list):
        raise Refused(f"{where}.content must be a text or a list of parts.", field=where)
    texts: list[str] = []
    for part in value:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise Refused(f"{where}.content: this engine reads text only.", field=where)
        texts.append(fields.sound(part["text"], f"{where}.content"))
    return "".join(texts)


def _call(given: object, where: str) -> Body:
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(function, dict):
        raise Refused(f"{where}.tool_calls must hold functions.", field=where)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except ValueError:
            return given  # as the model wrote it
    return {**given, "function": {**function, "arguments": arguments}}
