"""Ollama's dialect: conversations and samplers in its form, its streams in ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fake_ollama import API

from ultralab.engines.clients.ollama import capabilities_of, context_of
from ultralab.engines.clients.ollama_dialect import KEEP_ALIVE, body_of, messages_of, pieces
from ultralab.engines.types import Ask, Sampling, ToolCall
from ultralab.kernel.errors import EngineFailed, Unsupported

STREAMS = json.loads((Path(__file__).parents[3] / "fixtures" / "ollama" / "chat.json").read_text())


@pytest.mark.parametrize("name", [one for one in STREAMS if one != "source"])
def test_streams_are_read(name: str) -> None:
    case = STREAMS[name]
    found = list(pieces(json.dumps(line, ensure_ascii=False) for line in case["lines"]))
    last = found[-1]
    assert "".join(piece.text for piece in found) == case["text"]
    assert "".join(piece.reasoning for piece in found) == case["reasoning"]
    assert last.calls == tuple(ToolCall(*call) for call in case["calls"])
    assert last.finish == case["finish"]
    assert last.timings is not None
    times = last.timings
    assert [
        times.cached_tokens, times.prompt_tokens, times.prompt_ms, times.generated_tokens, times.generated_ms,
    ] == case["timings"]  # fmt: skip
    assert times.by_engine


@pytest.mark.parametrize("line", ["{", "[]", "5", '{"message": 5}', '{"message": {"tool_calls": [{}]}}'])
def test_a_line_that_is_none_is_found_out(line: str) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        list(pieces([line]))


def test_a_conversation_with_tools_is_put_into_its_form() -> None:
    call = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"town": "Lima"}'}}
    said = (
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "call_7", "content": "Fog."},
    )
    made = messages_of(said)
    assert made == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "assistant", "content": "", "thinking": "Hm.",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"town": "Lima"}}}],
        },
        {"role": "tool", "content": "Fog.", "tool_name": "weather", "tool_call_id": "call_7"},
    ]  # fmt: skip
    assert all(set(one) <= set(API["message"]) for one in made)


def test_pictures_go_as_bytes_and_an_address_is_refused() -> None:
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "this?"},
    ]
    assert messages_of([{"role": "user", "content": parts}]) == [
        {"role": "user", "content": "What is\nthis?", "images": ["AAAA"]}
    ]
    for part in ({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}, {"type": "input_audio"}):
        with pytest.raises(Unsupported, match="no message part of the kind"):
            messages_of([{"role": "user", "content": [part]}])


def test_every_sampling_value_is_sent() -> None:
    path, body = body_of(Ask(prompt="x", max_tokens=3, stop=("a",), sampling=Sampling(seed=1)), "m")
    assert path == "/api/generate"
    assert (body["raw"], body["truncate"], body["shift"], body["keep_alive"]) == (True, False, False, KEEP_ALIVE)
    assert body["options"] == {
        "num_predict": 3, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "typical_p": 1.0,
        "repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "stop": ["a"], "seed": 1,
    }  # fmt: skip
    assert set(body) <= set(API["POST /api/generate"]["request"])
    path, body = body_of(Ask(({"role": "user", "content": "x"},), tools=({"type": "function"},)), "m")
    assert path == "/api/chat"
    assert body["options"]["num_predict"] == -1
    assert set(body) <= set(API["POST /api/chat"]["request"])
    with pytest.raises(EngineFailed):
        body_of(Ask(), "m")


def test_what_it_shows_of_a_model_is_understood() -> None:
    shown = {"model_info": {"general.architecture": "llama", "llama.context_length": 8192}}
    assert context_of(shown) == 8192
    assert context_of({**shown, "parameters": 'stop  "x"\nnum_ctx                        2048\n'}) == 2048
    assert context_of({}) == 0
    assert capabilities_of({"capabilities": ["completion", "vision", "insert", "thinking"]}) == {
        "chat", "completion", "vision",
    }  # fmt: skip
    assert capabilities_of({"capabilities": ["embedding"]}) == {"embeddings"}
    assert capabilities_of({}) == {"chat", "completion"}
