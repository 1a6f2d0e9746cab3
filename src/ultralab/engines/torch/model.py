"""A loaded model of transformers as ``engines.serving`` drives it. Runs in the engine's process only.

Imported by an interpreter that may have nothing of ultralab's packages: the standard library, ``engines``' plain values
and PyTorch's own libraries are all there is.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ultralab.engines.options import LoadOptions
from ultralab.engines.serving import markers
from ultralab.engines.serving.types import Job, Step
from ultralab.engines.torch.facts import facts_of
from ultralab.engines.torch.footprint import SCORED
from ultralab.engines.torch.loading import load_tokenizer, load_weights
from ultralab.engines.torch.prompts import (
    Shelf,
    Text,
    cache_name,
    fingerprint,
    forget,
    in_one_piece,
    read,
    require_memory,
    save,
)
from ultralab.engines.torch.sampling import Sampler
from ultralab.engines.types import Advance, Message, TokenScore, ToolCall


def load(path: Path, options: LoadOptions, advance: Advance) -> TorchModel:
    """Load a folder (``serving.types.Load``). Raises ValueError, and what transformers raises."""
    tokenizer = load_tokenizer(path)
    if options.chat_template:
        tokenizer.chat_template = options.chat_template
    model = load_weights(path, options, advance)
    require_memory(model)
    advance(1.0)
    return TorchModel(model, tokenizer, options)


@dataclass
class _Running:
    """A job at work: its prompt, the text that its cache holds, what was drawn last and is still to be read."""

    job: Job
    text: Text
    cached: int
    sampler: Sampler
    drawn: list[int] = field(default_factory=list)


class TorchModel:
    """Implements ``serving.types.TextModel``. Each job has a cache of its own; they take turns, token by token."""

    def __init__(self, model: Any, tokenizer: Any, options: LoadOptions) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._cache_name = cache_name(model)
        self._piece = options.ubatch
        self._running: dict[int, _Running] = {}
        self._shelf = Shelf(model.config)
        self._last_only = {"logits_to_keep": 1} if _keeps_logits(model) else {}
        self.facts = facts_of(model, tokenizer, options)

    def encode(self, text: str, special: bool) -> list[int]:
        """See ``TextModel``."""
        return [int(token) for token in self._tokenizer.encode(text, add_special_tokens=special)]

    def decode(self, tokens: Sequence[int]) -> str:
        """See ``TextModel``."""
        text = self._tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
        """See ``TextModel``."""
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                add_generation_prompt=True,
                tokenize=False,
            )
        except Exception as error:
            raise ValueError(str(error) or type(error).__name__) from error  # a template raises what it likes
        return str(text)

    def calls(self, text: str, tools: Sequence[Mapping[str, Any]]) -> Sequence[ToolCall]:
        """See ``TextModel``."""
        return markers.hermes_calls(text)

    def begin(self, number: int, job: Job) -> None:
        """See ``TextModel``. Raises ValueError: an empty prompt, a sampling that cannot be."""
        if not job.prompt:
            raise ValueError("the prompt is empty")
        sampler = Sampler(job.sampling, job.prompt)
        text = self._shelf.take(job.prompt, reuse=job.reuse)
        self._running[number] = _Running(job, text, len(text.tokens), sampler)
        self._shelf.shrink(self.facts.parallel - len(self._running))

    def step(self) -> Sequence[Step]:
        """See ``TextModel``: one piece of the oldest unread prompt, and a token for each job that has read its own."""
        done = []
        turn = True
        for number, running in self._running.items():
            if running.drawn:
                done.append(self._go_on(number, running))
            elif turn:
                done.append(self._read(number, running))
                turn = False
        return done

    def end(self, number: int) -> None:
        """See ``TextModel``."""
        running = self._running.pop(number)
        self._shelf.put(running.text, self.facts.parallel - len(self._running))

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """See ``TextModel``. In pieces of ``ubatch`` tokens, always from an empty cache."""
        self._shelf.shrink(self.facts.parallel - 1)
        text = self._shelf.take((), reuse=False)
        most = max(1, min(self._piece, SCORED // max(1, self.facts.vocabulary)))
        piece = len(tokens) if in_one_piece(text.cache) else most
        for start in range(0, len(tokens) - 1, max(1, piece)):
            ids = list(tokens[start : start + piece])
            yield from _scores(self._forward(ids, text), tokens[start + 1 : start + 1 + len(ids)])

    def embed(self, tokens: Sequence[int]) -> Sequence[float]:
        """See ``TextModel``: the mean of the last layer's hidden states, after the final norm."""
        if not tokens:
            raise ValueError("the text has no tokens")
        self._shelf.shrink(self.facts.parallel - 1)
        text = self._shelf.take((), reuse=False)
        piece = len(tokens) if in_one_piece(text.cache) else self._piece
        total: Any = 0.0
        with torch.inference_mode():
            for start in range(0, len(tokens), piece):
                ids = torch.tensor([list(tokens[start : start + piece])], device=self._model.device)
                answer = self._model.base_model(input_ids=ids, use_cache=True, **{self._cache_name: text.cache})
                if getattr(answer, "last_hidden_state", None) is None:
                    raise ValueError(f"{type(self._model).__name__} does not show its hidden states")
                total = total + answer.last_hidden_state[0].float().sum(dim=0).cpu()
            vector = torch.nn.functional.normalize(total / len(tokens), dim=0)
        return [float(number) for number in vector.tolist()]

    def keep(self, path: Path) -> int:
        """See ``TextModel``. Raises ValueError: this architecture's state has no form on disk."""
        return save(path, self._shelf.idle[-1], fingerprint(self._model)) if self._shelf.idle else 0

    def recall(self, path: Path) -> int:
        """See ``TextModel``."""
        text = read(path, self._model.config, fingerprint(self._model), self._model.device)
        self._shelf.put(text, self.facts.parallel)
        return len(text.tokens)

    def _read(self, number: int, running: _Running) -> Step:
        """The next piece of a prompt; with the last one the first token."""
        start, prompt = len(running.text.tokens), running.job.prompt
        piece = len(prompt) if in_one_piece(running.text.cache) else self._piece
        logits = self._forward(list(prompt[start : start + piece]), running.text, **self._last_only)
        if len(running.text.tokens) < len(prompt):
            return Step(number, len(running.text.tokens), running.cached)
        return self._drawn(number, running, logits[-1])

    def _go_on(self, number: int, running: _Running) -> Step:
        """One more token."""
        logits = self._forward(running.drawn[-1:], running.text, **self._last_only)
        return self._drawn(number, running, logits[-1])

    def _drawn(self, number: int, running: _Running, logits: torch.Tensor) -> Step:
        scores = logits.float().cpu()
        token = running.sampler.draw(scores)
        running.drawn.append(token)
        logprobs = torch.log_softmax(scores, dim=-1)
        best = logprobs.topk(min(running.job.top, len(logprobs))) if running.job.top else None
        return Step(
            job=number,
            read=len(running.job.prompt),
            cached=running.cached,
            token=token,
            logprob=float(logprobs[token]),
            top=() if best is None else tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True)),
        )

    def _forward(self, ids: list[int], text: Text, **more: int) -> torch.Tensor:
        """Read tokens after a text, which then holds them; logits (tokens asked for, vocabulary)."""
        try:
            with torch.inference_mode():
                given = torch.tensor([ids], device=self._model.device)
                answer = self._model(input_ids=given, use_cache=True, **{self._cache_name: text.cache}, **more)
        except BaseException:
            forget(text, self._model.config)  # some of its layers may have read them, others not
            raise
        text.tokens.extend(ids)
        logits: torch.Tensor = answer.logits[0]
        return logits


def _scores(logits: torch.Tensor, wanted: Sequence[int]) -> Iterator[TokenScore]:
    """Log-probabilities in float32, and the favourites. ``wanted`` is one short at the end of a text."""
    with torch.inference_mode():
        logprobs = torch.log_softmax(logits[: len(wanted)].float(), dim=-1)
        places = torch.tensor(list(wanted), device=logprobs.device)
        given = logprobs.gather(1, places[:, None])[:, 0].tolist()
        best = logprobs.argmax(dim=-1).tolist()
    for token, logprob, favourite in zip(wanted, given, best, strict=True):
        yield TokenScore(int(token), float(logprob), int(favourite))


def _keeps_logits(model: Any) -> bool:
    return "logits_to_keep" in inspect.signature(model.forward).parameters
