"""What goes with a capability: scores, vectors, tools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.contracts.suite.case import HELLO, TEXT, EngineCase, Shared, answer

from ultralab.engines.base import Ask
from ultralab.engines.host import Loaded
from ultralab.memory import open_ledger


class ScoringSuite(Shared):
    """Teacher forcing."""

    def test_scores_are_the_same_whatever_came_before(self, running: Loaded) -> None:
        tokens = running.client.tokenize(TEXT)[:10]
        first = list(running.client.score(tokens))
        running.client.generate(running.client.tokenize(TEXT * 3), 3, seed=1)
        assert list(running.client.score(tokens)) == first
        assert [score.token for score in first] == list(tokens[1:])
        assert max(score.logprob for score in first) <= 0
        assert len({score.logprob for score in first}) > 1
        assert list(running.client.score(tokens[:1])) == []

    def test_scores_come_one_by_one(self, running: Loaded) -> None:
        tokens = running.client.tokenize(TEXT)[:6]
        whole = list(running.client.score(tokens))
        scores = running.client.score(tokens)
        assert [next(scores), next(scores)] == whole[:2]

    def test_the_favourite_is_what_it_would_say(self, running: Loaded) -> None:
        tokens = running.client.tokenize(TEXT)[:8]
        said = running.client.generate(tokens[:-1], 1, seed=1)
        last = list(running.client.score(tokens))[-1]
        assert last.favourite == said.tokens[0]
        (forced,) = list(running.client.score([*tokens[:-1], last.favourite]))[-1:]
        assert forced.favourite == forced.token
        assert forced.logprob >= last.logprob


class EmbeddingSuite(Shared):
    """Vectors. An engine that takes the option ``embeddings`` is loaded with it for this."""

    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls, case: EngineCase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
        """The model, serving embeddings."""
        wanted = "embeddings" in case.engine.options
        asked = replace(case, options=replace(case.options, embeddings=wanted))
        folder = tmp_path_factory.mktemp("embedder")
        with asked.load(open_ledger(folder, 10**15), folder / "engine.log") as model:
            yield model

    def test_vectors_have_unit_length(self, embedder: Loaded) -> None:
        texts = [TEXT, "Something else entirely.", "春天"]
        vectors = embedder.client.embed(texts)
        assert len(vectors) == len(texts)
        assert len({len(vector) for vector in vectors}) == 1
        for vector in vectors:
            assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-4)

    def test_a_text_has_one_vector(self, embedder: Loaded) -> None:
        first, second, other = embedder.client.embed([TEXT, TEXT, "Something else."])
        assert first == pytest.approx(second, abs=1e-5)
        assert first != pytest.approx(other, abs=1e-5)
        assert embedder.client.embed([TEXT])[0] == pytest.approx(first, abs=1e-4)

    def test_it_says_that_it_can(self, embedder: Loaded) -> None:
        assert "embeddings" in embedder.client.about().capabilities

    def test_no_texts_no_vectors(self, embedder: Loaded) -> None:
        assert embedder.client.embed([]) == ()


CALLING = (
    "{% if tools %}<|im_start|>system\nTools: {{ tools | tojson }}\nCall one so: "
    '<tool_call>{"name": …, "arguments": …}</tool_call><|im_end|>\n{% endif %}'
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% if message.tool_calls %}{% for call in message.tool_calls %}"
    "<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template that has a place for tools, their calls and their results."""


class ToolSuite(Shared):
    """Tools that the model may call. A model whose own template has no place for them is loaded with one that has."""

    @pytest.fixture(scope="class")
    @classmethod
    def armed(cls, case: EngineCase, running: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
        """A model that takes tools."""
        if "tools" in running.client.about().capabilities:
            yield running
            return
        asked = replace(case, options=replace(case.options, chat_template=CALLING))
        folder = tmp_path_factory.mktemp("armed")
        with asked.load(open_ledger(folder, 10**15), folder / "engine.log") as model:
            yield model

    TOOL = {
        "type": "function",
        "function": {
            "name": "weather_of_the_day",
            "description": "The weather of a town on a day.",
            "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
        },
    }

    def test_tools_reach_the_prompt(self, armed: Loaded) -> None:
        bare = answer(armed.client, Ask(HELLO, max_tokens=2))
        told = answer(armed.client, Ask(HELLO, max_tokens=2, tools=(self.TOOL,)))
        assert told.read > bare.read

    def test_calls_and_results_are_read(self, armed: Loaded) -> None:
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "weather_of_the_day", "arguments": '{"town": "Lima"}'},
        }
        said = (
            {"role": "user", "content": "What is the weather in Lima?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Fog until noon."},
        )
        one = answer(armed.client, Ask(said, max_tokens=4, tools=(self.TOOL,)))
        assert one.finish in ("stop", "length", "tool_calls")
        assert one.read > answer(armed.client, Ask(said[:1], max_tokens=2, tools=(self.TOOL,))).read

    def test_it_says_that_it_can_call(self, armed: Loaded) -> None:
        assert "tools" in armed.client.about().capabilities
