"""Options for people and for an engine's process: what makes no sense, what an engine does not take, and who could do it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from ultralab.engines import choice, engine
from ultralab.engines.external import External
from ultralab.engines.options import (
    DEFAULTS,
    OPTIONS,
    Adapter,
    LoadOptions,
    PromptCache,
    Takes,
    from_data,
    given,
    not_taken,
    to_json,
    wrong,
)
from ultralab.engines.types import NO_SHAPE, ModelFile
from ultralab.kernel.errors import Unsupported

HERE = Path(__file__)


def test_options_reach_a_process_as_they_are() -> None:
    options = LoadOptions(
        context=5,
        draft=Path("a"),
        adapters=(Adapter(Path("b"), 0.5),),
        prompt_cache=PromptCache(Path("c"), 7),
        chat_template="{{ 你 }}",
        projector=Path("d"),
    )
    assert from_data(json.loads(to_json(options))) == options
    assert from_data(json.loads(to_json(DEFAULTS))) == DEFAULTS
    assert set(given(options)) == {"context", "draft", "adapters", "prompt_cache", "chat_template", "projector"}
    assert given(DEFAULTS) == ()
    assert set(OPTIONS) == set(json.loads(to_json(DEFAULTS)))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (LoadOptions(context=0), "context must be between 1 and 2147483647."),
        (LoadOptions(context=2**40), "context must be between 1 and 2147483647."),
        (LoadOptions(threads=-1), "threads must be between 0 and 4096."),
        (LoadOptions(seed=2**32 - 1), "seed must be between 0 and 4294967294."),
        (LoadOptions(ubatch=4096), "ubatch (4096) must not be larger than batch (2048)."),
        (LoadOptions(key_type="q3"), "key_type cannot be 'q3'."),
        (LoadOptions(weight_bits=5), "weight_bits must be 8, 4 or 0."),
        (LoadOptions(adapters=(Adapter(HERE, math.nan),)), f"The scale of the adapter {HERE} must be a number."),
        (LoadOptions(projector=HERE / "none"), f"{HERE / 'none'} does not exist."),
        (LoadOptions(prompt_cache=PromptCache(HERE.parent, -1)), "The limit of the prompt cache must not be negative."),
        (LoadOptions(prompt_cache=PromptCache(HERE, 1)), f"{HERE} is not a folder: prompts cannot be kept there."),
    ],
)
def test_what_no_engine_could_do(options: LoadOptions, reason: str) -> None:
    found = wrong(options)
    assert found is not None
    assert found.reason == reason


def test_what_makes_sense() -> None:
    for options in (DEFAULTS, LoadOptions(seed=2**32 - 2), LoadOptions(prompt_cache=PromptCache(HERE / "new", 0))):
        assert wrong(options) is None


def test_an_option_or_a_value_that_is_not_taken() -> None:
    takes = {"seed": Takes(""), "weight_bits": Takes("", (0, 8))}
    assert not_taken("x", takes, LoadOptions(seed=1, weight_bits=8)) is None
    found = not_taken("x", takes, LoadOptions(weight_bits=4))
    assert found is not None
    assert (found.reason, found.hint) == ("The engine x does not take weight_bits = 4.", "It takes: 0, 8.")
    found = not_taken("x", takes, LoadOptions(context=1))
    assert found is not None
    assert found.hint == "It takes: seed, weight_bits."


def test_a_refusal_names_who_can_and_nobody_who_only_might() -> None:
    model = ModelFile(HERE, "tiny", "gguf", NO_SHAPE)
    fake, external = engine("fake"), External("studio", "http://127.0.0.1:9")
    options = replace(DEFAULTS, weight_bits=8)
    assert choice.able([fake, external], model, DEFAULTS) == (fake, external)
    with pytest.raises(Unsupported) as caught:
        choice.require(fake, model, options, [fake, external])
    assert caught.value.message == "tiny: The engine fake does not take the option weight_bits."
    assert caught.value.data["able"] == []
    with pytest.raises(Unsupported) as caught:
        choice.require(fake, model, replace(DEFAULTS, weight_bits=5))
    assert caught.value.hint == "What each engine loads and takes: ultralab engines list --options."
    with pytest.raises(Unsupported, match="external:studio does not take") as caught:
        choice.require(external, model, LoadOptions(context=5), [fake, external])
    assert caught.value.data["able"] == ["fake"]
    assert caught.value.hint.endswith("Engines that can: fake.")
