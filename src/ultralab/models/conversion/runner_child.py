"""The process that runs a model for the judge: greedy tokens, and what it would choose at each place of given ones.

``python -m ultralab.models.conversion.runner_child REQUEST``; the request is JSON: ``kind`` (mlx, gguf), ``path``,
``count``, ``answer`` (the file to write), ``probes`` (texts to cut), and either ``texts`` (prompts: generate ``count`` tokens for each) or ``sequences`` and ``starts`` (as an
answer gave them). The answer: ``probes`` (their tokens), ``sequences`` (prompt and tokens), ``starts``
(where the generated tokens begin) and ``choices``, for each generated token ``[first, second, margin]``: the model's
first and second choice at that place when it is given the tokens before, and how far the first leads, in standard
deviations of the logits (0 where that is not known).
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ultralab.models.conversion.rope_settings import for_mlx
from ultralab.system import http
from ultralab.system.parent import end_with_parent

Sequence = list[int]
"""Token numbers."""

Choice = list[float]


class Runner(Protocol):
    """A loaded model."""

    def prompt(self, text: str) -> Sequence:
        """What stands for a text at a sequence's beginning."""

    def generate(self, prompt: Sequence, count: int) -> list[int]:
        """Greedy tokens."""

    def choices(self, sequence: Sequence, start: int) -> list[Choice]:
        """For each place from ``start``: first and second choice, and the margin."""


class Mlx(Runner):
    """A folder that ``mlx_lm`` loads; code that lies in it is never run."""

    def __init__(self, path: str) -> None:
        self._mx: Any = importlib.import_module("mlx.core")
        mlx_lm: Any = importlib.import_module("mlx_lm.utils")
        self._model, config = mlx_lm.load_model(Path(path), model_config=for_mlx(Path(path)))
        text_config = config.get("text_config") or {}
        self._vocabulary = int(config.get("vocab_size") or text_config.get("vocab_size") or 256)
        self._tokenizer: Any = None
        if (Path(path) / "tokenizer.json").is_file():
            self._tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(f"{path}/tokenizer.json")

    def prompt(self, text: str) -> Sequence:
        """By the folder's own tokenizer; without one, the bytes are taken for tokens."""
        tokens = self._tokenizer.encode(text).ids if self._tokenizer else list(text.encode())
        return [token % self._vocabulary for token in tokens] or [0]

    def generate(self, prompt: Sequence, count: int) -> list[int]:
        """One token at a time, with a cache."""
        cache = importlib.import_module("mlx_lm.models.cache").make_prompt_cache(self._model)
        tokens: list[int] = []
        given = prompt
        for _number in range(count):
            logits = self._model(self._mx.array([given]), cache=cache)[0, -1]
            tokens.append(int(self._mx.argmax(logits).item()))
            given = tokens[-1:]
        return tokens

    def choices(self, sequence: Sequence, start: int) -> list[Choice]:
        """All places at once."""
        mx = self._mx
        logits = self._model(mx.array([sequence]))[0, start - 1 : -1].astype(mx.float32)
        order = mx.argsort(logits, axis=-1)[:, -2:]
        best = mx.take_along_axis(logits, order, axis=-1)
        spread = mx.sqrt(mx.var(logits, axis=-1))
        margin = (best[:, 1] - best[:, 0]) / mx.maximum(spread, 1e-9)
        return [
            [float(first), float(second), float(lead)]
            for (second, first), lead in zip(order.tolist(), margin.tolist(), strict=True)
        ]


class Gguf(Runner):
    """A file that llama.cpp loads, embedded."""

    def __init__(self, path: str) -> None:
        xllamacpp: Any = importlib.import_module("xllamacpp")
        parameters = xllamacpp.CommonParams()
        parameters.model.path = path
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = 0
        parameters.ui = False
        parameters.n_ctx = 1024
        parameters.n_parallel = 1
        parameters.cache_ram_mib = 0
        parameters.fit_params = False
        parameters.no_extra_bufts = True
        secret = secrets.token_urlsafe(24)
        parameters.api_keys = [secret]
        self._server = xllamacpp.Server(parameters)
        self._http = http.loopback_client(self._server.listening_address, secret)

    def prompt(self, text: str) -> Sequence:
        """By the file's own tokenizer, with the tokens that it wants around a text."""
        answer = self._http.post("/tokenize", json={"content": text, "add_special": True})
        answer.raise_for_status()
        return [int(token) for token in answer.json()["tokens"]]

    def generate(self, prompt: Sequence, count: int) -> list[int]:
        """One request to llama.cpp's own ``/completion`` (its ``tools/server/README.md``)."""
        body = {
            "prompt": prompt,
            "n_predict": count,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": True,
            "return_tokens": True,
        }
        answer = self._http.post("/completion", json=body)
        answer.raise_for_status()
        return [int(token) for token in answer.json()["tokens"]]

    def choices(self, sequence: Sequence, start: int) -> list[Choice]:
        """A request for each place; what was said before stays in the server's cache."""
        found: list[Choice] = []
        for place in range(start, len(sequence)):
            token = self.generate(sequence[:place], 1)
            found.append([float(token[0]), -1.0, 0.0])
        return found


def main(argv: list[str]) -> int:
    """Load, answer, end: at once, without the libraries' own farewells, which are slow and talk last."""
    end_with_parent()
    try:
        _answer(json.loads(argv[0]))
    except Exception as error:  # noqa: BLE001 - the libraries raise what they like; the owner must hear of it
        sys.stderr.write(f"\n{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _answer(request: dict[str, Any]) -> None:
    kinds: dict[str, Callable[[str], Runner]] = {"mlx": Mlx, "gguf": Gguf}
    runner = kinds[request["kind"]](request["path"])
    if "texts" in request:
        prompts = [runner.prompt(text) for text in request["texts"]]
        starts = [len(prompt) for prompt in prompts]
        sequences = [[*prompt, *runner.generate(prompt, request["count"])] for prompt in prompts]
    else:
        sequences, starts = request["sequences"], request["starts"]
    choices = [runner.choices(sequence, start) for sequence, start in zip(sequences, starts, strict=True)]
    probes = [runner.prompt(text) for text in request["probes"]]
    answer = json.dumps({"sequences": sequences, "starts": starts, "choices": choices, "probes": probes})
    Path(request["answer"]).write_text(answer, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
