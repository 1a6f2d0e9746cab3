"""The text model on mlx-lm against mlx-lm's own generation, on tiny random models."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.hf_maker import hf_llama, packed_llama
from tests.unit.engines.mlx.drive import calls_seen, load, run, tokens

from ultralab.engines.options import LoadOptions
from ultralab.engines.serving.types import Job
from ultralab.engines.types import GREEDY, Sampling

mx = pytest.importorskip("mlx.core")
pytestmark = pytest.mark.alone

OPTIONS = LoadOptions(context=256, threads=1, ubatch=16)
PROMPT = tuple(range(40, 90))
COUNT = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_llama(tmp_path_factory.mktemp("mlx") / "model")


@pytest.fixture
def model(folder: Path) -> Any:
    return load(folder, OPTIONS)


def of_mlx_lm(folder: Path, prompt: tuple[int, ...] = PROMPT, count: int = COUNT, **more: Any) -> list[Any]:
    """What ``mlx_lm.stream_generate`` gives: (token, log-probabilities)."""
    from mlx_lm.generate import stream_generate
    from mlx_lm.utils import load as load_all

    bare, tokenizer = load_all(str(folder))[:2]
    tokenizer.eos_token_ids = set()
    found = stream_generate(bare, tokenizer, list(prompt), max_tokens=count + 1, prefill_step_size=16, **more)
    return [(one.token, one.logprobs) for one in found][:count]


def test_greedy_tokens_and_their_probabilities_are_mlx_lms(folder: Path, model: Any) -> None:
    [steps] = run(model, [Job(PROMPT, COUNT, top=3)])
    theirs = of_mlx_lm(folder)
    assert tokens(steps) == [token for token, _row in theirs]
    for step, (token, row) in zip(steps, theirs, strict=True):
        assert step.logprob == pytest.approx(row[token].item(), abs=1e-5)
        assert step.top[0][0] == token
        assert step.top[0][1] == pytest.approx(step.logprob)
        assert [one for _token, one in step.top] == sorted((one for _token, one in step.top), reverse=True)
        assert (len(step.top), step.read, step.cached) == (3, len(PROMPT), 0)


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_a_quantized_cache_is_mlx_lms(tmp_path: Path, kind: str) -> None:
    folder = wide_llama(tmp_path / "wide")
    model = load(folder, LoadOptions(context=256, ubatch=16, key_type=kind, value_type=kind))
    [first] = run(model, [Job(PROMPT, COUNT)])
    assert tokens(first) == [token for token, _row in of_mlx_lm(folder, kv_bits=int(kind[1]), quantized_kv_start=0)]
    [again] = run(model, [Job((*PROMPT, *tokens(first), 7), 3)])
    assert again[0].cached == len(PROMPT) + COUNT


def wide_llama(path: Path) -> Path:
    """A llama whose heads have 64 numbers: MLX quantizes them in groups of that."""
    import numpy as np
    from tests.hf_maker import HIDDEN, INNER, VOCABULARY, llama_config, save, write_tokenizer

    path.mkdir()
    rng = np.random.default_rng(5)
    shapes = {
        "model.embed_tokens": (VOCABULARY, HIDDEN), "lm_head": (VOCABULARY, HIDDEN), "model.norm": (HIDDEN,),
        **{f"model.layers.{layer}.{name}": shape for layer in range(2) for name, shape in {
            "self_attn.q_proj": (256, HIDDEN), "self_attn.k_proj": (128, HIDDEN), "self_attn.v_proj": (128, HIDDEN),
            "self_attn.o_proj": (HIDDEN, 256), "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN),
            "mlp.down_proj": (HIDDEN, INNER), "input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,),
        }.items()},
    }  # fmt: skip
    made = {f"{name}.weight": rng.normal(0, 0.12, shape).astype(np.float32) for name, shape in shapes.items()}
    save(path / "model.safetensors", {name: ("F32", array) for name, array in made.items()})
    (path / "config.json").write_text(json.dumps(llama_config(head_dim=64)))
    write_tokenizer(path)
    return path


def test_a_cached_beginning_changes_nothing_but_what_is_computed(model: Any) -> None:
    [fresh] = run(model, [Job(PROMPT, COUNT, reuse=False)])
    longer = (*PROMPT, 5, 6, 7)
    [alone] = run(model, [Job(longer, COUNT, reuse=False, top=1)])
    run(model, [Job(PROMPT, COUNT)])
    [cached] = run(model, [Job(longer, COUNT, top=1)])
    [again] = run(model, [Job(longer, COUNT)])
    assert [steps[0].cached for steps in (fresh, alone, cached, again)] == [0, 0, len(PROMPT), len(longer) - 1]
    assert tokens(alone) == tokens(cached) == tokens(again)
    assert [one.logprob for one in cached] == pytest.approx([one.logprob for one in alone], abs=1e-4)


def test_nothing_is_kept_beyond_the_room(folder: Path) -> None:
    model = load(folder, OPTIONS, room=1000)
    for _time in range(2):
        [steps] = run(model, [Job(PROMPT, 2)])
        assert steps[0].cached == 0


def test_where_there_is_room_for_one_the_kept_cache_moves(folder: Path) -> None:
    for parallel in (1, 2):
        model = load(folder, replace(OPTIONS, parallel=parallel), room=140_000)  # 256 cells take 131,072
        for wanted in (0, len(PROMPT) - 1, len(PROMPT) - 1):
            model.begin(1, Job(PROMPT, 2))
            [first] = [step for _time in range(6) for step in model.step() if step.token is not None][:1]
            assert first.cached == wanted
            model.end(1)
        [other] = run(model, [Job(PROMPT[::-1], 2)])
        [again] = run(model, [Job(PROMPT, 2)])
        assert (other[0].cached, again[0].cached) == (0, 0)


def test_together_they_say_what_each_says_alone(folder: Path, model: Any) -> None:
    warm = Sampling(temperature=0.9, top_p=0.9, top_k=40, seed=3)
    jobs = [
        Job(PROMPT, 9),
        Job(PROMPT[7:20], 14, warm, top=2),
        Job(PROMPT[:33], 5, Sampling(temperature=1.0, seed=8)),
        Job((9,), 6, Sampling(repeat_penalty=1.3)),
    ]
    alone = [run(model, [job])[0] for job in jobs]
    together = run(load(folder, LoadOptions(context=256, ubatch=16, parallel=4)), jobs)
    assert [tokens(one) for one in together] == [tokens(one) for one in alone]
    logprobs = [[step.logprob for step in one[1]] for one in (together, alone)]
    assert logprobs[0] == pytest.approx(logprobs[1], abs=1e-4)


def test_who_comes_and_goes_does_not_disturb_the_others(folder: Path) -> None:
    model = load(folder, LoadOptions(context=256, ubatch=16, parallel=3))
    [wanted] = run(model, [Job(PROMPT, 10, reuse=False)])
    model.begin(1, Job(PROMPT, 10, reuse=False))
    model.begin(2, Job(PROMPT[5:], 10))
    found: list[int] = []
    while len(found) < 10:
        steps = model.step()
        found += [step.token for step in steps if step.job == 1 and step.token is not None]
        if len(found) == 2:
            model.end(2)
            model.begin(3, Job(PROMPT[:5], 10))
    for number in (1, 2, 3, 99):
        model.end(number)
    assert found == tokens(wanted)
    assert model.step() == ()
    [kept] = run(model, [Job((*PROMPT[5:], 1), 1)])
    assert kept[0].cached > 0


def test_seeds_decide(model: Any) -> None:
    def drawn(seed: int) -> list[int]:
        return tokens(run(model, [Job(PROMPT, COUNT, Sampling(temperature=1.0, seed=seed))])[0])

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(4)}) == 4
    assert tokens(run(model, [Job(PROMPT, COUNT, Sampling(temperature=1.0, top_k=1, seed=5))])[0]) == tokens(
        run(model, [Job(PROMPT, COUNT)])[0]
    )


def test_penalties_see_prompt_and_answer_and_leave_what_is_reported(model: Any) -> None:
    [plain] = run(model, [Job(PROMPT, 1, top=1)])
    best = plain[0].top[0][0]
    [punished] = run(model, [Job((best, *PROMPT), 30, Sampling(presence_penalty=2.0, frequency_penalty=2.0), top=1)])
    said = tokens(punished)
    assert len(set(said)) > len(set(tokens(run(model, [Job((best, *PROMPT), 30)])[0])))
    assert any(step.top[0][0] != step.token for step in punished)
    assert all(step.logprob <= step.top[0][1] for step in punished)


def test_a_draft_changes_nothing_but_the_speed(tmp_path: Path, folder: Path) -> None:
    other = hf_llama(tmp_path / "draft", seed=9)
    [plain] = run(load(folder, OPTIONS), [Job(PROMPT, COUNT)])
    for draft in (folder, other):  # one that is always right, one that never is
        model = load(folder, LoadOptions(context=256, ubatch=16, draft=draft))
        [steps] = run(model, [Job(PROMPT, COUNT, top=1)])
        assert tokens(steps) == tokens(plain)
        assert all(math.isfinite(step.logprob) for step in steps)
        longer = (*PROMPT, *tokens(steps), 3, 4)
        [cached] = run(model, [Job(longer, COUNT)])
        [fresh] = run(model, [Job(longer, COUNT, reuse=False)])
        assert cached[0].cached >= len(PROMPT)
        assert tokens(cached) == tokens(fresh)


def test_a_draft_of_another_vocabulary_is_refused(tmp_path: Path, folder: Path) -> None:
    other = hf_llama(tmp_path / "draft")
    path = other / "tokenizer.json"
    said = json.loads(path.read_text())
    said["model"]["vocab"] |= {"a": said["model"]["vocab"]["b"], "b": said["model"]["vocab"]["a"]}
    path.write_text(json.dumps(said))
    with pytest.raises(ValueError, match="vocabulary"):
        load(folder, LoadOptions(context=256, draft=other))


def test_scores_are_those_of_the_whole_text_at_once(folder: Path, model: Any) -> None:
    from mlx_lm.utils import load_model

    bare, _config = load_model(folder)
    rows = bare(mx.array([PROMPT]))[0].astype(mx.float32)
    rows = rows - mx.logsumexp(rows, axis=-1, keepdims=True)
    wanted = [rows[place, token].item() for place, token in enumerate(PROMPT[1:])]
    first = list(model.score(PROMPT))
    run(model, [Job(PROMPT, 5)])
    assert list(model.score(PROMPT)) == first
    assert [one.logprob for one in first] == pytest.approx(wanted, abs=1e-5)
    assert [one.token for one in first] == list(PROMPT[1:])
    assert [one.favourite for one in first] == mx.argmax(rows, axis=-1).tolist()[:-1]
    assert list(model.score(PROMPT[:1])) == []


def test_embeddings(model: Any) -> None:
    one, same, other = (model.embed(part) for part in (PROMPT, PROMPT, PROMPT[::-1]))
    assert one == same != other
    assert sum(value * value for value in one) == pytest.approx(1)
    assert len(one) == 64
    with pytest.raises(ValueError, match="without tokens"):
        model.embed(())


def test_a_prompt_is_kept_on_disk_for_the_same_model_only(tmp_path: Path, folder: Path, model: Any) -> None:
    assert model.keep(tmp_path / "nothing") == 0
    run(model, [Job(PROMPT, 4)])
    assert model.keep(tmp_path / "kept") == len(PROMPT) + 4
    fresh = load(folder, OPTIONS)
    assert fresh.recall(tmp_path / "kept") == len(PROMPT) + 4
    [steps] = run(fresh, [Job(PROMPT, 4)])
    assert steps[0].cached == len(PROMPT) - 1
    for other in (hf_llama(tmp_path / "other", dtype="F16"), hf_llama(tmp_path / "tuned", seed=9)):
        with pytest.raises(ValueError, match="another model"):  # the second one's files have the same sizes
            load(other, OPTIONS).recall(tmp_path / "kept")
    [file] = [one for one in tmp_path.iterdir() if one.name.startswith("kept")]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        fresh.recall(tmp_path / "kept")
    with pytest.raises(ValueError, match="no prompt is kept"):
        fresh.recall(tmp_path / "absent")


def test_loading_tells_how_far_it_is(folder: Path) -> None:
    told: list[float] = []
    load(folder, OPTIONS, told=told)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) >= 2


def test_unloading_gives_the_memory_back(folder: Path) -> None:
    import gc

    gc.collect()
    mx.clear_cache()
    before = mx.get_active_memory()
    model = load(folder, OPTIONS)
    run(model, [Job(PROMPT, COUNT)])
    assert mx.get_active_memory() > before + 500_000
    model.unload()
    assert mx.get_active_memory() == before
    assert mx.get_cache_memory() == 0


def test_the_wired_limit_is_never_touched(folder: Path) -> None:
    wired = {"wired_limit", "maybe_set_recommended_wired_limit", "set_wired_limit"}
    with calls_seen() as seen:
        of_mlx_lm(folder, count=2)
    assert wired & seen  # so it would be noticed
    with calls_seen() as seen:
        for options in (OPTIONS, LoadOptions(parallel=2, context=256), LoadOptions(draft=folder, context=256)):
            model = load(folder, options)
            run(model, [Job(PROMPT, 3, GREEDY, top=1)])
            list(model.score(PROMPT))
            model.embed(PROMPT)
            model.unload()
    assert len(seen) > 100
    assert wired & seen == set()


def test_awq_is_computed_as_what_it_stands_for(tmp_path: Path) -> None:
    meant = packed_llama(tmp_path / "awq", "awq")
    whole = hf_llama(tmp_path / "whole", weights={name: array.astype("float32") for name, array in meant.items()})
    ours, theirs = ([one.logprob for one in load(path, OPTIONS).score(PROMPT)] for path in (tmp_path / "awq", whole))
    assert ours == pytest.approx(theirs, abs=0.02)  # float16 against float32


def test_an_adapter_works_as_strongly_as_it_is_told(tmp_path: Path, folder: Path) -> None:
    from ultralab.engines.options import Adapter

    path = adapter(tmp_path / "adapter")
    plain, none, half, whole = (
        [one.logprob for one in load(folder, LoadOptions(context=256, adapters=adapters)).score(PROMPT)]
        for adapters in ((), (Adapter(path, 0.0),), (Adapter(path, 0.5),), (Adapter(path),))
    )
    assert none == pytest.approx(plain, abs=1e-5)
    assert max(abs(a - b) for a, b in zip(plain, whole, strict=True)) > 0.05
    assert half not in (plain, whole)


def adapter(path: Path) -> Path:
    """A random LoRA in mlx-lm's form."""
    import numpy as np
    from safetensors.numpy import save_file

    path.mkdir()
    parameters = {"rank": 4, "scale": 10.0, "dropout": 0.0, "keys": ["self_attn.q_proj"]}
    said = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": parameters}
    (path / "adapter_config.json").write_text(json.dumps(said))
    rng = np.random.default_rng(1)
    save_file(
        {
            f"model.layers.{layer}.self_attn.q_proj.lora_{name}": rng.normal(
                0, 0.3, (64, 4) if name == "a" else (4, 64)
            ).astype(np.float32)
            for layer in range(2)
            for name in "ab"
        },
        str(path / "adapters.safetensors"),
    )
    return path


def test_a_template_of_ones_own(folder: Path, model: Any) -> None:
    said = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "!"}]}]
    assert "chat" not in model.facts.capabilities
    with pytest.raises(ValueError, match="no chat template"):
        model.render(said, ())
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if tools %}T{% endif %}{{ raise_exception('no') if bad }}"
    own = load(folder, LoadOptions(context=256, chat_template=template))
    assert own.facts.template == template
    assert {"chat", "completion", "scoring", "embeddings"} == own.facts.capabilities
    assert own.render(said, ()) == "<user>Hi!"
    assert own.render(said, [{"type": "function", "function": {"name": "f"}}]) == "<user>Hi!T"


def test_tool_calls_in_the_models_own_form(folder: Path) -> None:
    template = "{{ messages[0].content }}<tool_call>{{ tool_call.name }}</tool_call><think></think>"
    model = load(folder, LoadOptions(context=256, chat_template=template))
    assert model.facts.calling == ("<tool_call>", "</tool_call>")
    assert "tools" in model.facts.capabilities
    [call] = model.calls('{"name": "f", "arguments": {"a": "ü"}}', ())
    assert (call.name, call.arguments) == ("f", '{"a": "ü"}')
    assert call.id
    with pytest.raises(ValueError, match="no tool call"):
        model.calls("nonsense", ())


def test_text_and_tokens(model: Any) -> None:
    text = "The quick 😀 春天 fox"
    found = model.encode(text, special=True)
    assert model.decode(found) == text
    assert model.decode(found[:-1]) != text
    assert model.decode([0, 1]) == "<s></s>"
    assert model.encode("<s>", special=False) == [0]
    assert (model.facts.vocabulary, model.facts.ends) == (512, frozenset({1}))
