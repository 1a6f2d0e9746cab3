"""Options that an engine takes do what they say; those that it does not take cannot be had by another way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.suite.case import HELLO, TEXT, EngineCase, Shared, another, answer

from ultralab.engines import choice
from ultralab.engines.base import Ask
from ultralab.engines.host import Loaded
from ultralab.engines.options import PromptCache
from ultralab.kernel.errors import EngineFailed, Unsupported
from ultralab.memory import open_ledger

SHOUT = "{% for message in messages %}<{{ message['role'] }}|{{ message['content'] }}>{% endfor %}"


@contextmanager
def loaded_with(case: EngineCase, folder: Path, **options: object) -> Iterator[Loaded]:
    """The case's model with other options."""
    asked = replace(case, options=replace(case.options, **options))  # type: ignore[arg-type]
    with asked.load(open_ledger(folder, 10**15), folder / "engine.log") as running:
        yield running


class LoadingSuite(Shared):
    """Options that change what is served."""

    def test_a_chat_template_takes_the_place_of_the_models_own(
        self, case: EngineCase, running: Loaded, tmp_path: Path
    ) -> None:
        if "chat_template" not in case.engine.options:
            assert "<user|Say hello.>" not in running.client.template(HELLO)
            return
        with loaded_with(case, tmp_path, chat_template=SHOUT) as model:
            assert model.client.template(HELLO).endswith("<user|Say hello.>")
            assert model.client.about().template == SHOUT
            one = answer(model.client, Ask(HELLO, max_tokens=2))
            assert abs(one.read - len(model.client.tokenize("<user|Say hello.>"))) <= 1

    def test_a_kept_prompt_is_not_read_again_by_the_next_process(
        self, case: EngineCase, running: Loaded, tmp_path: Path
    ) -> None:
        if "prompt_cache" not in case.engine.options:
            with pytest.raises((Unsupported, EngineFailed)):
                running.client.keep("kept")
            return
        long = Ask(prompt=f"Kept for later. {TEXT * 2}", max_tokens=3)
        (tmp_path / "kept").mkdir()
        cache = PromptCache(tmp_path / "kept", 10**9)
        with loaded_with(case, tmp_path, prompt_cache=cache) as first:
            fresh = answer(first.client, long)
            assert first.client.keep("mine") >= fresh.read - 1
        with loaded_with(case, tmp_path, prompt_cache=cache) as second:
            assert second.client.recall("mine") >= fresh.read - 1
            again = answer(second.client, long)
        assert again.timings.cached_tokens >= fresh.read // 2
        assert (again.read, again.text) == (fresh.read, fresh.text)

    @pytest.mark.parametrize("name", ["../outside", "a/b", "/etc/passwd", "", ".."])
    def test_a_prompt_is_kept_in_its_folder_alone(self, running: Loaded, name: str) -> None:
        for wish in (running.client.keep, running.client.recall):
            with pytest.raises((Unsupported, EngineFailed)):
                wish(name)

    def test_several_are_served_at_once(self, case: EngineCase, tmp_path: Path) -> None:
        two = replace(case.options, parallel=2)
        if choice.refusal(case.engine, case.model, two) is not None:
            assert case.options.parallel == 1
            return
        with loaded_with(case, tmp_path, parallel=2) as model, another(case, model) as second:
            assert (model.client.about().parallel, model.client.about().context) == (2, case.options.context)
            alone = answer(second, Ask(prompt=TEXT, max_tokens=4))
            stream = model.client.stream(Ask(prompt=case.prompt, max_tokens=600))
            next(stream)
            beside = answer(second, Ask(prompt=TEXT, max_tokens=4))
            assert beside.timings.generated_tokens == alone.timings.generated_tokens == 4
            stream.close()  # type: ignore[attr-defined]
