"""Exact tokens: what the platform's own engines owe to those who measure."""

from __future__ import annotations

import pytest
from tests.contracts.suite.case import HELLO, TEXT, EngineCase, Shared, answer, continued
from tests.contracts.suite.streaming import CHINESE

from ultralab.engines.base import Ask, Endpoint
from ultralab.engines.host import Loaded
from ultralab.kernel.errors import EngineDied, EngineFailed


class TokenSuite(Shared):
    """Tokens, templates, measured generations and the prompt cache."""

    def test_tokens_are_stable(self, running: Loaded) -> None:
        tokens = running.client.tokenize(TEXT)
        assert len(tokens) > 8
        assert running.client.tokenize(TEXT) == tokens
        assert running.client.tokenize(TEXT * 2)[: len(tokens) - 1] == tokens[:-1]

    @pytest.mark.parametrize("text", [TEXT, CHINESE, " two  spaces\n\tand a tab ", "x = {'a': [1, 2]}"])
    def test_tokens_become_their_text_again(self, running: Loaded, text: str) -> None:
        found = running.client.detokenize(running.client.tokenize(text))
        assert found.endswith(text)
        assert len(found) - len(text) < 24  # what the model wants at its start is written out

    @pytest.mark.parametrize("count", [1, 7])
    def test_generates_exactly_so_many_tokens_without_a_cache(self, running: Loaded, count: int) -> None:
        prompt = running.client.tokenize(TEXT)
        first, again = (running.client.generate(prompt, count, seed=1) for _ in range(2))
        for one in (first, again):
            assert len(one.arrivals) == count
            assert list(one.arrivals) == sorted(set(one.arrivals))
            assert one.arrivals[0] > 0
            assert (one.timings.cached_tokens, one.timings.prompt_tokens) == (0, len(prompt))
            assert one.timings.generated_tokens == count
            assert one.timings.prefill_tok_s > 0
            assert one.timings.decode_tok_s > 0 or count == 1  # between one token and itself there is no time
            assert one.timings.by_engine
        assert first.text == again.text != ""

    def test_a_generation_tells_its_tokens(self, running: Loaded) -> None:
        prompt = running.client.tokenize(TEXT)
        one = running.client.generate(prompt, 7, seed=1)
        assert len(one.tokens) == 7
        assert running.client.detokenize(one.tokens).rstrip("\ufffd").startswith(one.text.rstrip("\ufffd"))
        assert running.client.generate(prompt, 3, seed=1).tokens == one.tokens[:3]

    def test_characters_of_several_tokens_count_as_their_tokens(self, running: Loaded) -> None:
        prompt = running.client.tokenize("Emoji: 😀 😀 😀 😀 😀 😀 😀 😀")
        one = running.client.generate(prompt, 4, seed=1)
        assert len(one.arrivals) == one.timings.generated_tokens == 4
        assert list(one.arrivals) == sorted(one.arrivals)

    def test_one_text_two_ways(self, case: EngineCase, running: Loaded) -> None:
        streamed = continued(running.client, case).text
        exact = running.client.generate(running.client.tokenize(case.prompt), 16, seed=1).text
        assert exact.startswith(streamed.rstrip("\ufffd"))

    def test_the_prompt_is_counted_as_its_tokens(self, case: EngineCase, running: Loaded) -> None:
        assert continued(running.client, case, 2).read == len(running.client.tokenize(case.prompt))

    def test_a_prompt_that_was_read_is_not_read_again(self, case: EngineCase, running: Loaded) -> None:
        text = f"Once more. {TEXT * 3}"
        answer(running.client, Ask(prompt="Something else", max_tokens=1))
        first, second = (answer(running.client, Ask(prompt=text, max_tokens=2)) for _ in range(2))
        assert second.text == first.text
        assert second.read == first.read
        assert second.timings.cached_tokens > first.timings.cached_tokens
        assert 1 <= second.timings.prompt_tokens < first.read // 2

    def test_the_template_writes_a_conversation_down(self, running: Loaded) -> None:
        said = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "First question?"},
            {"role": "assistant", "content": "First answer."},
            {"role": "user", "content": "春天 🌸?"},
        ]
        written = running.client.template(said)
        places = [written.find(str(one["content"])) for one in said]
        assert places == sorted(places)
        assert min(places) >= 0
        assert running.client.template(said) == written

    def test_a_chat_is_its_template_continued(self, running: Loaded) -> None:
        one = answer(running.client, Ask(HELLO, max_tokens=2))
        written = running.client.tokenize(running.client.template(HELLO))
        assert abs(one.read - len(written)) <= 1  # a start token that both write is written once

    def test_it_says_how_it_was_loaded(self, case: EngineCase, running: Loaded) -> None:
        about = running.client.about()
        assert (about.context, about.parallel) == (case.options.context, case.options.parallel)

    def test_an_answer_ends_with_the_context(self, case: EngineCase, running: Loaded) -> None:
        tokens = running.client.tokenize(TEXT)
        room = 6
        repeated = (tokens * (case.options.context // len(tokens) + 1))[: case.options.context - room]
        one = running.client.generate(repeated, room, seed=1)
        assert one.timings.prompt_tokens == len(repeated)
        assert one.timings.generated_tokens == room

    def test_too_long_a_request_is_refused_and_the_next_is_answered(self, case: EngineCase, running: Loaded) -> None:
        prompt = running.client.tokenize(TEXT)
        long = (prompt * (case.options.context // len(prompt) + 2))[: case.options.context + 20]
        with pytest.raises(EngineFailed) as caught:
            running.client.generate(long, 1, seed=1)
        assert not isinstance(caught.value, EngineDied)
        assert len(running.client.generate(prompt, 2, seed=1).arrivals) == 2

    def test_every_door_asks_for_the_secret(self, case: EngineCase, running: Loaded) -> None:
        stranger = case.engine.connect(Endpoint(running.endpoint.base_url, "wrong"))
        try:
            for ask in (
                lambda: stranger.tokenize(TEXT),
                lambda: stranger.detokenize([1, 2]),
                lambda: stranger.template(HELLO),
                lambda: stranger.generate([1, 2, 3], 2, 1),
                lambda: list(stranger.score([1, 2, 3])),
                lambda: stranger.chat(HELLO, 2),
            ):
                with pytest.raises(EngineFailed) as caught:
                    ask()
                assert caught.value.data == {"status": 401}
        finally:
            stranger.close()
            stranger.close()
        assert running.client.tokenize("Hi")
