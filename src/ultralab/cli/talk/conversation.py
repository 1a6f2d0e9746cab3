"""A conversation: what was said so far, and the question that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ultralab.cli.talk.stats import Stats

if TYPE_CHECKING:
    from ultralab.cli.talk.answering import Answer
    from ultralab.engines.types import Ask, Sampling


@dataclass
class Conversation:
    """Who talks with which model, and how. ``messages`` are in OpenAI's form, without the system prompt."""

    model: str
    system: str
    sampling: Sampling
    max_tokens: int
    stop: tuple[str, ...]
    messages: list[dict[str, Any]] = field(default_factory=list)
    stats: Stats | None = None

    def ask(self, line: str) -> Ask:
        """The question for a new message."""
        from ultralab.engines.types import Ask

        before = [{"role": "system", "content": self.system}] if self.system else []
        messages = (*before, *self.messages, {"role": "user", "content": line})
        return Ask(messages, max_tokens=self.max_tokens, sampling=self.sampling, stop=self.stop)

    def said(self, line: str, answer: Answer) -> None:
        """Remember a message and its answer (what was thought aloud is not given back to the model)."""
        self.messages.append({"role": "user", "content": line})
        self.messages.append({"role": "assistant", "content": answer.text})
        self.stats = answer.stats

    def undo(self) -> bool:
        """Forget the last message and its answer; False where there is none."""
        if not self.messages:
            return False
        del self.messages[-2:]
        return True
