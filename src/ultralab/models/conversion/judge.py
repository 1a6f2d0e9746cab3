"""Whether a made model says what its source says: greedy tokens, place by place."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ultralab.kernel.errors import Failure, ToolFailed
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.models.conversion.tool import run_tool
from ultralab.system import files

TOKENS: Final = 32
"""Generated for each text."""

TEXTS: Final = (
    "The three most important inventions of the twentieth century are",
    "def fibonacci(n):\n    if n < 2:\n        return n\n",
    "春天的早晨，湖面上",
)

PROBES: Final = (
    *TEXTS,
    " leading space, and  two, and\ttabs\t\t.",
    "line\n\n\nthree\r\nreturn \n",
    "It cost 1234.50 in 1999 -- and 10's MORE, WE'LL see!",
    "[1,  22,   333]\n\tx_y = -1 # ok",
    "日本語とкириллица، عربى, हिन्दी 12 只鸟。「你好」",
    "🌸👩‍👩‍👧🇩🇪 emoji ☕️ \u00e9 \u00a0nbsp \u3000wide",
)
"""Texts about which tokenizers disagree. All in composed characters: Qwen's tokenizer composes others, llama.cpp does not."""

NEAR_TIE: Final = 0.05
"""A lead of the source's first choice over its second, in standard deviations of the logits, below which rounding alone
may turn the order: two programs that compute the same weights in 16 bits differ by about that."""

_KINDS: Final = {"gguf": "gguf", "mlx": "mlx", "safetensors": "mlx", "awq": "mlx"}
_PACKAGES: Final = {"gguf": "xllamacpp", "mlx": "mlx_lm"}


@dataclass(frozen=True)
class Answer:
    """What a model says: see ``runner_child`` for the parts. ``probes``: tokens of :data:`PROBES`, where they were asked for."""

    sequences: list[list[Any]]
    starts: list[int]
    choices: list[list[list[float]]]
    probes: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Difference:
    """The first place where a result chose otherwise: text and token counted from 0, what came before it, both choices."""

    text: int
    token: int
    before: tuple[int, ...]
    wanted: int
    found: int


@dataclass(frozen=True)
class Verdict:
    """How many of ``tokens`` the result chose as the source did; ``ties`` of the others were near ties in the source."""

    tokens: int
    equal: int
    ties: int
    first: Difference | None

    @property
    def same(self) -> bool:
        """Whether nothing differs but near ties: the same model, as far as tokens tell."""
        return self.tokens > 0 and self.equal + self.ties == self.tokens

    @property
    def share(self) -> float:
        """The share of tokens that are equal or near ties."""
        return (self.equal + self.ties) / self.tokens if self.tokens else 0.0

    @property
    def words(self) -> str:
        """As it is recorded, in every language the same: ``95/96 greedy tokens equal, 1 near tie``."""
        ties = f", {self.ties} near ties" if self.ties else ""
        return f"{self.equal}/{self.tokens} greedy tokens equal{ties}"


def runner_for(format_name: str) -> tuple[str, str]:
    """What runs models of a format here, and empty; or empty and why nothing does, as it is recorded."""
    kind = _KINDS.get(format_name, "")
    if not kind:
        return "", f"nothing here runs {format_name}"
    if importlib.util.find_spec(_PACKAGES[kind]) is None:
        return "", f"{_PACKAGES[kind]} is not installed"
    return kind, ""


def ask_source(kind: str, path: Path, scratch: Path, progress: Progress) -> Answer:
    """Let the source generate, and cut the probes. Raises ToolFailed: it cannot be run here."""
    return _ask(
        kind,
        path,
        {"texts": list(TEXTS), "count": TOKENS, "probes": list(PROBES)},
        scratch,
        progress,
        _("Asking the source"),
    )


def ask_result(kind: str, path: Path, source: Answer, scratch: Path, progress: Progress) -> Answer:
    """What the result would say at the places of the source's answer. Raises ToolFailed."""
    request = {"sequences": source.sequences, "starts": source.starts, "count": TOKENS, "probes": list(PROBES)}
    return _ask(kind, path, request, scratch, progress, _("Asking the result"))


def compare(source: Answer, result: Answer) -> Verdict:
    """Both answers place by place. Pure.

    Where both are asked alike, the source's choice is what it says when it is given the same tokens at once, not what it
    said one token at a time: the two may differ by rounding.
    """
    tokens = equal = ties = 0
    first: Difference | None = None
    for number, (sequence, start) in enumerate(zip(source.sequences, source.starts, strict=True)):
        pairs = zip(source.choices[number], result.choices[number], strict=True)
        for place, (wanted, found) in enumerate(pairs):
            tokens += 1
            if wanted[0] == found[0]:
                equal += 1
                continue
            if _near_tie(wanted, found):
                ties += 1
                continue
            before = tuple(item for item in sequence[: start + place] if isinstance(item, int))[-8:]
            first = first or Difference(number, place, before, int(wanted[0]), int(found[0]))
    return Verdict(tokens, equal, ties, first)


def _near_tie(wanted: list[float], found: list[float]) -> bool:
    """Whether one took the other's second choice where that one's first led by next to nothing.

    llama.cpp does not tell its second choice (-1): then the result's lead is what tells.
    """
    if wanted[1] >= 0:
        return found[0] == wanted[1] and wanted[2] < NEAR_TIE
    return wanted[0] == found[1] and found[2] < NEAR_TIE


def cut_otherwise(source: Answer, result: Answer) -> str:
    """The first probe that the two cut into other tokens, empty where there is none. For sources with their own tokenizer."""
    pairs = zip(PROBES, source.probes, result.probes, strict=True)
    return next((text for text, ours, theirs in pairs if ours != theirs), "")


def cutting_refusal(ref: str, text: str) -> Failure:
    """The error for a result whose tokenizer is another one."""
    return Failure(
        _("The conversion of {ref} changed how a text becomes tokens: {text!r}.").format(ref=ref, text=text),
        hint=_("Nothing was added. Keep it all the same with --keep-anyway."),
        ref=ref,
        text=text,
    )


def refusal(ref: str, verdict: Verdict) -> Failure:
    """The error for a result that should have said the same."""
    first = verdict.first
    assert first is not None
    return Failure(
        _(
            "The conversion of {ref} changed what the model says ({words}): text {text}, token {token}, after {before}: "
            "{wanted} from the source, {found} from the result."
        ).format(
            ref=ref,
            words=verdict.words,
            text=first.text + 1,
            token=first.token + 1,
            before=list(first.before),
            wanted=first.wanted,
            found=first.found,
        ),
        hint=_("Nothing was added. Keep it all the same with --keep-anyway."),
        ref=ref,
        equal=verdict.equal,
        tokens=verdict.tokens,
        wanted=first.wanted,
        found=first.found,
    )


def _ask(kind: str, path: Path, request: dict[str, object], scratch: Path, progress: Progress, label: str) -> Answer:
    answer = scratch / "answer.json"
    text = json.dumps({"kind": kind, "path": str(path), "answer": str(answer), **request})
    argv = (sys.executable, "-m", "ultralab.models.conversion.runner_child", text)
    with progress.step(label):
        run_tool(argv, log=scratch / "runner.log", name=_PACKAGES[kind])
    try:
        data = json.loads(files.read_text(answer))
        return Answer(data["sequences"], data["starts"], data["choices"], data["probes"])
    except (ValueError, KeyError) as error:
        raise ToolFailed(
            _("{name} gave no answer that can be read.").format(name=_PACKAGES[kind]), program=_PACKAGES[kind]
        ) from error
