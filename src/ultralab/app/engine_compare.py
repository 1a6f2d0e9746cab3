"""One prompt, every engine that can load the model: tokens, agreement, speed, memory, and where they part, why."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultralab.app.engine_options import Wanted, load_options
from ultralab.app.engines import able, choose, configured, file_header, model_file, serving
from ultralab.app.lab import Lab
from ultralab.assess.agreement import Agreement, Answer, common, judge
from ultralab.engines import choice
from ultralab.engines.types import NO_SHAPE
from ultralab.kernel.errors import NotFound, UltralabError, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress

if TYPE_CHECKING:
    from ultralab.engines.base import Client
    from ultralab.engines.options import LoadOptions
    from ultralab.engines.types import ModelFile, Timings


@dataclass(frozen=True)
class Asked:
    """The question: the models (the same one in several forms), the prompt, how many tokens; ``raw``: no chat template."""

    refs: tuple[str, ...]
    prompt: str
    tokens: int = 64
    raw: bool = False
    engines: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Run:
    answer: Answer
    data: dict[str, Any]


def compare(lab: Lab, asked: Asked, wanted: Wanted, progress: Progress) -> dict[str, Any]:
    """The answers side by side, the first being what the others are compared with.

    Raises NotFound, Unsupported (no engine can load it). An engine that fails is a row with its problem.
    """
    runs: list[_Run] = []
    failed: list[dict[str, Any]] = []
    for ref, name in _pairs(lab, asked, wanted):
        try:
            runs.append(_run(lab, ref, name, asked, wanted, progress, runs[0].answer if runs else None))
        except UltralabError as error:
            failed.append({"engine": name, "model": ref, "problem": error.message, "hint": error.hint})
    return {
        "prompt": asked.prompt,
        "raw": asked.raw,
        "tokens": asked.tokens,
        "runs": [run.data for run in runs],
        "failed": failed,
    }


def _pairs(lab: Lab, asked: Asked, wanted: Wanted) -> list[tuple[str, str]]:
    """Which model with which engine, in the order asked for."""
    options = load_options(lab, wanted)
    return [(ref, name) for ref in asked.refs for name in _engines(lab, ref, asked, options)]


def _engines(lab: Lab, ref: str, asked: Asked, options: LoadOptions) -> list[str]:
    """The engines for one model. What is not here can be with another server, where one is asked for.

    Raises NotFound, Unsupported (no engine can load it, or not one of those that were asked for).
    """
    servers = [name for name in asked.engines if name.partition(":")[0] in ("external", "ollama")]
    try:
        model = model_file(lab, ref)
    except NotFound:
        if not servers:
            raise
        return servers
    if not asked.engines:
        return [one.name for one in able(lab, model, options)] or [choose(lab, model, options).name]  # or why none can
    if len(asked.refs) == 1:
        return [one.name for one in able(lab, model, options, asked.engines)]
    own = [name for name in asked.engines if name.partition(":")[0] != "external"] or list(asked.engines)
    fitting = choice.able([configured(lab, name) for name in own], model, options)
    return [one.name for one in fitting or able(lab, model, options, own)]  # which says why none can


def _run(lab: Lab, ref: str, name: str, asked: Asked, wanted: Wanted, progress: Progress, first: Answer | None) -> _Run:
    with serving(lab, ref, wanted, progress, engine_name=name) as (_engine, model, running):
        client = running.client
        timings: Timings | None
        with progress.step(_("Generating with {engine}").format(engine=name)):
            try:
                prompt = client.tokenize(_text(client, asked))
                one = client.generate(prompt, asked.tokens, wanted.seed)
                answer = Answer(name, prompt, one.tokens, one.text, _weights(lab, ref, model))
                timings = one.timings
            except Unsupported:
                answer, timings = _by_text(client, asked, name, _weights(lab, ref, model))
        margin = _margin(client, first, answer) if first else None
        found = None if first is None else judge(first, answer, margin)
        data: dict[str, Any] = {
            "engine": name,
            "model": ref,
            "version": running.version,
            "weights": answer.weights,
            "prompt_tokens": list(answer.prompt),
            "tokens": list(answer.tokens),
            "text": answer.text,
            "prefill_tok_s": timings.prefill_tok_s if timings is not None else None,
            "decode_tok_s": timings.decode_tok_s if timings is not None else None,
            "load_s": running.load_seconds,
            "memory_bytes": running.footprint() or None,
            "agreement": None if found is None else _agreement(found),
        }
    return _Run(answer, data)


def _by_text(client: Client, asked: Asked, name: str, weights: str) -> tuple[Answer, Timings | None]:
    """An engine that shows no tokens is compared by its text."""
    from ultralab.engines.types import Ask

    ask = Ask(max_tokens=asked.tokens)
    ask = (
        replace(ask, prompt=asked.prompt)
        if asked.raw
        else replace(ask, messages=({"role": "user", "content": asked.prompt},))
    )
    pieces = list(client.stream(ask))
    timings = next((piece.timings for piece in reversed(pieces) if piece.timings), None)
    return Answer(name, (), (), "".join(piece.text for piece in pieces), weights), timings


def _text(client: Client, asked: Asked) -> str:
    """The prompt as the model gets it: through its chat template, unless that is not wanted or there is none."""
    if asked.raw or "chat" not in client.about().capabilities:
        return asked.prompt
    return client.template(({"role": "user", "content": asked.prompt},))


def _margin(client: Client, first: Answer, other: Answer) -> float | None:
    """How much likelier the first one's token is than this one's own, where they part, by this engine's own reckoning.

    None where they do not part, or this engine does not score.
    """
    same = common(first.tokens, other.tokens)
    if first.prompt != other.prompt or same >= min(len(first.tokens), len(other.tokens)):
        return None
    start = (*other.prompt, *other.tokens[:same])
    with suppress(UltralabError):
        theirs = list(client.score((*start, first.tokens[same])))[-1].logprob
        own = list(client.score((*start, other.tokens[same])))[-1].logprob
        return theirs - own
    return None


def _weights(lab: Lab, ref: str, model: ModelFile) -> str:
    """How the weights are stored, as the library or the file's header says; empty for a model that lies elsewhere."""
    from ultralab import models

    if model.shape is NO_SHAPE:
        return ""
    if Path(ref).expanduser().exists():
        return file_header(lab, Path(ref).expanduser()).quantization
    return models.find(lab.library, ref).quantization


def _agreement(found: Agreement) -> dict[str, Any]:
    said = {
        "same": _("the same"),
        "prompt": _("their prompts are not the same tokens: another chat template or tokenizer"),
        "text": _("other words; which tokens, this engine does not show"),
        "tie": _("a near tie: the two likeliest tokens lie {margin:.3f} apart, which is rounding"),
        "weights": _("other weights: they are stored with another precision"),
        "unexplained": _("not explained: the tokens lie {margin:.2f} apart, which is more than rounding"),
    }[found.cause]
    return {
        "cause": found.cause,
        "agreed": found.agreed,
        "compared": found.compared,
        "by_tokens": found.by_tokens,
        "share": found.share,
        "margin": found.margin,
        "sentence": said.format(margin=abs(found.margin or 0.0)),
    }
