"""What every engine owes to those above it: the obligations of ``engines.base`` and ``engines.host``, as tests.

Subclass :class:`EngineSuite` and give it a class-scoped fixture ``case``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from ultralab.engines.base import Endpoint, Engine, LoadOptions, ModelFile
from ultralab.engines.host import Loaded, Request, loaded
from ultralab.kernel.errors import EngineDied, EngineFailed, OutOfMemory
from ultralab.memory import Ledger, holders, open_ledger
from ultralab.planner.types import ModelShape
from ultralab.system import clock
from ultralab.system.process import alive, identify

TEXT = "The capital of France is Paris, and the capital of Italy is Rome."


@dataclass(frozen=True)
class EngineCase:
    """An engine, a model that it can load, and the content of a file that it cannot."""

    engine: Engine
    path: Path
    shape: ModelShape
    options: LoadOptions
    corrupt: bytes

    @property
    def model(self) -> ModelFile:
        """The model as engines are given it."""
        return ModelFile(self.path, "the model", "gguf", self.shape)

    @property
    def planned(self) -> int:
        """Bytes that loading the model reserves."""
        return self.engine.plan(self.shape, self.options).total

    def load(self, ledger: Ledger, log: Path, path: Path | None = None) -> AbstractContextManager[Loaded]:
        """Load the model (or another file in its place)."""
        request = Request(ModelFile(path or self.path, "the model", "gguf", self.shape), self.options)
        return loaded(self.engine, request, ledger=ledger, log=log)


def is_gone(pid: int, within: float = 5) -> bool:
    """Whether a process ends in time."""
    deadline = clock.monotonic() + within
    while clock.monotonic() < deadline:
        if identify(pid) is None:
            return True
        clock.sleep(0.02)
    return identify(pid) is None


class EngineSuite:
    """Runs against one engine. Tests that take ``running`` share one loaded model."""

    @pytest.fixture(scope="class")
    @classmethod
    def ledger(cls, case: EngineCase, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
        """Room for two models, not for three."""
        return open_ledger(tmp_path_factory.mktemp("ledger"), 2 * case.planned)

    @pytest.fixture(scope="class")
    @classmethod
    def running(cls, case: EngineCase, ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
        """The model that is loaded once."""
        with case.load(ledger, tmp_path_factory.mktemp("log") / "engine.log") as model:
            yield model

    def test_it_is_available_and_names_itself(self, case: EngineCase, running: Loaded) -> None:
        state = case.engine.availability()
        assert (state.ready, state.reason, state.hint) == (True, "", "")
        assert running.engine == case.engine.name
        assert running.version == state.version
        assert running.load_seconds > 0
        assert case.engine.formats
        assert {"chat", "completion", "scoring"} <= case.engine.capabilities

    def test_launching_is_pure(self, case: EngineCase) -> None:
        first = case.engine.start(case.model, case.options, "secret")
        assert first == case.engine.start(case.model, case.options, "secret")
        assert "secret" not in " ".join(first.argv)

    def test_the_secret_is_on_no_command_line_and_in_no_log(self, running: Loaded) -> None:
        running.client.tokenize(TEXT)
        lines = [psutil.Process(pid).cmdline() for pid in (running.pid, running.child.guard.pid)]
        assert [line for line in lines if any(running.endpoint.secret in word for word in line)] == []
        assert running.endpoint.secret not in running.log.read_text(errors="replace")

    def test_tokens_are_stable(self, running: Loaded) -> None:
        tokens = running.client.tokenize(TEXT)
        assert len(tokens) > 8
        assert running.client.tokenize(TEXT) == tokens
        assert running.client.tokenize(TEXT * 2)[: len(tokens) - 1] == tokens[:-1]

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
            assert one.timings.decode_tok_s > 0
        assert first.text == again.text != ""

    def test_characters_of_several_tokens_count_as_their_tokens(self, running: Loaded) -> None:
        prompt = running.client.tokenize("Emoji: 😀 😀 😀 😀 😀 😀 😀 😀")
        one = running.client.generate(prompt, 4, seed=1)
        assert len(one.arrivals) == one.timings.generated_tokens == 4
        assert list(one.arrivals) == sorted(one.arrivals)

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

    def test_it_chats(self, running: Loaded) -> None:
        answer = running.client.chat([{"role": "user", "content": "Say hello."}], max_tokens=8)
        assert answer.strip()
        assert running.client.chat([{"role": "user", "content": "Say hello."}], max_tokens=8) == answer

    @pytest.mark.parametrize("secret", ["wrong", ""])
    def test_another_secret_is_refused(self, case: EngineCase, running: Loaded, secret: str) -> None:
        stranger = case.engine.connect(Endpoint(running.endpoint.base_url, secret))
        try:
            for ask in (
                lambda: stranger.tokenize(TEXT),
                lambda: stranger.generate([1, 2, 3], 2, 1),
                lambda: list(stranger.score([1, 2, 3])),
                lambda: stranger.chat([{"role": "user", "content": "Hello"}], 2),
            ):
                with pytest.raises(EngineFailed) as caught:
                    ask()
                assert caught.value.data == {"status": 401}
        finally:
            stranger.close()
            stranger.close()
        assert running.client.tokenize("Hi")

    def test_it_listens_on_loopback_alone(self, running: Loaded) -> None:
        ours = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
        listening = [
            (link.laddr.ip, link.laddr.port)
            for one in ours
            for link in one.net_connections(kind="inet")
            if link.status == psutil.CONN_LISTEN
        ]
        where = urlsplit(running.endpoint.base_url)
        assert listening == [(where.hostname, where.port)]
        assert where.hostname == "127.0.0.1"

    def test_its_weight_is_known(self, running: Loaded) -> None:
        assert 0 < running.baseline <= running.footprint()

    def test_the_ledger_knows_it(self, case: EngineCase, ledger: Ledger, running: Loaded) -> None:
        assert [(item.holder, item.amount, item.purpose) for item in holders(ledger)] == [
            (identify(), case.planned, "the model")
        ]

    def test_too_long_a_request_is_refused_and_the_next_is_answered(self, case: EngineCase, running: Loaded) -> None:
        prompt = running.client.tokenize(TEXT)
        long = (prompt * (case.options.context // len(prompt) + 2))[: case.options.context + 20]
        with pytest.raises(EngineFailed) as caught:
            running.client.generate(long, 1, seed=1)
        assert not isinstance(caught.value, EngineDied)
        assert len(running.client.generate(prompt, 2, seed=1).arrivals) == 2

    def test_two_models_at_once_and_no_third(
        self, case: EngineCase, ledger: Ledger, running: Loaded, tmp_path: Path
    ) -> None:
        with case.load(ledger, tmp_path / "second.log") as second:
            tokens = second.client.tokenize(TEXT)[:4]
            assert list(second.client.score(tokens)) == list(running.client.score(tokens))
            assert second.pid != running.pid
            assert second.endpoint != running.endpoint
            mine = {child.pid for child in psutil.Process().children(recursive=True)}
            with pytest.raises(OutOfMemory) as caught, case.load(ledger, tmp_path / "third.log"):
                pass
            assert caught.value.hint.count("the model") == 2
            assert {child.pid for child in psutil.Process().children(recursive=True)} == mine
            assert not (tmp_path / "third.log").exists()
        assert running.client.tokenize("Hi")
        assert [item.amount for item in holders(ledger)] == [case.planned]

    @pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt])
    def test_nothing_is_left_after_the_block(
        self, case: EngineCase, tmp_path: Path, error: type[BaseException] | None
    ) -> None:
        exact = open_ledger(tmp_path, case.planned)
        seen: list[Loaded] = []

        def work() -> None:
            with case.load(exact, tmp_path / "engine.log") as model:
                seen.append(model)
                assert [item.amount for item in holders(exact)] == [case.planned]
                if error:
                    raise error

        if error:
            with pytest.raises(error):
                work()
        else:
            work()
        assert not seen[0].child.running()
        assert identify(seen[0].pid) is None
        assert identify(seen[0].child.guard.pid) is None
        assert holders(exact) == ()
        assert seen[0].footprint() == 0

    def test_a_killed_process_is_told_from_a_refusal(self, case: EngineCase, tmp_path: Path) -> None:
        exact, log = open_ledger(tmp_path, case.planned), tmp_path / "engine.log"

        def work() -> None:
            with case.load(exact, log) as model:
                scores = model.client.score(model.client.tokenize(TEXT))
                next(scores)
                os.kill(model.pid, signal.SIGKILL)
                list(scores)

        with pytest.raises(EngineDied) as caught:
            work()
        assert caught.value.data == {"log": str(log), "status": 128 + signal.SIGKILL}
        assert str(log) in caught.value.hint
        assert "signal 9" in caught.value.message
        assert holders(exact) == ()

    def test_the_process_ends_even_when_its_guard_was_killed(self, case: EngineCase, tmp_path: Path) -> None:
        with case.load(open_ledger(tmp_path, case.planned), tmp_path / "engine.log") as model:
            engine = identify(model.pid)
            assert engine is not None
            model.child.guard.kill()
            model.child.guard.wait()
        assert not alive(engine)

    def test_a_file_that_is_no_model_is_refused_with_a_reason(self, case: EngineCase, tmp_path: Path) -> None:
        exact, bad = open_ledger(tmp_path, case.planned), tmp_path / "bad.gguf"
        for content in (None, case.corrupt):
            if content is not None:
                bad.write_bytes(content)
            with pytest.raises(EngineFailed) as caught, case.load(exact, tmp_path / "engine.log", bad):
                pass
            assert not isinstance(caught.value, EngineDied)
            assert caught.value.message.startswith("the model could not be loaded: ")
            assert len(caught.value.message) > len("the model could not be loaded: ")
            assert caught.value.data == {"log": str(tmp_path / "engine.log")}
            assert holders(exact) == ()
            assert [child for child in psutil.Process().children() if str(bad) in str(child.cmdline())] == []
