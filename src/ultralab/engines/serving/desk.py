"""What every request works with: the model, its thread, its options; and a prompt made into a ticket."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ultralab.engines.options import LoadOptions
from ultralab.engines.serving.answer import Machines
from ultralab.engines.serving.fields import Refused
from ultralab.engines.serving.openai import Wanted
from ultralab.engines.serving.scheduler import Scheduler, Ticket
from ultralab.engines.serving.text import Detokenizer, Splitter, Stops
from ultralab.engines.serving.types import Job, TextModel
from ultralab.engines.types import Capability, Message, ToolCall


@dataclass(frozen=True)
class Desk:
    """A loaded model as HTTP threads see it. ``voice`` is held for ``encode``, ``decode``, ``render`` and ``calls``."""

    model: TextModel
    options: LoadOptions
    scheduler: Scheduler
    voice: threading.Lock = field(default_factory=threading.Lock)

    def encode(self, text: str, special: bool) -> tuple[int, ...]:
        """Tokens of a text. Raises Refused: the tokenizer does not take it."""
        with self.voice:
            try:
                return tuple(self.model.encode(text, special))
            except ValueError as error:
                raise Refused(f"The tokenizer refused the text: {error}") from error

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""
        with self.voice:
            return self.model.decode(tokens)

    def shown(self, token: int) -> str:
        """One token as text."""
        return self.decode((token,))

    def render(self, messages: Sequence[Message], tools: Sequence[Any]) -> str:
        """A conversation's prompt. Raises Refused: the template does not take it."""
        with self.voice:
            try:
                return self.model.render(messages, tools)
            except ValueError as error:
                raise Refused(f"The chat template refused the conversation: {error}", field="messages") from error

    def calls(self, text: str, tools: Sequence[Any]) -> tuple[ToolCall, ...]:
        """The tool calls in a text; none where it holds none."""
        with self.voice:
            try:
                return tuple(self.model.calls(text, tools))
            except ValueError:
                return ()

    def require(self, capability: Capability, what: str) -> None:
        """Raise Refused (501) unless the model can do this."""
        if capability not in self.model.facts.capabilities:
            raise Refused(f"This model, as it is loaded, cannot {what}.", status=501, kind="not_supported_error")

    def require_fit(self, tokens: int, room: int = 0) -> None:
        """Raise Refused unless so many tokens, and ``room`` more, fit into the context."""
        context = self.model.facts.context
        if tokens == 0:
            raise Refused("The prompt holds no tokens.", field="prompt")
        if tokens + room > context:
            raise Refused(
                f"The request exceeds the available context size: the prompt has {tokens} tokens, the context holds "
                f"{context}{', the answer included' if room else ''}.",
                kind="exceed_context_size_error",
                figures={"n_prompt_tokens": tokens, "n_ctx": context},
            )

    def start(self, prompt: Sequence[int], wanted: Wanted) -> Ticket:
        """Queue a generation. Its tokens end where the context does. Raises Refused: the prompt does not fit."""
        self.require_fit(len(prompt), 1)
        room = self.model.facts.context - len(prompt)
        job = Job(
            prompt=tuple(prompt),
            max_tokens=min(wanted.max_tokens or room, room),
            sampling=wanted.sampling,
            past_end=wanted.past_end,
            reuse=wanted.reuse,
            top=0 if wanted.top is None else max(1, wanted.top),
        )
        return self.scheduler.submit(job)

    def machines(self, prompt: Sequence[int], wanted: Wanted, splitter: Splitter) -> Machines:
        """What the answer's tokens go through."""
        return Machines(Detokenizer(self.decode, prompt), Stops(wanted.stop), splitter)
