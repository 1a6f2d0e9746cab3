"""Text and tokens of one model: its tokenizer and chat template, as mlx-lm wraps them."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from ultralab.engines.types import Message, ToolCall
from ultralab.kernel.language import _


class Words:
    """One tokenizer (``mlx_lm.tokenizer_utils.TokenizerWrapper``)."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a text, as generation_config.json, config.json and the tokenizer say."""
        return frozenset(int(one) for one in self._tokenizer.eos_token_ids)

    @property
    def template(self) -> str:
        """The chat template's source; empty where there is none, or where it is code of mlx-lm."""
        found = self._tokenizer.chat_template
        if isinstance(found, dict):
            found = found.get("default", "")
        return found if isinstance(found, str) else ""

    @property
    def can_chat(self) -> bool:
        """Whether conversations can be rendered."""
        return bool(self._tokenizer.has_chat_template)

    @property
    def thinking(self) -> tuple[str, str] | None:
        """What opens and closes thoughts."""
        start, end = self._tokenizer.think_start, self._tokenizer.think_end
        return (start, end) if start and end else None

    @property
    def calling(self) -> tuple[str, str] | None:
        """What opens and closes a tool call. Mistral's has no end ("")."""
        start = self._tokenizer.tool_call_start
        return (start, self._tokenizer.tool_call_end or "") if start else None

    def encode(self, text: str, special: bool) -> list[int]:
        """See ``serving.types.TextModel``."""
        return [int(token) for token in self._tokenizer.encode(text, add_special_tokens=special)]

    def decode(self, tokens: Sequence[int]) -> str:
        """See ``serving.types.TextModel``."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
        """See ``serving.types.TextModel``. Thinking is on where the template lets one choose, as mlx-lm's server has it."""
        if not self.can_chat:
            raise ValueError(_("the model has no chat template"))
        from jinja2 import TemplateError

        try:
            text = self._tokenizer.apply_chat_template(
                [_plain(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                add_generation_prompt=True,
                tokenize=False,
            )
        except (TemplateError, TypeError, KeyError) as error:
            raise ValueError(_("the chat template refuses this conversation: {error}").format(error=error)) from error
        return str(text)

    def calls(self, text: str, tools: Sequence[Mapping[str, Any]]) -> tuple[ToolCall, ...]:
        """See ``serving.types.TextModel``; mlx-lm's parser of this model's form."""
        parse = self._tokenizer.tool_parser
        if parse is None:
            raise ValueError(_("the model has no form for tool calls"))
        try:
            found = parse(text, [dict(tool) for tool in tools] or None)
            return tuple(_call(one) for one in (found if isinstance(found, list) else [found]))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, SyntaxError) as error:
            raise ValueError(_("this is no tool call: {error}").format(error=error)) from error


def _call(found: Mapping[str, Any]) -> ToolCall:
    arguments = found.get("arguments", {})
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(str(found.get("id") or f"call_{secrets.token_hex(8)}"), str(found["name"]), written)


def _plain(message: Message) -> dict[str, Any]:
    """A message as templates want it: text instead of parts, arguments of earlier calls as objects."""
    made = dict(message)
    if isinstance(parts := made.get("content"), list):
        if any(part.get("type") != "text" for part in parts):
            raise ValueError(_("this engine takes text only"))
        made["content"] = "".join(str(part.get("text", "")) for part in parts)
    elif parts is None:
        made["content"] = ""
    if isinstance(calls := made.get("tool_calls"), list):
        made["tool_calls"] = [_called(call) for call in calls]
    return made


def _called(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function", {}))
    if isinstance(arguments := function.get("arguments"), str):
        with contextlib.suppress(ValueError):  # then it stays as the model wrote it
            function["arguments"] = json.loads(arguments)
    return {**call, "function": function}
