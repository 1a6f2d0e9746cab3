"""What a chat template's source tells."""

from __future__ import annotations

import json

import pytest

from ultralab.engines.serving.markers import calling, hermes_calls, thinking

QWEN = '{%- if tools %}<tools>…</tools> <tool_call>\n{"name": …}\n</tool_call>{% endif %}<think>\n\n</think>\n\n'  # fmt: skip


def test_markers_are_found_in_the_source() -> None:
    assert thinking(QWEN) == ("<think>", "</think>")
    assert thinking("[THINK]…[/THINK]") == ("[THINK]", "[/THINK]")
    assert thinking("{{ messages }} <think>") is None
    assert calling(QWEN) == ("<tool_call>", "</tool_call>")
    assert calling("") is thinking("") is None


def test_calls_in_another_form_are_not_taken_for_json() -> None:
    assert calling("<tool_call>\n<function=name>\n</function></tool_call>") is None


def test_calls_are_read_as_the_model_wrote_them() -> None:
    text = ' {"name": "weather", "arguments": {"place": "北京", "days": 2}}\n{"name": "now", "arguments": {}} '
    first, second = hermes_calls(text)
    assert (first.name, json.loads(first.arguments)) == ("weather", {"place": "北京", "days": 2})
    assert (second.name, second.arguments) == ("now", "{}")
    assert first.id != second.id
    assert hermes_calls('[{"name": "a", "parameters": {"x": 1}}]')[0].arguments == '{"x": 1}'
    assert hermes_calls('{"name": "a", "arguments": "{\\"x\\": 1}"}')[0].arguments == '{"x": 1}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "weather()",
        "{",
        '{"arguments": {}}',
        '{"name": 3}',
        "[]",
        "3",
        '{"name": "a", "arguments": 3}',
        "[" * 99_999,
    ],
)
def test_what_is_no_call_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kind is the promise, the words are the decoder's
        hermes_calls(text)
