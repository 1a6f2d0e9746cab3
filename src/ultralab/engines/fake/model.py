"""The fake engine's model: a :class:`TextModel` whose answers follow from the request alone.

Tokens are the text's UTF-8 bytes, and one more that ends a text. The favourite after a prefix is a hash of the prefix's
last byte; the log-probability of a token is −1 for the favourite and −3 for any other: nonsense, but the same everywhere.

A conversation is answered with ``You said: …``. Where it begins with ``think``, that is thought aloud first; where it
names one of the given tools, that is called instead. A tool's result is answered with ``The tool said: …``.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ultralab import __version__
from ultralab.engines.fake.trouble import Trouble, read_trouble
from ultralab.engines.options import LoadOptions
from ultralab.engines.serving.types import Facts, Job, Step
from ultralab.engines.types import Advance, Message, TokenScore, ToolCall, capabilities

if TYPE_CHECKING:
    import random

END: Final = 256
_BLANK: Final = 32
_PRINTABLE: Final = 95
_WIDTH: Final = 32  # of an embedding
_LONGEST_PAUSE: Final = 0.1  # seconds of one step, so that others are heard
_TEMPLATE: Final = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}\n{% endfor %}<|assistant|>\n"
)
_ASKED: Final = re.compile(r"<\|(user|tool)\|>\n((?:(?!<\|(?:user|tool)\|>\n).)*)\n<\|assistant\|>\n$", re.DOTALL)
_TOOLS: Final = re.compile(r"^<\|tools\|>\n(\[.*?\])\n")


def favourite(prefix: Sequence[int]) -> int:
    """The token that the fake prefers after a prefix."""
    last = prefix[-1] if prefix else 0
    return _BLANK + (last * 7 + 13) % _PRINTABLE


@dataclass
class _Work:
    """A job that is in."""

    job: Job
    tokens: list[int]
    cached: int
    read: int
    script: list[int]
    chance: random.Random | None
    given: int = 0


@dataclass
class FakeModel:
    """See the module. Implements ``serving.types.TextModel``."""

    facts: Facts
    trouble: Trouble
    piece: int
    work: dict[int, _Work] = field(default_factory=dict)
    kept: list[int] = field(default_factory=list)

    def encode(self, text: str, special: bool) -> list[int]:
        """UTF-8 bytes."""
        self.trouble.count()
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        """The bytes as text."""
        if END not in tokens:
            return bytes(tokens).decode(errors="replace")
        return b"".join(b"<|end|>" if one == END else bytes((one,)) for one in tokens).decode(errors="replace")

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
        """Each message below its role; the names of tools before them. Another template is rendered as Jinja."""
        names = f"<|tools|>\n{json.dumps([tool['function']['name'] for tool in tools])}\n" if tools else ""
        if self.facts.template != _TEMPLATE:
            return names + _rendered(self.facts.template, messages)
        return names + "".join(f"<|{one['role']}|>\n{one['content']}\n" for one in messages) + "<|assistant|>\n"

    def calls(self, text: str, tools: Sequence[Mapping[str, Any]]) -> Sequence[ToolCall]:
        """One call as JSON."""
        found = json.loads(text)
        return [ToolCall("", str(found["name"]), json.dumps(found["arguments"]))]

    def begin(self, number: int, job: Job) -> None:
        """Take a job in; what it has in common with the last one is not read again."""
        self.trouble.count()
        cached = min(_common(job.prompt, self.kept), len(job.prompt) - 1) if job.reuse else 0
        chance = None
        if job.sampling.temperature > 0 and job.sampling.top_k != 1:
            import random

            chance = random.Random(job.sampling.seed)  # noqa: S311 - tokens, not secrets
        script = list(_script(self.decode(job.prompt)))
        self.work[number] = _Work(job, list(job.prompt), cached, cached, script, chance)

    def step(self) -> Sequence[Step]:
        """A piece of each prompt, a token for each that has read its own."""
        self.trouble.maybe_hang()
        pause = self.trouble.token_ms / 1000
        most = max(1, min(self.piece, int(_LONGEST_PAUSE / pause))) if pause else self.piece
        steps = []
        reading = [(number, one) for number, one in self.work.items() if one.read < len(one.job.prompt)]
        writing = [(number, one) for number, one in self.work.items() if one.read >= len(one.job.prompt)]
        for number, one in reading:
            fresh = min(most, len(one.job.prompt) - one.read)
            one.read += fresh
            _rest(pause * fresh)
            steps.append(Step(number, one.read, one.cached))
        if writing:
            _rest(pause)
        for number, one in writing:
            best = favourite(one.tokens)
            token = self._next(one, best)
            one.tokens.append(token)
            one.given += 1
            logprob = -1.0 if token == best else -3.0
            steps.append(Step(number, one.read, one.cached, token, logprob, _likeliest(best, one.job.top)))
        return steps

    def end(self, number: int) -> None:
        """Let a job go, and remember its tokens."""
        self.kept = self.work.pop(number).tokens

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """−1 where the next token is the favourite, else −3."""
        for position in range(1, len(tokens)):
            self.trouble.count()
            self.trouble.maybe_hang()
            _rest(max(self.trouble.token_ms, self.trouble.score_ms) / 1000)
            best = favourite(tokens[:position][-1:])
            yield TokenScore(tokens[position], -1.0 if tokens[position] == best else -3.0, best)

    def embed(self, tokens: Sequence[int]) -> Sequence[float]:
        """How often each residue of the tokens occurs, as a vector of unit length."""
        counts = [0.0] * _WIDTH
        for token in tokens:
            counts[token % _WIDTH] += 1
        length = math.hypot(*counts)
        return [count / length for count in counts]

    def keep(self, path: Path) -> int:
        """The last job's tokens as JSON."""
        if self.kept:
            path.write_text(json.dumps({"fake": self.kept}))
        return len(self.kept)

    def recall(self, path: Path) -> int:
        """What :meth:`keep` wrote."""
        found = json.loads(path.read_text())
        if not isinstance(found, dict) or "fake" not in found:
            raise ValueError("not a prompt of the fake engine")
        self.kept = [int(one) for one in found["fake"]]
        return len(self.kept)

    def _next(self, one: _Work, best: int) -> int:
        if one.given < len(one.script):
            return one.script[one.given]
        if one.chance is not None and one.chance.random() < 0.5:
            return _BLANK + one.chance.randrange(_PRINTABLE)
        return best


def load(path: Path, options: LoadOptions, advance: Advance) -> FakeModel:
    """Any file, or trouble. Implements ``serving.types.Load``. Raises ValueError, OSError."""
    trouble = read_trouble(path)
    advance(0.5)
    trouble.at_load()
    able = ["embeddings"] if options.embeddings else ["chat", "completion", "scoring", "tools"]
    facts = Facts(
        context=options.context,
        parallel=options.parallel,
        vocabulary=END + 1,
        ends=frozenset({END}),
        capabilities=capabilities(able),
        template=options.chat_template or _TEMPLATE,
        version=f"fake {__version__}",
        thinking=("<think>", "</think>"),
        calling=("<tool_call>", "</tool_call>"),
    )
    return FakeModel(facts, trouble, options.ubatch)


def _script(prompt: str) -> Iterator[int]:
    """The answer to a conversation, if the prompt is one."""
    found = _ASKED.search(prompt)
    if found is None:
        return
    role, asked = found.groups()
    tools = _TOOLS.match(prompt)
    wanted = [name for name in (json.loads(tools.group(1)) if tools else ()) if name in asked]
    if role == "tool":
        answer = f"The tool said: {asked}"
    elif wanted:
        answer = f"<tool_call>{json.dumps({'name': wanted[0], 'arguments': {'asked': asked}})}</tool_call>"
    else:
        thought = f"<think>{asked}</think>" if asked.startswith("think") else ""
        answer = f"{thought}You said: {asked}"
    yield from answer.encode()
    yield END


def _likeliest(best: int, top: int) -> tuple[tuple[int, float], ...]:
    if not top:
        return ()
    others = (token for token in range(_BLANK, _BLANK + _PRINTABLE) if token != best)
    return ((best, -1.0), *((token, -3.0) for _number, token in zip(range(top - 1), others, strict=False)))


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    same = 0
    for mine, theirs in zip(left, right, strict=False):
        if mine != theirs:
            break
        same += 1
    return same


def _rest(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)


def _rendered(template: str, messages: Sequence[Message]) -> str:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    known = {"messages": messages, "add_generation_prompt": True, "bos_token": "", "eos_token": "<|end|>"}
    try:
        return ImmutableSandboxedEnvironment().from_string(template).render(known)
    except jinja2.TemplateError as error:
        raise ValueError(str(error)) from error
