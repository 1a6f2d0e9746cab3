"""A model in PyTorch against transformers' own ``generate`` and a plain forward pass."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.hf_maker import hf_llama, llama_config

from ultralab.engines.options import Adapter, LoadOptions
from ultralab.engines.serving.types import Job, Step
from ultralab.engines.types import Sampling

if TYPE_CHECKING:
    from ultralab.engines.torch.model import TorchModel

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.filterwarnings("ignore::FutureWarning")]

OPTIONS = LoadOptions(context=200, threads=1, ubatch=8, parallel=2)
TEXT = "the quick brown fox jumps over the lazy dog and the lazy dog jumps over the quick brown fox"
GREEDY = Sampling(seed=0)
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if not messages %}{{ raise_exception('no') }}{% endif %}"  # fmt: skip


def loaded(path: Path, options: LoadOptions = OPTIONS) -> TorchModel:
    from ultralab.engines.torch.model import load

    return load(path, options, lambda _share: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    """The same folder in transformers, with nothing of ours."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True).eval()


@pytest.fixture
def model(folder: Path) -> Iterator[TorchModel]:
    made = loaded(folder)
    yield made
    assert made.step() == [], "a test left a job in"


def finish(model: TorchModel, jobs: dict[int, Job]) -> dict[int, list[Step]]:
    """Run jobs together until each has its tokens."""
    steps: dict[int, list[Step]] = {number: [] for number in jobs}
    for number, job in jobs.items():
        model.begin(number, job)
    while any(len(tokens(steps[number])) < job.max_tokens for number, job in jobs.items()):
        for step in model.step():
            steps[step.job].append(step)
            if len(tokens(steps[step.job])) == jobs[step.job].max_tokens:
                model.end(step.job)
    return steps


def tokens(steps: Sequence[Step]) -> list[int]:
    return [step.token for step in steps if step.token is not None]


def generated(plain: Any, prompt: Sequence[int], count: int, **how: Any) -> list[int]:
    """What transformers' own ``generate`` writes."""
    import torch

    wanted = {"do_sample": False, "max_new_tokens": count, "eos_token_id": None, **how}
    found = plain.generate(torch.tensor([list(prompt)]), attention_mask=torch.ones(1, len(prompt)), **wanted)
    return [int(token) for token in found[0][len(prompt) :]]


def logprobs(plain: Any, text: Sequence[int]) -> Any:
    """Log-probabilities after each token, in one pass."""
    import torch

    with torch.inference_mode():
        return torch.log_softmax(plain(torch.tensor([list(text)])).logits[0].float(), dim=-1)


def test_greedy_tokens_are_those_of_transformers(model: TorchModel, plain: Any) -> None:
    prompt = tuple(model.encode(TEXT, special=True))
    assert len(prompt) > 2 * OPTIONS.ubatch, "several pieces"
    steps = finish(model, {1: Job(prompt, 40, GREEDY, top=3)})[1]
    assert tokens(steps) == generated(plain, prompt, 40)
    read = [step.read for step in steps if step.token is None]
    assert read == list(range(8, len(prompt), 8))
    after = logprobs(plain, (*prompt, *tokens(steps)))
    for place, step in enumerate((step for step in steps if step.token is not None), len(prompt) - 1):
        assert step.logprob == pytest.approx(float(after[place][step.token]), abs=1e-4)
        best = after[place].topk(3)
        assert [token for token, _ in step.top] == best.indices.tolist()
        assert [value for _, value in step.top] == pytest.approx(best.values.tolist(), abs=1e-4)


def test_requests_at_once_get_what_they_get_alone(model: TorchModel, plain: Any) -> None:
    prompts = [tuple(model.encode(text, special=True)) for text in (TEXT, "the lazy dog")]
    steps = finish(model, {number: Job(prompt, 12, GREEDY) for number, prompt in enumerate(prompts)})
    for number, prompt in enumerate(prompts):
        assert tokens(steps[number]) == generated(plain, prompt, 12)


def test_the_cache_of_earlier_requests_changes_nothing_but_the_work(model: TorchModel, plain: Any) -> None:
    prompt = tuple(model.encode(TEXT, special=True))
    first = finish(model, {1: Job(prompt, 8, GREEDY)})[1]
    longer = (*prompt, *tokens(first)[:5], 77, 78)
    for wanted, cached in (
        (Job(longer, 8, GREEDY), len(prompt) + 5),
        (Job(longer, 8, GREEDY), len(longer) - 1),
        (Job(prompt[:7], 8, GREEDY), 6),
        (Job(prompt[:7], 8, GREEDY, reuse=False), 0),
        (Job((300, *prompt), 8, GREEDY), 0),
    ):
        steps = finish(model, {2: wanted})[2]
        assert {step.cached for step in steps} == {cached}
        assert tokens(steps) == generated(plain, wanted.prompt, 8)


def test_a_step_that_failed_halfway_leaves_nothing_to_begin_with(folder: Path, plain: Any) -> None:
    """Out of memory in the second layer: the first has read the token, and the cache is no text's any more."""
    import torch

    model = loaded(folder)
    prompt = tuple(model.encode(TEXT, special=True))
    model.begin(1, Job(prompt, 8, GREEDY))
    while not tokens(model.step()):
        pass
    said = generated(plain, prompt, 1)

    def fail(_module: Any, _given: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    layer = model._model.model.layers[1]
    hook = layer.register_forward_pre_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        model.step()
    hook.remove()
    model.end(1)
    longer = (*prompt, *said, 77, 78)
    steps = finish(model, {2: Job(longer, 8, GREEDY)})[2]
    assert tokens(steps) == generated(plain, longer, 8)
    assert steps[0].cached == 0


def test_a_kept_prompt_comes_back_in_another_process(model: TorchModel, folder: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    assert model.keep(tmp_path / "nothing") == 0
    prompt = tuple(model.encode(TEXT, special=True))
    first = finish(model, {1: Job(prompt, 8, GREEDY)})[1]
    assert model.keep(tmp_path / "kept") == len(prompt) + 7
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with safe_open(tmp_path / "kept", "pt") as opened:
        assert "tokens" in opened.keys()  # noqa: SIM118 - no mapping
    other = loaded(folder)
    assert other.recall(tmp_path / "kept") == len(prompt) + 7
    again = finish(other, {1: Job(prompt, 8, GREEDY)})[1]
    assert again[0].cached == len(prompt) - 1
    assert tokens(again) == tokens(first)


def test_a_prompt_of_another_model_is_refused(model: TorchModel, tmp_path: Path) -> None:
    stranger = loaded(hf_llama(tmp_path / "other", seed=7))
    finish(stranger, {1: Job((5, 6, 7), 2, GREEDY)})
    stranger.keep(tmp_path / "kept")
    (tmp_path / "damaged").write_bytes(b"no such thing")
    for name, words in (
        ("kept", "not written by this model"),
        ("damaged", "cannot be read"),
        ("gone", "cannot be read"),
    ):
        with pytest.raises(ValueError, match=words):
            model.recall(tmp_path / name)


def test_scores_are_those_of_one_pass_whatever_came_before(model: TorchModel, plain: Any) -> None:
    text = model.encode(TEXT, special=True)
    first = list(model.score(text))
    finish(model, {1: Job(tuple(text[:9]), 4, GREEDY)})
    assert list(model.score(text)) == first
    after = logprobs(plain, text)
    assert [score.token for score in first] == text[1:]
    assert [score.favourite for score in first] == after.argmax(-1).tolist()[:-1]
    wanted = [float(after[place][token]) for place, token in enumerate(text[1:])]
    assert [score.logprob for score in first] == pytest.approx(wanted, abs=1e-4)
    assert list(model.score(text[:1])) == []


@pytest.mark.parametrize(
    ("sampling", "how"),
    [
        (Sampling(0.8, seed=3), {"temperature": 0.8}),
        (Sampling(1.0, top_k=20, top_p=0.9, min_p=0.01, seed=4), {"top_k": 20, "top_p": 0.9, "min_p": 0.01}),
        (Sampling(0.7, repeat_penalty=1.3, seed=5), {"temperature": 0.7, "repetition_penalty": 1.3}),
    ],
)
def test_the_same_seed_draws_what_transformers_draws(
    model: TorchModel, plain: Any, sampling: Sampling, how: dict[str, Any]
) -> None:
    import torch

    prompt = tuple(model.encode(TEXT, special=True))
    first, again = (tokens(finish(model, {1: Job(prompt, 25, sampling)})[1]) for _ in range(2))
    torch.manual_seed(sampling.seed or 0)
    wanted = generated(plain, prompt, 25, do_sample=True, **{"top_k": 0, **how})
    assert first == again == wanted
    assert first != tokens(finish(model, {1: Job(prompt, 25, Sampling(0.9, seed=99))})[1])


def test_penalties_on_what_was_written_end_a_repetition(model: TorchModel) -> None:
    for one in (Sampling(presence_penalty=100, seed=1), Sampling(frequency_penalty=100, seed=1)):
        written = tokens(finish(model, {1: Job((9, 9, 9), 60, one)})[1])
        assert len(set(written)) == 60


def test_vectors_are_of_unit_length_and_the_mean_of_what_the_model_sees(model: TorchModel, plain: Any) -> None:
    import torch

    text = model.encode(TEXT, special=True)
    found = model.embed(text)
    with torch.inference_mode():
        wanted = plain.model(torch.tensor([text])).last_hidden_state[0].mean(0)
    assert math.fsum(number * number for number in found) == pytest.approx(1, abs=1e-5)
    assert found == pytest.approx((wanted / wanted.norm()).tolist(), abs=1e-5)


def test_facts_and_text(folder: Path) -> None:
    progress: list[float] = []
    from ultralab.engines.torch.engine import ENGINE
    from ultralab.engines.torch.model import load

    model = load(folder, LoadOptions(context=64, threads=1, parallel=3, chat_template=TEMPLATE), progress.append)
    facts = model.facts
    assert (facts.context, facts.parallel, facts.vocabulary, facts.ends) == (64, 3, 512, frozenset({1}))
    assert facts.capabilities == {"chat", "completion", "scoring", "embeddings"}
    assert facts.version == ENGINE.availability().version
    assert len(progress) > 20, "a share for each tensor"
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert facts.template == TEMPLATE
    assert model.render([{"role": "user", "content": "hello"}], []) == "<user>hello"
    with pytest.raises(ValueError, match="no"):
        model.render([], [])
    assert model.decode(model.encode("春天的早晨，湖面上", special=False)) == "春天的早晨，湖面上"
    assert model.decode([0, *model.encode("dog", special=False)]) == "<s>dog"
    with pytest.raises(ValueError, match="empty"):
        model.begin(1, Job((), 1, GREEDY))


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_weights_stay_as_they_are_stored(tmp_path: Path, dtype: str) -> None:
    model = loaded(hf_llama(tmp_path, dtype=dtype), LoadOptions(threads=1, flash=False))
    assert str(model._model.dtype) == {"F16": "torch.float16", "BF16": "torch.bfloat16"}[dtype]
    assert model._model.config._attn_implementation == "eager"
    assert len(tokens(finish(model, {1: Job((5, 6, 7), 4, GREEDY)})[1])) == 4


@pytest.mark.parametrize(("bits", "kind"), [(8, "Linear8bitLt"), (4, "Linear4bit")])
def test_weights_are_quantized_while_loading(tmp_path: Path, bits: int, kind: str) -> None:
    folder = hf_llama(tmp_path, dtype="BF16")
    model, whole = (loaded(folder, LoadOptions(threads=1, weight_bits=each)) for each in (bits, 0))
    assert {type(layer.self_attn.q_proj).__name__ for layer in model._model.model.layers} == {kind}
    text = model.encode(TEXT, special=True)
    means = [sum(score.logprob for score in each.score(text)) / (len(text) - 1) for each in (model, whole)]
    assert means[0] == pytest.approx(means[1], rel=0.05)
    assert means[0] != means[1]


def test_adapters_work_together_each_with_its_scale(folder: Path, plain: Any, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    places = [tmp_path / "one", tmp_path / "two"]
    for seed, place in enumerate(places):
        torch.manual_seed(seed)
        bare = AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True)
        lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        get_peft_model(bare, lora).save_pretrained(str(place))
    wanted = {name: weight.clone() for name, weight in plain.state_dict().items()}
    for place, scale in zip(places, (0.5, 2.0), strict=True):
        add(wanted, place, scale * 8 / 4)
    merged = AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True).eval()
    merged.load_state_dict(wanted)
    chosen = tuple(Adapter(place, scale) for place, scale in zip(places, (0.5, 2.0), strict=True))
    model = loaded(folder, LoadOptions(threads=1, adapters=chosen))
    prompt = tuple(model.encode(TEXT, special=True))
    found = [score.logprob for score in model.score(prompt)]
    after = logprobs(merged, prompt)
    assert found == pytest.approx([float(after[at][token]) for at, token in enumerate(prompt[1:])], abs=1e-3)
    assert model.facts.vocabulary == 512


def add(weights: dict[str, Any], adapter: Path, scale: float) -> None:
    """Add a LoRA's product to the weights it belongs to (the definition: W + scale · B · A)."""
    from safetensors.torch import load_file

    found = load_file(adapter / "adapter_model.safetensors")
    for name, down in found.items():
        if "lora_A" in name:
            place = name.removeprefix("base_model.model.").replace(".lora_A", "")
            weights[place] += scale * found[name.replace("lora_A", "lora_B")] @ down


def test_a_window_that_moved_on_is_read_anew(tmp_path: Path) -> None:
    folder = hf_llama(tmp_path)
    config = llama_config(sliding_window=16, use_sliding_window=True)
    config |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    model = loaded(folder)
    prompt = tuple(model.encode(TEXT, special=True))
    assert len(prompt) > 16
    first = finish(model, {1: Job(prompt, 8, GREEDY)})[1]
    extended = finish(model, {1: Job((*prompt, *tokens(first)[:7], 40), 8, GREEDY)})[1]
    assert extended[0].cached == len(prompt) + 7
    again = finish(model, {1: Job(prompt, 8, GREEDY)})[1]
    assert again[0].cached == 0
    assert tokens(again) == tokens(first)
