"""An answer as it comes: its pieces, its end, its account."""

from __future__ import annotations

import pytest
from tests.contracts.suite.case import HELLO, TEXT, EngineCase, Shared, answer, continued

from ultralab.engines.base import Ask
from ultralab.engines.host import Loaded

FEW = 8
CHINESE = "春天的早晨，湖面上有一层薄薄的雾。🌫️ 👩‍🔬 Ж ﷽"


def middle(text: str, length: int) -> str:
    """A stretch of a text, from its middle on, whose characters are whole: what a stop text can be."""
    for start in [*range(len(text) // 3, len(text) - length), *range(len(text) // 3)]:
        found = text[start : start + length]
        if len(found) == length and "\ufffd" not in found:
            return found
    raise AssertionError(f"nothing in {text!r} can be stopped at: the case needs another prompt")


class StreamingSuite(Shared):
    """Streams."""

    def test_a_stream_ends_with_why_and_an_account(self, case: EngineCase, running: Loaded) -> None:
        one = continued(running.client, case)
        assert one.text
        assert one.finish in ("stop", "length")
        assert [piece.finish for piece in one.pieces[:-1]] == [""] * (len(one.pieces) - 1)
        assert [piece.timings for piece in one.pieces[:-1]] == [None] * (len(one.pieces) - 1)
        assert one.timings.generated_tokens >= 1

    def test_a_stream_comes_in_pieces(self, case: EngineCase, running: Loaded) -> None:
        assert sum(bool(piece.text or piece.reasoning) for piece in continued(running.client, case).pieces) >= 3

    def test_its_account_is_plausible(self, case: EngineCase, running: Loaded) -> None:
        one = continued(running.client, case)
        assert 3 <= one.read <= len(case.prompt.encode()) + 8
        assert 1 <= one.timings.generated_tokens <= 16
        assert one.timings.prompt_ms >= 0
        assert one.timings.generated_ms >= 0
        longer = answer(running.client, Ask(prompt=case.prompt + " " + TEXT, max_tokens=1))
        assert longer.read > one.read

    @pytest.mark.parametrize("count", [1, 5])
    def test_it_gives_no_more_tokens_than_asked_for(self, case: EngineCase, running: Loaded, count: int) -> None:
        one = continued(running.client, case, count)
        assert (one.finish, one.timings.generated_tokens) == ("length", count)

    def test_greedy_answers_are_the_same_each_time(self, case: EngineCase, running: Loaded) -> None:
        assert len({continued(running.client, case).text for _ in range(3)}) == 1

    def test_a_shorter_answer_is_the_longer_ones_beginning(self, case: EngineCase, running: Loaded) -> None:
        short, long = (continued(running.client, case, count).text.rstrip("\ufffd") for count in (6, 16))
        assert long.startswith(short)

    @pytest.mark.parametrize("length", [1, 3, 6])
    def test_it_ends_before_a_stop_text(self, case: EngineCase, running: Loaded, length: int) -> None:
        whole = continued(running.client, case).text
        stop = middle(whole, length)
        one = continued(running.client, case, stop=(stop,))
        assert one.text == whole[: whole.index(stop)]
        assert one.finish == "stop"

    def test_the_stop_text_that_comes_first_counts(self, case: EngineCase, running: Loaded) -> None:
        whole = continued(running.client, case).text
        late, early = middle(whole, 2), whole.replace("\ufffd", " ").strip()[0]
        one = continued(running.client, case, stop=(late, "never\x01said", early))
        assert one.text == whole[: min(whole.index(late), whole.index(early))]

    def test_a_stop_text_that_was_only_begun_is_given_out(self, case: EngineCase, running: Loaded) -> None:
        whole = continued(running.client, case).text
        assert continued(running.client, case, stop=(middle(whole, 2) + "\x01",)).text == whole

    def test_many_stop_texts_do_no_harm(self, case: EngineCase, running: Loaded) -> None:
        many = tuple(f"\x01{number}" * 20 for number in range(200))
        assert continued(running.client, case, stop=many).text == continued(running.client, case).text

    def test_chat_is_the_stream_in_one(self, running: Loaded) -> None:
        one = answer(running.client, Ask(HELLO, max_tokens=FEW))
        assert one.text.strip()
        assert running.client.chat(HELLO, FEW) == one.text == running.client.chat(HELLO, FEW)

    def test_what_the_system_says_is_read(self, running: Loaded) -> None:
        system = {"role": "system", "content": f"You are terse. {TEXT}"}
        other = {"role": "system", "content": "You are terse."}
        long = answer(running.client, Ask((system, *HELLO), max_tokens=FEW))
        short = answer(running.client, Ask((other, *HELLO), max_tokens=FEW))
        assert long.read > short.read

    def test_a_whole_conversation_is_read(self, running: Loaded) -> None:
        history = (*HELLO, {"role": "assistant", "content": TEXT}, {"role": "user", "content": "And now?"})
        last = ({"role": "user", "content": "And now?"},)
        assert (
            answer(running.client, Ask(history, max_tokens=FEW)).read
            > answer(running.client, Ask(last, max_tokens=FEW)).read
        )

    def test_other_scripts_and_emoji_are_understood(self, running: Loaded) -> None:
        said = ({"role": "user", "content": CHINESE},)
        one = answer(running.client, Ask(said, max_tokens=FEW))
        assert one.read > answer(running.client, Ask(({"role": "user", "content": "."},), max_tokens=FEW)).read
        assert one.timings.generated_tokens >= 1
        assert answer(running.client, Ask(prompt=CHINESE, max_tokens=FEW)).finish in ("stop", "length")


class CharacterSuite(Shared):
    """Models that can be made to say characters of several tokens. The fixture ``says``: a request, and what it brings."""

    def test_characters_arrive_whole(self, running: Loaded, says: tuple[Ask, str]) -> None:
        ask, expected = says
        one = answer(running.client, ask)
        assert expected in one.text
        assert [piece.text for piece in one.pieces if "\ufffd" in piece.text] == []
        assert len(one.pieces) > 2
