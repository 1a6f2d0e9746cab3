"""A list of words as a language model over bytes. Runs in the engine's process; see ``ultralab.engines.serving.types``.

Tokens are bytes, and one that ends the text. After a blank a word begins: the one whose turn it is (by the number of
blanks so far) is the likeliest, the others less so by their distance from it; a word goes on as it is written, and then
comes a blank. Every token keeps a small chance, so that any text has a probability.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ultralab.engines.options import LoadOptions
from ultralab.engines.serving.types import Facts, Job, Step
from ultralab.engines.types import Advance, Message, TokenScore, ToolCall
from ultralab_example.choose import chosen
from ultralab_example.format import MAGIC

END = 256
BLANK = 32
VOCABULARY = 257
CHANCE = 0.05  # shared by all tokens
ENDING = 0.02  # that a text ends after a word
AT_ONCE = 256  # bytes of a prompt that are read in one step
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}parrot:"


@dataclass
class Memory:
    """What a parrot remembers of a text: its bytes, how many blanks were in it, and where its last word began."""

    heard: bytearray = field(default_factory=bytearray)
    blanks: int = 0
    word: int = 0

    def hear(self, tokens: Sequence[int]) -> None:
        """Go on with a text; its end is a blank, too."""
        for token in tokens:
            self.heard.append(BLANK if token == END else token)
            if self.heard[-1] == BLANK:
                self.blanks += 1
                self.word = len(self.heard)


@dataclass
class Work:
    """One job that is in."""

    job: Job
    memory: Memory
    draws: random.Random
    cached: int
    read: int


class WordModel:
    """Implements ``ultralab.engines.serving.types.TextModel``."""

    def __init__(self, words: Sequence[bytes], facts: Facts) -> None:
        self.facts = facts
        self._words = words
        self._work: dict[int, Work] = {}
        self._kept = Memory()

    def encode(self, text: str, special: bool) -> list[int]:
        """Its bytes; nothing stands before a text."""
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of bytes; its end is written out."""
        parts = bytes(tokens) if END not in tokens else b"".join(_written(token) for token in tokens)
        return parts.decode(errors="replace")

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
        """``TEMPLATE``, by hand. Raises ValueError where there are tools: parrots use none."""
        if tools:
            raise ValueError("a parrot uses no tools")
        return "".join(f"{one['role']}: {one['content']}\n" for one in messages) + "parrot:"

    def calls(self, text: str, tools: Sequence[Mapping[str, Any]]) -> Sequence[ToolCall]:
        """None are ever made."""
        raise ValueError("a parrot calls no tools")

    def begin(self, number: int, job: Job) -> None:
        """What the last text and this one have in common need not be heard again."""
        kept = _common(self._kept.heard, job.prompt) if job.reuse else 0
        memory = Memory()
        memory.hear(job.prompt[:kept])
        self._work[number] = Work(job, memory, random.Random(job.sampling.seed), kept, kept)

    def step(self) -> Sequence[Step]:
        """Read a piece of each prompt, or say one more byte."""
        return [self._one(number, work) for number, work in list(self._work.items())]

    def end(self, number: int) -> None:
        """Keep what was heard for the next one."""
        self._kept = self._work.pop(number).memory

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """A score for each token but the first."""
        memory = Memory()
        for before, token in itertools.pairwise(tokens):
            memory.hear([before])
            odds = self.odds(memory)
            yield TokenScore(token, math.log(odds[token]), max(range(VOCABULARY), key=odds.__getitem__))

    def embed(self, tokens: Sequence[int]) -> Sequence[float]:
        """How often each byte stands in a text, as a vector of length 1. Raises ValueError for an empty one."""
        if not tokens:
            raise ValueError("an empty text has no direction")
        counts = [float(tokens.count(token)) for token in range(VOCABULARY)]
        length = math.hypot(*counts)
        return [count / length for count in counts]

    def keep(self, path: Path) -> int:
        """The text that was heard last, as it is."""
        path.write_bytes(self._kept.heard)
        return len(self._kept.heard)

    def recall(self, path: Path) -> int:
        """Hear it again."""
        memory = Memory()
        memory.hear(path.read_bytes())
        self._kept = memory
        return len(memory.heard)

    def odds(self, memory: Memory) -> list[float]:
        """The probability of each token after what was heard."""
        odds = [CHANCE / VOCABULARY] * VOCABULARY
        begun = bytes(memory.heard[memory.word :])
        wishes: dict[int, float] = {}
        for place, word in enumerate(self._words):
            if word.startswith(begun) and word != begun:
                far = (place - memory.blanks) % len(self._words)
                wishes[word[len(begun)]] = wishes.get(word[len(begun)], 0) + 1 / (1 + far) ** 2
        if begun and (begun in self._words or not wishes):
            wishes = {BLANK: 1 - ENDING, END: ENDING}
        whole = sum(wishes.values())
        for token, wish in wishes.items():
            odds[token] += (1 - CHANCE) * wish / whole
        return odds

    def _one(self, number: int, work: Work) -> Step:
        prompt = work.job.prompt
        if work.read < len(prompt):
            piece = prompt[work.read : work.read + AT_ONCE]
            work.memory.hear(piece)
            work.read += len(piece)
        if work.read < len(prompt):
            return Step(number, work.read, work.cached)
        odds = self.odds(work.memory)
        allowed = [*odds[:END], 0.0] if work.job.past_end else odds
        token = chosen(allowed, work.job.sampling, work.draws)
        work.memory.hear([token])
        best = sorted(range(VOCABULARY), key=lambda one: -odds[one])[: work.job.top]
        top = tuple((one, math.log(odds[one])) for one in best)
        return Step(number, work.read, work.cached, token, math.log(odds[token]), top)


def load(path: Path, options: LoadOptions, advance: Advance) -> WordModel:
    """Read a list. Raises OSError, ValueError (it is none)."""
    content = path.read_bytes()
    words = content.removeprefix(MAGIC).split()
    if not content.startswith(MAGIC) or not words:
        raise ValueError("this is no list of words")
    advance(1.0)
    from importlib.metadata import version

    facts = Facts(
        context=options.context,
        parallel=options.parallel,
        vocabulary=VOCABULARY,
        ends=frozenset({END}),
        capabilities=frozenset({"chat", "completion", "scoring", "embeddings"}),
        template=TEMPLATE,
        version=f"parrot {version('ultralab-example')}",
    )
    return WordModel(words, facts)


def _written(token: int) -> bytes:
    return b"<end>" if token == END else bytes([token])


def _common(heard: bytearray, prompt: Sequence[int]) -> int:
    """How many tokens of a prompt need not be read: all but the last at most, which says what comes next."""
    same = 0
    for mine, theirs in zip(heard, prompt[:-1], strict=False):
        if mine != theirs:
            break
        same += 1
    return same
