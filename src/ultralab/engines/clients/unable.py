"""A client that can do nothing: real ones inherit the refusals of what their dialect has no way to ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ultralab.engines.types import About, Ask, Generation, Health, Message, Piece, TokenScore
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import N_, _


class Unable:
    """Refuses everything. Implements ``engines.base.Client``."""

    def health(self, timeout: float) -> Health:
        """Refused."""
        raise _unsupported(N_("say whether it is well"))

    def about(self) -> About:
        """Refused."""
        raise _unsupported(N_("say what it can do"))

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Refused."""
        raise _unsupported(N_("show a text's tokens"))

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Refused."""
        raise _unsupported(N_("turn tokens into text"))

    def template(self, messages: Sequence[Message]) -> str:
        """Refused."""
        raise _unsupported(N_("show the prompt of a conversation"))

    def generate(self, prompt: Sequence[int], count: int, seed: int) -> Generation:
        """Refused."""
        raise _unsupported(N_("generate from tokens"))

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """Refused."""
        raise _unsupported(N_("score a text"))

    def stream(self, ask: Ask) -> Iterator[Piece]:
        """Refused."""
        raise _unsupported(N_("answer"))

    def chat(self, messages: Sequence[Message], max_tokens: int) -> str:
        """Made of :meth:`stream`."""
        return "".join(piece.text for piece in self.stream(Ask(tuple(messages), max_tokens=max_tokens)))

    def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """Refused."""
        raise _unsupported(N_("give embeddings"))

    def keep(self, name: str) -> int:
        """Refused."""
        raise _unsupported(N_("keep prompts on disk"))

    def recall(self, name: str) -> int:
        """Refused."""
        raise _unsupported(N_("keep prompts on disk"))

    def close(self) -> None:
        """Nothing is open."""


def _unsupported(what: str) -> Unsupported:
    return Unsupported(
        _("This engine cannot {what}.").format(what=_(what)),
        hint=_("What each engine can do: ultralab engines list."),
    )
