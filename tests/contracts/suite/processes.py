"""The process of a model: alone, weighed, under a reservation, behind a secret, and gone afterwards."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from tests.contracts.suite.case import TEXT, EngineCase, Shared, Watched, another

from ultralab.engines.base import Ask, Launch
from ultralab.engines.host import Loaded
from ultralab.kernel.errors import EngineDied, EngineFailed, OutOfMemory, Unsupported
from ultralab.memory import Ledger, holders, open_ledger
from ultralab.system.process import Child, alive, identify


def child_of(running: Loaded) -> Child:
    """The process of a model that is ours."""
    assert running.child is not None
    return running.child


class ProcessSuite(Shared):
    """One process per model."""

    def test_launching_is_pure(self, case: EngineCase) -> None:
        first = case.engine.start(case.model, case.options, "secret")
        assert isinstance(first, Launch)
        assert first == case.engine.start(case.model, case.options, "secret")
        assert "secret" not in " ".join(first.argv)

    def test_the_secret_is_on_no_command_line_and_in_no_log(self, running: Loaded) -> None:
        running.client.tokenize(TEXT)
        lines = [psutil.Process(pid).cmdline() for pid in (running.pid, child_of(running).guard.pid)]
        assert [line for line in lines if any(running.endpoint.secret in word for word in line)] == []
        assert running.endpoint.secret not in running.log.read_text(errors="replace")
        assert [name for name, value in os.environ.items() if running.endpoint.secret in value] == []

    def test_what_was_asked_stands_in_no_log(self, running: Loaded) -> None:
        told = "a very private sentence"
        list(running.client.stream(Ask(prompt=told, max_tokens=2)))
        assert told not in running.log.read_text(errors="replace")

    def test_it_has_a_process_group_of_its_own(self, running: Loaded) -> None:
        assert os.getpgid(running.pid) != os.getpgrp()
        assert os.getpgid(running.pid) != os.getpgid(child_of(running).guard.pid)

    def test_its_version_is_what_the_engine_promised(self, case: EngineCase, running: Loaded) -> None:
        assert running.version == case.engine.availability().version

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
            (identify(), case.planned, case.title)
        ]

    def test_its_load_was_told_to_the_end(self, case: EngineCase, running: Loaded, watched: Watched) -> None:
        assert running.load_seconds > 0
        assert len(watched.labels) == 1
        assert case.title in watched.labels[0]
        assert min(watched.amounts) >= 0
        assert sum(watched.amounts) == pytest.approx(1)

    def test_others_see_that_it_works(self, case: EngineCase, running: Loaded) -> None:
        with another(case, running) as busy:
            stream = busy.stream(Ask(prompt=case.prompt, max_tokens=700))
            next(stream)
            assert running.client.health(5).busy in (0, 1)  # 0 where a tiny model is done already
            stream.close()  # type: ignore[attr-defined]

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
            assert caught.value.hint.count(case.title) == 2
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
        assert not child_of(seen[0]).running()
        assert identify(seen[0].pid) is None
        assert identify(child_of(seen[0]).guard.pid) is None
        assert holders(exact) == ()
        assert seen[0].footprint() == 0

    def test_a_killed_process_is_told_from_a_refusal(self, case: EngineCase, tmp_path: Path) -> None:
        exact, log = open_ledger(tmp_path, case.planned), tmp_path / "engine.log"

        def work() -> None:
            with case.load(exact, log) as model:
                scores = model.client.score(model.client.tokenize(TEXT) * 4)
                next(scores)
                os.kill(model.pid, signal.SIGKILL)
                list(scores)
                list(model.client.score([1, 2, 3]))  # where all scores had come with the first one

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
            child_of(model).guard.kill()
            child_of(model).guard.wait()
        assert not alive(engine)

    @pytest.mark.parametrize("wrong", ["missing", "damaged"])
    def test_a_file_that_is_no_model_is_refused_with_a_reason(
        self, case: EngineCase, tmp_path: Path, wrong: str
    ) -> None:
        exact, folder = open_ledger(tmp_path, case.planned), tmp_path / "models"
        folder.mkdir()
        before_it = set(psutil.Process().children(recursive=True))
        bad = case.damaged(folder) if wrong == "damaged" else folder / "nowhere.gguf"
        with (
            pytest.raises((EngineFailed, Unsupported)) as caught,
            case.load(exact, tmp_path / "engine.log", bad),
        ):
            pass
        assert not isinstance(caught.value, EngineDied)
        before = "could not be loaded: " if isinstance(caught.value, EngineFailed) else f"{case.title}: "
        assert len(caught.value.message.partition(before)[2]) > 3
        if isinstance(caught.value, EngineFailed):  # it was begun: its log tells more
            assert caught.value.data["log"] == str(tmp_path / "engine.log")
            assert str(tmp_path / "engine.log") in caught.value.hint
        assert holders(exact) == ()
        assert set(psutil.Process().children(recursive=True)) == before_it
