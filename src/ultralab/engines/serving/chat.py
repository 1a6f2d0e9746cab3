"""Generations in OpenAI's dialect: ``/v1/chat/completions`` and ``/v1/completions``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ultralab.engines.serving import bodies, openai
from ultralab.engines.serving.answer import Delta, follow
from ultralab.engines.serving.bodies import Heading
from ultralab.engines.serving.desk import Desk
from ultralab.engines.serving.fields import Body
from ultralab.engines.serving.openai import Chat, Wanted
from ultralab.engines.serving.reply import Reply
from ultralab.engines.serving.scheduler import Token
from ultralab.engines.serving.text import Part, Splitter, opens_thinking
from ultralab.engines.types import Timings
from ultralab.system import clock

_FINISH = {"eos": "stop", "word": "stop", "limit": "length"}


def chat(desk: Desk, body: Body, reply: Reply) -> None:
    """Answer a conversation."""
    desk.require("chat", "answer conversations")
    asked = openai.chat(body, desk.options.seed)
    if asked.tools:
        desk.require("tools", "use tools")
    facts = desk.model.facts
    text = desk.render(asked.messages, asked.tools)
    prompt = desk.encode(text, special=False)
    inside = opens_thinking(text, facts.thinking)
    splitter = Splitter(facts.thinking, facts.calling if asked.tools else None, inside=inside)
    machines = desk.machines(prompt, asked.wanted, splitter)
    deltas = follow(desk.start(prompt, asked.wanted), reply.wait, machines, len(prompt))
    heading = _heading("chatcmpl", asked.wanted)
    says = _says(desk, asked, deltas)
    if asked.wanted.stream:
        _stream(
            reply, asked.wanted, (_chat_chunk(heading, one) for one in says), _empty(heading, "chat.completion.chunk")
        )
    else:
        reply.json(_whole_chat(heading, list(says)))


def completion(desk: Desk, body: Body, reply: Reply) -> None:
    """Go on with a text."""
    desk.require("completion", "go on with texts")
    wanted = openai.completion(body, desk.options.seed)
    given = openai.prompt(body, desk.model.facts.vocabulary)
    prompt = desk.encode(given, special=True) if isinstance(given, str) else given
    machines = desk.machines(prompt, wanted, Splitter(None, None))
    deltas = follow(desk.start(prompt, wanted), reply.wait, machines, len(prompt))
    heading = _heading("cmpl", wanted)
    if wanted.stream:
        chunks = (_text_chunk(desk, heading, wanted, delta) for delta in deltas)
        _stream(reply, wanted, chunks, _empty(heading, "text_completion"))
    else:
        found = list(deltas)
        tokens = [delta.token for delta in found if delta.token]
        text = "".join(part.text for delta in found for part in delta.parts)
        logprobs = None if wanted.top is None else bodies.text_logprobs(tokens, wanted.top, desk.shown)
        answer = bodies.text_answer(heading, text, _FINISH[found[-1].finish], logprobs)
        reply.json(bodies.with_counts(answer, found[-1].timings))


Chunk = tuple[dict[str, Any] | None, Timings | None]
"""A part of a stream, None for nothing to show; with timings for the last one."""


def _stream(reply: Reply, wanted: Wanted, chunks: Iterable[Chunk], empty: dict[str, Any]) -> None:
    """The status is sent with the first token only: what is refused before is refused properly."""
    for chunk, timings in chunks:
        if not reply.started:
            reply.begin("text/event-stream")
        if chunk is None:
            continue
        if timings is None:
            reply.event(chunk)
        elif wanted.counts:
            reply.event(chunk)
            reply.event(bodies.with_counts(empty, timings))
        else:
            reply.event({**chunk, "timings": bodies.account(timings)})
    reply.send(b"data: [DONE]\n\n")
    reply.end()


class _Said(NamedTuple):
    """What one delta says in a chat: fields of a message, and how it ends."""

    delta: Delta
    message: dict[str, Any]
    logprobs: Any
    finish: str


def _says(desk: Desk, asked: Chat, deltas: Iterable[Delta]) -> Iterator[_Said]:
    called = 0
    role = {"role": "assistant"}  # stands in the first part that says something
    waiting: list[Token] = []  # tokens whose log-probabilities no chunk has shown
    for delta in deltas:
        message, found = _message(desk, asked, delta.parts, called)
        called += found
        waiting += [delta.token] if delta.token and asked.wanted.top is not None else []
        logprobs = None
        if waiting and (message or delta.finish) and asked.wanted.top is not None:
            logprobs = bodies.chat_logprobs(waiting, asked.wanted.top, desk.shown)
            waiting = []
        finish = _FINISH[delta.finish] if delta.finish else ""
        if message or finish:
            message, role = {**role, **message}, {}
        yield _Said(delta, message, logprobs, "tool_calls" if called and finish == "stop" else finish)


def _message(desk: Desk, asked: Chat, parts: Iterable[Part], called: int) -> tuple[dict[str, Any], int]:
    """The fields that parts add to a message, and how many tool calls there are among them."""
    content, reasoning = "", ""
    calls: list[dict[str, Any]] = []
    for part in parts:
        if part.kind == "reasoning":
            reasoning += part.text
        elif part.kind == "text":
            content += part.text
        elif found := desk.calls(part.text, asked.tools):
            calls += bodies.calls(found, called + len(calls), numbered=asked.wanted.stream)
        else:  # between the markers of a call stood something else: shown as it was written
            opening, closing = desk.model.facts.calling or ("", "")
            content += f"{opening}{part.text}{closing}"
    fields = (("content", content), ("reasoning_content", reasoning), ("tool_calls", calls))
    return {name: value for name, value in fields if value}, len(calls)


def _chat_chunk(heading: Heading, said: _Said) -> Chunk:
    if said.finish:
        return bodies.chat_chunk(heading, said.message, said.finish, said.logprobs), said.delta.timings
    return (bodies.chat_chunk(heading, said.message, logprobs=said.logprobs) if said.message else None), None


def _whole_chat(heading: Heading, said: list[_Said]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(one.message.get("content", "") for one in said)}
    if reasoning := "".join(one.message.get("reasoning_content", "") for one in said):
        message["reasoning_content"] = reasoning
    if calls := [call for one in said for call in one.message.get("tool_calls", ())]:
        message["tool_calls"] = calls
    entries = [entry for one in said if one.logprobs for entry in one.logprobs["content"]]
    logprobs = {"content": entries} if entries else None
    answer = bodies.chat_answer(heading, message, said[-1].finish, logprobs)
    return bodies.with_counts(answer, said[-1].delta.timings)


def _text_chunk(desk: Desk, heading: Heading, wanted: Wanted, delta: Delta) -> Chunk:
    text = "".join(part.text for part in delta.parts)
    logprobs = None
    if wanted.top is not None and delta.token:
        logprobs = bodies.text_logprobs([delta.token], wanted.top, desk.shown)
    if delta.finish:
        return bodies.text_answer(heading, text, _FINISH[delta.finish], logprobs), delta.timings
    return (bodies.text_answer(heading, text, logprobs=logprobs) if text or logprobs else None), None


def _heading(prefix: str, wanted: Wanted) -> Heading:
    return Heading(f"{prefix}-{os.urandom(12).hex()}", int(clock.timestamp()), wanted.model or "default")


def _empty(heading: Heading, kind: str) -> dict[str, Any]:
    return {"id": heading.id, "object": kind, "created": heading.created, "model": heading.model, "choices": []}
