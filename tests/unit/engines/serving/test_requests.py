"""Request bodies: what is read from them, and what is refused by its name."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralab.engines.serving import openai
from ultralab.engines.serving.fields import Refused, parse
from ultralab.engines.serving.openai import Wanted
from ultralab.engines.types import Sampling

HELLO = [{"role": "user", "content": "hello"}]


def test_what_is_not_given_is_openais_default() -> None:
    found = openai.chat({"messages": HELLO}, seed=7)
    assert found.messages == ({"role": "user", "content": "hello"},)
    assert found.wanted == Wanted(Sampling(temperature=1.0, seed=7))


def test_everything_that_can_be_given() -> None:
    body = {
        "messages": HELLO,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.25,
        "frequency_penalty": -1,
        "seed": 3,
        "max_completion_tokens": 9,
        "max_tokens": 8,
        "stop": "END",
        "stream": True,
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "top_logprobs": 2,
        "model": "any",
        "user": "somebody",
        "metadata": {"more": []},
    }
    assert openai.chat(body, seed=7).wanted == Wanted(
        Sampling(0.5, 0.9, 40, 0.05, 1.1, 0.25, -1.0, 3), 9, ("END",), stream=True, counts=True, top=2, model="any"
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("temperature", "hot", "temperature must be a number."),
        ("temperature", True, "temperature must be a number."),
        ("temperature", -1, "temperature must be between 0 and 100."),
        ("top_p", 2, "top_p must be between 0 and 1."),
        ("top_k", 1.5, "top_k must be a whole number."),
        ("max_tokens", 0, "max_tokens must be at least 1."),
        ("max_tokens", "9", "max_tokens must be a whole number."),
        ("stop", [1], "stop must be a text or a list of texts."),
        ("stream", 1, "stream must be true or false."),
        ("stream_options", [1], "stream_options must be an object."),
        ("top_logprobs", 21, "top_logprobs must be between 0 and 20."),
        ("n", 2, "n = 2 cannot be done by this engine."),
        ("logit_bias", {"5": 1}, 'logit_bias = {"5": 1} cannot be done by this engine.'),
        ("tool_choice", "required", 'tool_choice = "required" cannot be done by this engine.'),
        ("response_format", {"type": "json_object"}, "response_format: this engine answers in plain text only."),
        ("tools", [{"type": "function"}], "tools must be functions with a name."),
        ("messages", [], "messages must be a list of at least one message."),
        ("messages", ["hello"], "messages must be a list of objects."),
        ("messages", [{"content": "a"}], "messages[0].role must be a text."),
        ("messages", [{"role": "user", "content": 5}], "messages[0].content must be a text or a list of parts."),
        (
            "messages",
            [{"role": "user", "content": "\ud83d"}],
            "messages[0].content holds half a character (character 0).",
        ),
        (
            "messages",
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            "messages[0].content: this engine reads text only.",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(field: str, value: object, message: str) -> None:
    with pytest.raises(Refused) as caught:
        openai.chat({"messages": HELLO, field: value}, seed=1)
    assert (caught.value.message, caught.value.status) == (message, 400)
    assert (caught.value.field or field).startswith(field)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_NAMES = [
    "messages",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repeat_penalty",
    "presence_penalty",
    "seed",
    "max_tokens",
    "stop",
    "stream",
    "stream_options",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "response_format",
    "n",
    "logit_bias",
    "prompt",
    "input",
    "encoding_format",
    "model",
]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(_NAMES), _JSON))
def test_no_body_breaks_the_reader(body: dict[str, Any]) -> None:
    for read in (
        lambda: openai.chat(body, 1),
        lambda: openai.completion(body, 1),
        lambda: openai.prompt(body, 10),
        lambda: openai.embedding(body, 10),
    ):
        with contextlib.suppress(Refused):
            read()


@settings(deadline=None)
@given(st.binary(max_size=50))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    with contextlib.suppress(Refused):
        assert isinstance(parse(content), dict)


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": NaN}', b'{"a": 1', b"[" * 100_000, b"\xff"])
def test_what_is_no_json_object(content: bytes) -> None:
    with pytest.raises(Refused):
        parse(content)


def test_parts_are_joined_and_arguments_become_objects() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    body = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ]
    }
    assert openai.messages(json.loads(json.dumps(body))) == (
        {"role": "user", "content": "ab"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}],
        },
    )


@pytest.mark.parametrize(
    ("prompt", "found"), [("text", "text"), ([1, 2], (1, 2)), (["one"], "one"), ([[3]], (3,)), ([], ())]
)
def test_prompts(prompt: object, found: object) -> None:
    assert openai.prompt({"prompt": prompt}, 10) == found


@pytest.mark.parametrize("prompt", [None, 5, ["a", "b"], [11], [-1], [1, "a"], [True]])
def test_wrong_prompts(prompt: object) -> None:
    with pytest.raises(Refused):
        openai.prompt({"prompt": prompt}, 10)


@pytest.mark.parametrize(("given_seed", "seed"), [(None, 7), (-1, 7), (5, 5), (2**31 + 5, 5)])
def test_seeds(given_seed: int | None, seed: int) -> None:
    assert openai.sampling({"seed": given_seed}, 7).seed == seed
