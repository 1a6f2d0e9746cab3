"""Kinds of caches: each architecture's tokens are those of transformers' own ``generate``, whatever was kept before."""

from __future__ import annotations

from typing import Any

import pytest

from ultralab.engines.options import LoadOptions
from ultralab.engines.serving.types import Job
from ultralab.engines.types import Sampling

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.filterwarnings("ignore::FutureWarning")]

SIZES: dict[str, Any] = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
MIXED = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "gemma3_text": {"head_dim": 16, "sliding_window": 16, "layer_types": ["sliding_attention"] * 3 + ["full_attention"]},
    "deepseek_v3": {
        **MIXED, "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "kv_lora_rank": 16, "q_lora_rank": 16,
        "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 4,
    },
    "qwen3_next": {
        **MIXED, "num_experts": 4, "shared_expert_intermediate_size": 32, "linear_num_key_heads": 2, "head_dim": 16,
        "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    },
    "mamba2": {"num_heads": 8, "head_dim": 16, "n_groups": 1, "state_size": 8, "expand": 2, "chunk_size": 8},
}  # fmt: skip
PROMPT = tuple(3 + (7 * place * place + 11 * place) % 125 for place in range(29))


class Speechless:
    """No tokenizer is asked here."""

    chat_template = None
    eos_token_id = 1


def made(name: str) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **{**SIZES, **KINDS.get(name, {})})).eval()


def continued(model: Any, prompt: tuple[int, ...]) -> list[int]:
    """Twelve tokens, with what is cached."""
    found: list[int] = []
    model.begin(1, Job(prompt, 12, Sampling(seed=1)))
    while len(found) < 12:
        found += [step.token for step in model.step() if step.token is not None]
    model.end(1)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_tokens_and_scores(name: str) -> None:
    import torch

    from ultralab.engines.torch.model import TorchModel
    from ultralab.engines.torch.prompts import require_memory

    bare = made(name)
    require_memory(bare)
    model: Any = TorchModel(bare, Speechless(), LoadOptions(context=200, ubatch=8, threads=1))
    first = continued(model, PROMPT)
    for prompt in (PROMPT, (*PROMPT, *first[:8], 50, 51), PROMPT[:20]):
        whole = torch.tensor([prompt])
        wanted = bare.generate(
            whole, attention_mask=torch.ones_like(whole), do_sample=False, max_new_tokens=12, eos_token_id=None
        )
        assert continued(model, prompt) == wanted[0][len(prompt) :].tolist()
    with torch.inference_mode():
        after = torch.log_softmax(bare(torch.tensor([PROMPT])).logits[0].float(), dim=-1)
    scores = [score.logprob for score in model.score(PROMPT)]
    assert scores == pytest.approx([float(after[at][token]) for at, token in enumerate(PROMPT[1:])], abs=1e-4)
    assert len(model.embed(PROMPT)) == 64


@pytest.mark.parametrize("name", ["rwkv", "minimax"])
def test_a_memory_of_another_kind_is_refused_while_loading(name: str) -> None:
    from ultralab.engines.torch.prompts import require_memory

    with pytest.raises(ValueError, match=r"DynamicCache"):
        require_memory(made(name))
