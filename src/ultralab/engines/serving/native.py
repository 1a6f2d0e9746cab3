"""The paths that OpenAI's dialect lacks, as llama.cpp's server has them, and ``/score``, which is ours.

Source: llama.cpp ``tools/server/README.md``. What our clients do not use of it is refused, not ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ultralab.engines.serving import bodies, fields, openai
from ultralab.engines.serving.answer import follow, values
from ultralab.engines.serving.bodies import Heading
from ultralab.engines.serving.desk import Desk
from ultralab.engines.serving.fields import Body, Refused
from ultralab.engines.serving.reply import Reply, dumps
from ultralab.engines.serving.scheduler import Task
from ultralab.engines.serving.text import Splitter
from ultralab.engines.serving.types import TextModel
from ultralab.engines.types import TokenScore

_LONGEST_NAME = 200


def health(desk: Desk, reply: Reply) -> None:
    """``GET /health``: requests at work or waiting, seconds since work went on. Never waits for the model."""
    found = desk.scheduler.health()
    reply.json({"status": "ok", "busy": found.busy, "stalled": found.stalled})


def props(desk: Desk, reply: Reply) -> None:
    """``GET /props``; ``capabilities`` is ours."""
    facts = desk.model.facts
    reply.json(
        {
            "default_generation_settings": {"n_ctx": facts.context},
            "total_slots": facts.parallel,
            "chat_template": facts.template,
            "modalities": {"vision": "vision" in facts.capabilities, "audio": False},
            "build_info": facts.version,
            "capabilities": sorted(facts.capabilities),
        }
    )


def models(desk: Desk, reply: Reply) -> None:
    """``GET /v1/models``: the one that is loaded."""
    facts = desk.model.facts
    meta = {"n_ctx": facts.context, "n_vocab": facts.vocabulary}
    one = {"id": "default", "object": "model", "created": 0, "owned_by": "ultralab", "meta": meta}
    reply.json({"object": "list", "data": [one]})


def tokenize(desk: Desk, body: Body, reply: Reply) -> None:
    """``POST /tokenize``."""
    fields.only(body, "with_pieces", False)
    fields.only(body, "parse_special", True)
    text = fields.text(body, "content")
    reply.json({"tokens": list(desk.encode(text, fields.flag(body, "add_special", False)))})


def detokenize(desk: Desk, body: Body, reply: Reply) -> None:
    """``POST /detokenize``."""
    reply.json({"content": desk.decode(fields.tokens(body.get("tokens"), "tokens", desk.model.facts.vocabulary))})


def template(desk: Desk, body: Body, reply: Reply) -> None:
    """``POST /apply-template``."""
    desk.require("chat", "answer conversations")
    reply.json({"prompt": desk.render(openai.messages(body), fields.objects(body, "tools"))})


def completion(desk: Desk, body: Body, reply: Reply) -> None:
    """``POST /completion``. In a stream, a token whose text is not whole yet comes with an empty ``content``."""
    desk.require("completion", "go on with texts")
    for name in ("n_probs", "n_indent", "n_keep", "t_max_predict_ms"):
        fields.only(body, name, 0, -1)
    for name in ("grammar", "json_schema", "samplers"):
        fields.only(body, name, "", {}, [])
    renamed = {"max_tokens": body["n_predict"]} if body.get("n_predict") is not None else {}
    wanted = openai.completion({**body, **renamed, "logprobs": None}, desk.options.seed)
    given = openai.prompt(body, desk.model.facts.vocabulary)
    prompt = desk.encode(given, special=True) if isinstance(given, str) else given
    machines = desk.machines(prompt, wanted, Splitter(None, None))
    deltas = follow(desk.start(prompt, wanted), reply.wait, machines, len(prompt))
    texts: list[str] = []
    tokens: list[int] = []
    for delta in deltas:
        text = "".join(part.text for part in delta.parts)
        fresh = [delta.token.token] if delta.token else []
        if wanted.stream:
            if not reply.started:
                reply.begin("text/event-stream")
            reply.event(bodies.native(text, fresh, delta.timings, delta.finish or None, delta.word))
            continue
        texts.append(text)
        tokens += fresh
        if delta.finish:
            shown = tokens if fields.flag(body, "return_tokens", False) else []
            reply.json(bodies.native("".join(texts), shown, delta.timings, delta.finish, delta.word))
    if wanted.stream:
        reply.end()


def score(desk: Desk, body: Body, reply: Reply) -> None:
    """``POST /score``: ``{"tokens": […]}`` to a line of JSON for each token but the first, as soon as it is known."""
    desk.require("scoring", "score texts")
    tokens = fields.tokens(body.get("tokens"), "tokens", desk.model.facts.vocabulary)
    desk.require_fit(len(tokens))

    def work(model: TextModel) -> Iterator[object]:
        yield from model.score(tokens)

    for one in values(desk.scheduler.submit(work), reply.wait):
        if not reply.started:
            reply.begin("application/x-ndjson")
        if isinstance(one, TokenScore):
            found = {"token": one.token, "logprob": one.logprob, "favourite": one.favourite}
            reply.send(dumps(found | ({} if math.isfinite(one.logprob) else {"logprob": None})) + b"\n")
    if not reply.started:
        reply.begin("application/x-ndjson")
    reply.end()


def embeddings(desk: Desk, body: Body, reply: Reply) -> None:
    """``POST /v1/embeddings``."""
    desk.require("embeddings", "give embeddings")
    given, packed = openai.embedding(body, desk.model.facts.vocabulary)
    encoded = [desk.encode(one, special=True) if isinstance(one, str) else one for one in given]
    for tokens in encoded:
        desk.require_fit(len(tokens))

    def work(model: TextModel) -> Iterator[object]:
        for tokens in encoded:
            yield tuple(float(one) for one in model.embed(tokens))

    vectors: list[Sequence[float]] = [
        one for one in values(desk.scheduler.submit(work), reply.wait) if isinstance(one, tuple)
    ]
    if not all(math.isfinite(number) for vector in vectors for number in vector):
        raise Refused("The model's vector holds what is no number: its weights are probably damaged.", status=500)
    read = sum(len(tokens) for tokens in encoded)
    name = body.get("model")
    heading = Heading("", 0, name if isinstance(name, str) else "default")
    reply.json(bodies.embeddings(heading, vectors, read, packed))


def slots(desk: Desk, body: Body, reply: Reply, action: str) -> None:
    """``POST /slots/0?action=save|restore``: ``filename`` is a name in the folder of the option ``prompt_cache``."""
    cache = desk.options.prompt_cache
    if cache is None:
        raise Refused("No folder for prompts was given when the model was loaded.", status=501)
    name = fields.text(body, "filename")
    if not name or len(name) > _LONGEST_NAME or name.startswith(".") or any(one in name for one in "/\\\0"):
        raise Refused("filename must be a plain file name.", field="filename")
    path = cache.folder / name
    if action not in ("save", "restore"):
        raise Refused("action must be save or restore.", field="action")
    (count,) = values(desk.scheduler.submit(_keeping(path, action)), reply.wait)
    reply.json({"id_slot": 0, "filename": name, "n_saved" if action == "save" else "n_restored": count})


def _keeping(path: Path, action: str) -> Task:
    def work(model: TextModel) -> Iterator[Any]:
        if action == "save":
            path.parent.mkdir(parents=True, exist_ok=True)
            yield model.keep(path)
        elif path.is_file():
            yield model.recall(path)
        else:
            raise ValueError(f"There is no prompt {path.name}.")

    return work
