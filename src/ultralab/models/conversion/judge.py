"""Whether a made model says what its source says: greedy tokens, place by place."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
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

NEAR_TIE: Final = 0.05
"""A lead of the source's first choice over its second, in standard deviations of the logits, below which rounding alone
may turn the order: two programs that compute the same weights in 16 bits differ by about that."""

_KINDS: Final = {"gguf": "gguf", "mlx": "mlx", "safetensors": "mlx", "awq": "mlx"}
_PACKAGES: Final = {"gguf": "xllamacpp", "mlx": "mlx_lm"}


@dataclass(frozen=True)
class Answer:
    """What a model says: see ``runner_child`` for the parts."""

    sequences: list[list[Any]]
    starts: list[int]
    choices: list[list[list[float]]]


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
    """Let the source generate. Raises ToolFailed: it cannot be run here."""
    return _ask(kind, path, {"texts": list(TEXTS), "count": TOKENS}, scratch, progress, _("Asking the source"))


def ask_result(kind: str, path: Path, source: Answer, scratch: Path, progress: Progress) -> Answer:
    """What the result would say at the places of the source's answer. Raises ToolFailed."""
    request = {"sequences": source.sequences, "starts": source.starts, "count": TOKENS}
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
            if found[0] == wanted[1] and wanted[2] < NEAR_TIE:
                ties += 1
                continue
            before = tuple(item for item in sequence[: start + place] if isinstance(item, int))[-8:]
            first = first or Difference(number, place, before, int(wanted[0]), int(found[0]))
    return Verdict(tokens, equal, ties, first)


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
        return Answer(data["sequences"], data["starts"], data["choices"])
    except (ValueError, KeyError) as error:
        raise ToolFailed(
            _("{name} gave no answer that can be read.").format(name=_PACKAGES[kind]), program=_PACKAGES[kind]
        ) from error
