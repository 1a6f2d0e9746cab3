"""Requests that end early, come at once, are wrong, or follow one that was."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from tests.contracts.suite.case import HELLO, TEXT, EngineCase, Shared, another, answer, continued, within

from ultralab.engines.base import Ask, Endpoint
from ultralab.engines.host import Loaded
from ultralab.engines.types import Sampling
from ultralab.kernel.errors import EngineDied, EngineFailed, Unsupported
from ultralab.system import clock

TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
PROMPT_SECONDS = 10.0  # an engine that goes on with a request that nobody reads would take much longer


class RequestSuite(Shared):
    """What a client may do, and what becomes of the next request."""

    def test_what_it_says_it_can_do_is_true(self, case: EngineCase, running: Loaded) -> None:
        about = running.client.about()
        assert about.capabilities <= case.engine.capabilities
        assert {"chat", "completion"} <= about.capabilities
        assert about.context >= 0
        assert about.parallel >= 0
        assert answer(running.client, Ask(HELLO, max_tokens=2)).finish
        assert answer(running.client, Ask(prompt=TEXT, max_tokens=2)).finish

    def test_what_it_cannot_do_is_refused(self, case: EngineCase, running: Loaded) -> None:
        able = running.client.about().capabilities
        wishes: dict[str, Callable[[], object]] = {
            "scoring": lambda: list(running.client.score([1, 2, 3])),
            "embeddings": lambda: running.client.embed(["a text"]),
            "tools": lambda: answer(running.client, Ask(HELLO, max_tokens=2, tools=(TOOL,))),
        }
        for name, wish in wishes.items():
            if name not in able:
                expected = EngineFailed if name in case.engine.capabilities else Unsupported
                with pytest.raises((Unsupported, expected)) as caught:
                    wish()
                assert caught.value.message
        assert continued(running.client, case, 2).text is not None

    def test_it_is_well(self, running: Loaded) -> None:
        health = running.client.health(5)
        assert (health.busy, health.stalled) == (0, 0.0)

    def test_closing_a_stream_ends_the_work(self, case: EngineCase, running: Loaded) -> None:
        stream = running.client.stream(Ask(prompt=case.prompt, max_tokens=700))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        begun = clock.monotonic()
        assert continued(running.client, case, 2).timings.generated_tokens == 2
        assert clock.monotonic() - begun < PROMPT_SECONDS
        assert within(5, lambda: running.client.health(5).busy == 0)

    def test_a_stream_that_nobody_began_costs_nothing(self, case: EngineCase, running: Loaded) -> None:
        running.client.stream(Ask(prompt=case.prompt, max_tokens=700))
        assert running.client.health(5).busy == 0

    def test_two_clients_are_both_answered(self, case: EngineCase, running: Loaded) -> None:
        asks = (Ask(prompt=case.prompt, max_tokens=12), Ask(HELLO, max_tokens=12))
        alone = [answer(running.client, ask).text for ask in asks]
        found = ["", ""]

        def work(number: int) -> None:
            with another(case, running) as client:
                found[number] = answer(client, asks[number]).text

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert found == alone if case.parallel_exact else all(found)

    def test_a_prompt_beyond_the_context_is_refused_and_the_next_is_answered(
        self, case: EngineCase, running: Loaded
    ) -> None:
        context = running.client.about().context or case.options.context
        with pytest.raises(EngineFailed) as caught:
            answer(running.client, Ask(prompt=TEXT * (context // 8), max_tokens=4))
        assert not isinstance(caught.value, EngineDied)
        assert caught.value.message
        assert continued(running.client, case, 2).timings.generated_tokens == 2

    def test_an_empty_prompt_is_answered_or_refused(self, case: EngineCase, running: Loaded) -> None:
        refused = ""
        try:
            finish = answer(running.client, Ask(prompt="", max_tokens=3)).finish
        except EngineFailed as error:
            finish, refused = "refused", error.message
        assert finish in ("stop", "length") or refused
        assert continued(running.client, case, 2).timings.generated_tokens == 2

    def test_many_requests_use_one_client(self, case: EngineCase, running: Loaded) -> None:
        with another(case, running) as client:
            assert len({continued(client, case, 1).text for _ in range(12)}) == 1

    def test_a_stream_may_wait_for_its_reader(self, case: EngineCase, running: Loaded) -> None:
        stream = running.client.stream(Ask(prompt=case.prompt, max_tokens=12))
        pieces = [next(stream)]
        clock.sleep(0.5)
        pieces.extend(stream)
        assert "".join(piece.text for piece in pieces) == continued(running.client, case, 12).text

    def test_closing_a_client_twice_leaves_the_model(self, case: EngineCase, running: Loaded) -> None:
        with another(case, running) as client:
            assert client.chat(HELLO, 2) is not None
            client.close()
        assert continued(running.client, case, 2).timings.generated_tokens == 2

    def test_connecting_does_nothing_yet(self, case: EngineCase) -> None:
        client = case.engine.connect(Endpoint("http://127.0.0.1:9", "secret"))
        client.close()

    def test_nobody_at_the_address_is_an_engine_that_failed(self, case: EngineCase) -> None:
        client = case.engine.connect(Endpoint("http://127.0.0.1:9", "secret", "a model"))
        try:
            for wish in (
                lambda: client.chat(HELLO, 2),
                lambda: answer(client, Ask(prompt=TEXT)),
                lambda: client.health(2),
                client.about,
            ):
                with pytest.raises(EngineFailed) as caught:
                    wish()
                assert caught.value.message
        finally:
            client.close()


class SecretSuite(Shared):
    """A secret that is asked for: of every engine but those whose servers know none."""

    @pytest.mark.parametrize("secret", ["wrong", ""])
    def test_another_secret_is_refused(self, case: EngineCase, running: Loaded, secret: str) -> None:
        stranger = case.engine.connect(Endpoint(running.endpoint.base_url, secret, running.endpoint.model))
        try:
            for ask in (
                lambda: stranger.chat(HELLO, 2),
                lambda: answer(stranger, Ask(prompt=TEXT, max_tokens=2)),
            ):
                with pytest.raises(EngineFailed) as caught:
                    ask()
                assert caught.value.data["status"] == 401
                assert caught.value.message
        finally:
            stranger.close()
        assert continued(running.client, case, 2).timings.generated_tokens == 2


class SamplingSuite(Shared):
    """Engines that draw tokens by chance."""

    def drawn(self, case: EngineCase, running: Loaded, seed: int) -> str:
        """An answer at temperature 1."""
        return continued(running.client, case, sampling=Sampling(temperature=1.0, seed=seed)).text

    def test_a_seed_gives_its_answer_again(self, case: EngineCase, running: Loaded) -> None:
        self.drawn(case, running, 1)
        assert self.drawn(case, running, 7) == self.drawn(case, running, 7)

    def test_other_seeds_give_other_answers(self, case: EngineCase, running: Loaded) -> None:
        assert len({self.drawn(case, running, seed) for seed in range(1, 5)}) > 1

    def test_one_candidate_is_the_greedy_answer(self, case: EngineCase, running: Loaded) -> None:
        only = Sampling(temperature=1.0, top_k=1, seed=3)
        assert continued(running.client, case, sampling=only).text == continued(running.client, case).text
