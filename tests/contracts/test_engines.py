"""Every engine against the one suite, and what only the embedded llama.cpp promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.contracts.engine_suite import (
    CHINESE,
    TEXT,
    CharacterSuite,
    EmbeddingSuite,
    EngineCase,
    HostedSuite,
    SamplingSuite,
    ScoringSuite,
    ToolSuite,
)

from ultralab.engines import engine
from ultralab.engines.base import Ask, LoadOptions
from ultralab.engines.host import Loaded
from ultralab.kernel.errors import EngineDied, EngineFailed
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT

pytestmark = pytest.mark.alone

OPTIONS = LoadOptions(context=512, threads=1)  # one thread: two spin against each other on a busy machine


class TestFake(HostedSuite, ScoringSuite, SamplingSuite, EmbeddingSuite, ToolSuite, CharacterSuite):
    """The fake that ships."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> EngineCase:
        path = tmp_path_factory.mktemp("fake") / "model.gguf"
        path.write_bytes(b"anything")
        return EngineCase(
            engine("fake"), path, FORMAT.read_header(from_path(smollm2)).shape, OPTIONS, b'{"fail_load": '
        )

    @pytest.fixture(scope="class")
    @classmethod
    def says(cls) -> tuple[Ask, str]:
        return Ask(({"role": "user", "content": CHINESE},), max_tokens=200), CHINESE

    def test_it_fails_to_load_when_it_is_told_to(self, case: EngineCase, tmp_path: Path) -> None:
        (tmp_path / "m").write_text(json.dumps({"fail_load": "no\x1b[31m luck"}))
        with (
            pytest.raises(EngineFailed, match=r"^the model could not be loaded: no�\[31m luck") as caught,
            case.load(open_ledger(tmp_path, case.planned), tmp_path / "log", tmp_path / "m"),
        ):
            pass
        assert "\x1b" not in caught.value.message
        assert not isinstance(caught.value, EngineDied)

    def test_it_dies_when_it_is_told_to(self, case: EngineCase, tmp_path: Path) -> None:
        (tmp_path / "m").write_text(json.dumps({"die_after": 2}))
        answers: list[tuple[int, ...]] = []

        def work() -> None:
            with case.load(open_ledger(tmp_path, case.planned), tmp_path / "log", tmp_path / "m") as model:
                answers.extend(model.client.tokenize("ab") for _ in range(3))

        with pytest.raises(EngineDied):
            work()
        assert answers == [(97, 98), (97, 98)]

    def test_it_takes_its_time_when_it_is_told_to(self, case: EngineCase, tmp_path: Path) -> None:
        (tmp_path / "m").write_text(json.dumps({"token_ms": 20}))
        with case.load(open_ledger(tmp_path, case.planned), tmp_path / "log", tmp_path / "m") as model:
            one = model.client.generate([97] * 10, 10, 1)
        assert one.arrivals[0] >= 0.2
        assert one.arrivals[-1] >= 0.38
        assert 25 < one.timings.decode_tok_s <= 51  # ten tokens, nine times 20 ms between them


class TestLlamaCpp(HostedSuite, ScoringSuite, SamplingSuite, EmbeddingSuite, ToolSuite, CharacterSuite):
    """The embedded llama.cpp with the small real model."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, smollm2: Path) -> EngineCase:
        return EngineCase(
            engine("llamacpp"),
            smollm2,
            FORMAT.read_header(from_path(smollm2)).shape,
            OPTIONS,
            smollm2.read_bytes()[:2_000_000],
        )

    @pytest.fixture(scope="class")
    @classmethod
    def says(cls) -> tuple[Ask, str]:
        return Ask(prompt="Emoji: 😀 😀 😀 😀 😀 😀 😀 😀", max_tokens=8), "😀"

    def test_its_clock_and_ours_agree_on_decode_speed(self, running: Loaded) -> None:
        prompt, count = running.client.tokenize(TEXT), 24
        one = running.client.generate(prompt, count, seed=1)
        ours = (count - 1) / (one.arrivals[-1] - one.arrivals[0])
        assert ours == pytest.approx(one.timings.decode_tok_s, rel=0.1)

    def test_it_weighs_what_the_plan_says(self, case: EngineCase, running: Loaded) -> None:
        tokens = running.client.tokenize(TEXT * 40)[:511]
        assert len(tokens) == 511
        running.client.generate(tokens, 1, seed=1)
        assert running.footprint() == pytest.approx(case.planned, rel=0.05)

    def test_a_fresh_process_scores_the_same_to_the_last_digit(
        self, case: EngineCase, running: Loaded, tmp_path: Path
    ) -> None:
        tokens = running.client.tokenize(TEXT)
        with case.load(open_ledger(tmp_path, case.planned), tmp_path / "log") as fresh:
            assert list(fresh.client.score(tokens)) == list(running.client.score(tokens))

    def test_it_knows_what_follows(self, running: Loaded) -> None:
        counting = running.client.tokenize("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")
        scores = list(running.client.score(counting))
        assert sum(score.favourite == score.token for score in scores[-10:]) >= 8
        assert sum(score.logprob for score in scores[-10:]) / 10 > -0.5
        assert "13" in running.client.generate(counting, 8, seed=1).text

    def test_it_is_loaded_within_a_minute(self, running: Loaded) -> None:
        assert running.load_seconds < 60
