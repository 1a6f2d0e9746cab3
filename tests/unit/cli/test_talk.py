"""A conversation at the terminal: what is remembered, what can be typed, what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.cli.talk import commands
from ultralab.cli.talk.answering import Answer, shown
from ultralab.cli.talk.conversation import Conversation
from ultralab.cli.talk.stats import Stats
from ultralab.engines.types import Sampling, Timings

if TYPE_CHECKING:
    import pytest

TIMINGS = Timings(cached_tokens=2, prompt_tokens=10, prompt_ms=100.0, generated_tokens=20, generated_ms=500.0)
STATS = Stats(TIMINGS, 0.25, 1_000_000, "stop")


def talk() -> Conversation:
    found = Conversation("tiny", "Be brief.", Sampling(0.7, seed=1), 99, ("END",))
    found.said("Hello 你好", Answer("Hi 😀", "", (), STATS))
    return found


def test_a_question_carries_all_that_was_said() -> None:
    ask = talk().ask("And now?")
    assert [message["role"] for message in ask.messages] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in ask.messages] == ["Be brief.", "Hello 你好", "Hi 😀", "And now?"]
    assert (ask.max_tokens, ask.stop, ask.sampling.temperature, ask.sampling.seed) == (99, ("END",), 0.7, 1)


def run(line: str, found: Conversation, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    ended = commands.run(line, found)
    return ended, capsys.readouterr().err


def test_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    found = talk()
    assert run("/stats", found, capsys) == ("go on", STATS.line() + "\n")
    assert "10 tokens read at 100 tok/s (2 from the cache) · 20 written at 38.0 tok/s" in STATS.line()
    assert run("/system Be long.", found, capsys)[1] == "The system prompt is set.\n"
    assert found.system == "Be long."
    assert run("/system", found, capsys)[1] == "The system prompt is removed.\n"
    assert found.ask("x").messages[0]["role"] == "user"
    assert run("/undo", found, capsys)[1] == "The last message is forgotten.\n"
    assert run("/undo", found, capsys)[1] == "Nothing was said yet.\n"
    found.said("a", Answer("b", "", (), STATS))
    run("/clear", found, capsys)
    assert found.messages == []
    assert run("/nonsense", found, capsys)[1] == "/nonsense is not known; /help lists what is.\n"
    helped = run("/help", found, capsys)[1]
    assert [line.split()[0] for line in helped.splitlines()] == [name.split()[0] for name in commands.known()]
    assert [run(word, found, capsys)[0] for word in ("/quit", "/exit", "/bye")] == ["end"] * 3


def test_a_conversation_is_written_and_nothing_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = talk()
    path = tmp_path / "talk 对话.md"
    run(f'/save "{path}"', found, capsys)
    assert path.read_text() == "# tiny\n\n> Be brief.\n\n**You**\n\nHello 你好\n\n**tiny**\n\nHi 😀\n"
    assert "exists already" in run(f'/save "{path}"', found, capsys)[1]
    data = tmp_path / "talk.JSON"
    run(f"/save {data}", found, capsys)
    assert json.loads(data.read_text())["messages"][1] == {"role": "user", "content": "Hello 你好"}
    assert run("/save", found, capsys)[1] == "Say where: /save conversation.md\n"


def test_a_model_cannot_steer_the_terminal() -> None:
    assert shown("a\x1b[2Jb\tc\n你好\r\u202ex") == "a�[2Jb\tc\n你好��x"


def test_spaces_and_joined_emoji_stay_as_they_are() -> None:
    family = "👨\u200d👩\u200d👧 ❤️\u3000全角\u00a0!"
    assert shown(family) == family


def test_a_single_token_has_no_speed() -> None:
    alone = Timings(cached_tokens=0, prompt_tokens=3, prompt_ms=0.0, generated_tokens=1, generated_ms=0.0)
    assert Stats(alone, None, 0, "stop").line() == "3 tokens read · 1 written"


def test_how_an_answer_ended_is_said() -> None:
    assert Stats(None, None, 0, "length").line() == "cut off: the limit of tokens is reached"
    assert Stats(None, None, 0, "stopped").line() == "stopped by you"
    assert Stats(None, None, 0, "stop").data()["generated_tokens"] is None
    assert STATS.data() == {
        "prompt_tokens": 10,
        "cached_tokens": 2,
        "generated_tokens": 20,
        "prefill_tok_s": 100.0,
        "decode_tok_s": 38.0,
        "measured_by": "engine",
        "ttft_s": 0.25,
        "memory_bytes": 1_000_000,
        "finish": "stop",
    }
