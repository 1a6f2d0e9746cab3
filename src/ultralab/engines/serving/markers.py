"""What a chat template's source tells of a model's manners: the texts around its thoughts and its tool calls.

Standard library only. A template that says nothing of either leaves both out: then everything is answer.
"""

from __future__ import annotations

import json
import secrets
from typing import Final

from ultralab.engines.types import ToolCall

_THINKING: Final = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
_CALLING: Final = ("<tool_call>", "</tool_call>")
_OTHER_FORMS: Final = ("<function=", "<arg_key>")  # the same markers around XML instead of JSON


def thinking(template: str) -> tuple[str, str] | None:
    """What opens and closes the model's thoughts: Qwen's and DeepSeek's ``<think>``, Mistral's ``[THINK]``; else None."""
    for pair in _THINKING:
        if all(mark in template for mark in pair):
            return pair
    return None


def calling(template: str) -> tuple[str, str] | None:
    """What opens and closes a tool call in the form of Hermes (JSON in ``<tool_call>``); None: no tools, or another form."""
    if any(sign in template for sign in _OTHER_FORMS) or not all(mark in template for mark in _CALLING):
        return None
    return _CALLING


def hermes_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls between two markers: one JSON object with ``name`` and ``arguments``, or several, one after the other.

    Raises ValueError: it is none.
    """
    found: list[ToolCall] = []
    decoder = json.JSONDecoder()
    rest = text.strip()
    while rest:
        try:
            content, end = decoder.raw_decode(rest)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        found.extend(_call(one) for one in (content if isinstance(content, list) else [content]))
        rest = rest[end:].strip()
    if not found:
        raise ValueError("no tool call")
    return tuple(found)


def _call(content: object) -> ToolCall:
    if not isinstance(content, dict) or not isinstance(name := content.get("name"), str) or not name:
        raise ValueError("a tool call is an object with a name")
    arguments = content.get("arguments", content.get("parameters", {}))
    if not isinstance(arguments, (dict, str)):
        raise ValueError("a tool call's arguments are an object")  # noqa: TRY004
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(f"call_{secrets.token_hex(12)}", name, text)
