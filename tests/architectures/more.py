"""Other public models: older ones, small ones, and those whose layers differ from the usual in one point."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.architectures.dense import llama, plain
from tests.architectures.latent import Latent, latent
from tests.architectures.mixtures import mixture
from tests.architectures.older import LAYER_NORM, Old, deci, fused, mixed, old, tied, without
from tests.architectures.windows import gemma, phi3

if TYPE_CHECKING:
    from tests.architectures.base import Known


def _llama(name: str, repository: str, **sides: int | str) -> Known:
    return llama(name, f"huggingface.co/{repository} config.json", **sides)  # type: ignore[arg-type]


LLAMA_32_1B = tied(_llama(
    "Llama-3.2-1B-Q8_0", "meta-llama/Llama-3.2-1B", layers=16, embedding=2048, feed_forward=8192, heads=32, kv_heads=8,
    vocabulary=128256, context=131072, type="Q8_0",
))  # fmt: skip
LLAMA_32_3B = mixed(tied(_llama(
    "Llama-3.2-3B", "meta-llama/Llama-3.2-3B", layers=28, embedding=3072, feed_forward=8192, heads=24, kv_heads=8,
    vocabulary=128256, context=131072, type="Q4_K",
)), "Llama-3.2-3B-Q4_K_M")  # fmt: skip
LLAMA_2_7B = _llama(
    "Llama-2-7B-Q4_0", "meta-llama/Llama-2-7b-hf", layers=32, embedding=4096, feed_forward=11008, heads=32, kv_heads=32,
    vocabulary=32000, context=4096, type="Q4_0",
)  # fmt: skip
SMOLLM2_17B = tied(_llama(
    "SmolLM2-1.7B-Q8_0", "HuggingFaceTB/SmolLM2-1.7B", layers=24, embedding=2048, feed_forward=8192, heads=32,
    kv_heads=32, vocabulary=49152, context=8192, type="Q8_0",
))  # fmt: skip
SMOLLM2_135M = tied(_llama(
    "SmolLM2-135M-F16", "HuggingFaceTB/SmolLM2-135M", layers=30, embedding=576, feed_forward=1536, heads=9, kv_heads=3,
    vocabulary=49152, context=8192, type="F16",
))  # fmt: skip
MISTRAL_SMALL = mixed(_llama(
    "Mistral-Small-3.1-24B", "mistralai/Mistral-Small-3.1-24B-Base-2503", layers=40, embedding=5120, feed_forward=32768,
    heads=32, kv_heads=8, vocabulary=131072, context=131072, head=128, type="Q4_K",
), "Mistral-Small-3.1-24B-Q4_K_M")  # fmt: skip
MIXTRAL_8X22B = mixture(
    "Mixtral-8x22B-Q4_K", "llama", "huggingface.co/mistralai/Mixtral-8x22B-v0.1 config.json", layers=56, embedding=6144,
    feed_forward=16384, heads=48, kv_heads=8, head=128, vocabulary=32768, context=65536, inner=16384, count=8, used=2,
)  # fmt: skip
MINISTRAL_3_8B = plain(
    "Ministral-3-8B-Q8_0", "mistral3", "huggingface.co/mistralai/Ministral-3-8B-Instruct-2512 config.json", layers=34,
    embedding=4096, feed_forward=14336, heads=32, kv_heads=8, vocabulary=131072, context=262144, type="Q8_0", head=128,
)  # fmt: skip
QWEN25_05B = plain(
    "Qwen2.5-0.5B-Q8_0", "qwen2", "huggingface.co/Qwen/Qwen2.5-0.5B config.json", layers=24, embedding=896,
    feed_forward=4864, heads=14, kv_heads=2, vocabulary=151936, context=32768, type="Q8_0", tied=True, biases=True,
)  # fmt: skip
QWEN25_32B = mixed(plain(
    "Qwen2.5-32B", "qwen2", "huggingface.co/Qwen/Qwen2.5-32B config.json", layers=64, embedding=5120, feed_forward=27648,
    heads=40, kv_heads=8, vocabulary=152064, context=131072, type="Q4_K", biases=True,
), "Qwen2.5-32B-Q4_K_M")  # fmt: skip
QWEN15_MOE = mixture(
    "Qwen1.5-MoE-A2.7B-Q8_0", "qwen2moe", "huggingface.co/Qwen/Qwen1.5-MoE-A2.7B config.json", layers=24, embedding=2048,
    feed_forward=5632, heads=16, kv_heads=16, head=128, vocabulary=151936, context=8192, inner=1408, count=60, used=4,
    shared=5632, biases=True, type="Q8_0", more={"ffn_gate_inp_shexp": (2048,)},
    keys={"expert_shared_feed_forward_length": 5632},
)  # fmt: skip
QWEN3_VL_8B = plain(
    "Qwen3-VL-8B-Q8_0", "qwen3vl", "huggingface.co/Qwen/Qwen3-VL-8B-Instruct config.json", layers=36, embedding=4096,
    feed_forward=12288, heads=32, kv_heads=8, vocabulary=151936, context=262144, type="Q8_0", head=128, norms=True,
    keys={"rope.dimension_sections": [24, 20, 20, 0], "n_deepstack_layers": 3},
)  # fmt: skip
QWEN2_VL_7B = plain(
    "Qwen2.5-VL-7B-Q8_0", "qwen2vl", "huggingface.co/Qwen/Qwen2.5-VL-7B-Instruct config.json", layers=28, embedding=3584,
    feed_forward=18944, heads=28, kv_heads=4, vocabulary=152064, context=128000, type="Q8_0", biases=True,
    keys={"rope.dimension_sections": [16, 24, 24, 0]},
)  # fmt: skip
INTERNLM2_20B = plain(
    "internlm2-20b-Q4_0", "internlm2", "huggingface.co/internlm/internlm2-20b config.json", layers=48, embedding=6144,
    feed_forward=16384, heads=48, kv_heads=8, vocabulary=92544, context=32768, type="Q4_0",
)  # fmt: skip
BAICHUAN2_7B = plain(
    "Baichuan2-7B-Q4_0", "baichuan", "huggingface.co/baichuan-inc/Baichuan2-7B-Base config.json", layers=32,
    embedding=4096, feed_forward=11008, heads=32, kv_heads=32, vocabulary=125696, context=4096, type="Q4_0",
)  # fmt: skip
BAICHUAN2_13B = plain(
    "Baichuan2-13B-Q4_0", "baichuan", "huggingface.co/baichuan-inc/Baichuan2-13B-Base config.json", layers=40,
    embedding=5120, feed_forward=13696, heads=40, kv_heads=40, vocabulary=125696, context=4096, type="Q4_0",
)  # fmt: skip
EXAONE_35 = plain(
    "EXAONE-3.5-7.8B-Q8_0", "exaone", "huggingface.co/LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct config.json", layers=32,
    embedding=4096, feed_forward=14336, heads=32, kv_heads=8, vocabulary=102400, context=32768, type="Q8_0",
)  # fmt: skip
ERNIE_03B = plain(
    "ERNIE-4.5-0.3B-Q8_0", "ernie4_5", "huggingface.co/baidu/ERNIE-4.5-0.3B-PT config.json", layers=18, embedding=1024,
    feed_forward=3072, heads=16, kv_heads=2, vocabulary=103424, context=131072, type="Q8_0", head=128, tied=True,
)  # fmt: skip
MINICPM_2B = plain(
    "MiniCPM-2B-Q8_0", "minicpm", "huggingface.co/openbmb/MiniCPM-2B-sft-bf16 config.json", layers=40, embedding=2304,
    feed_forward=5760, heads=36, kv_heads=36, vocabulary=122753, context=4096, type="Q8_0", tied=True,
)  # fmt: skip
HUNYUAN_7B = plain(
    "Hunyuan-7B-Q8_0", "hunyuan-dense", "huggingface.co/tencent/Hunyuan-7B-Instruct config.json", layers=32,
    embedding=4096, feed_forward=14336, heads=32, kv_heads=8, vocabulary=128167, context=262144, type="Q8_0", head=128,
    tied=True, norms=True,
)  # fmt: skip
XVERSE_7B = plain(
    "XVERSE-7B-Q4_0", "xverse", "huggingface.co/xverse/XVERSE-7B config.json", layers=32, embedding=4096,
    feed_forward=11008, heads=32, kv_heads=32, vocabulary=100534, context=8192, type="Q4_0",
)  # fmt: skip
ORION_14B = old("Orion-14B-Q4_0", "orion", "huggingface.co/OrionStarAI/Orion-14B-Base config.json", Old(
    40, 5120, 15360, 40, 40, 84608, 4096, fused=False, gate=True, biased=False, type="Q4_0",
))  # fmt: skip
STARCODER2_15B = old("starcoder2-15b-Q8_0", "starcoder2", "huggingface.co/bigcode/starcoder2-15b config.json", Old(
    40, 6144, 24576, 48, 4, 49152, 16384, fused=False,
))  # fmt: skip
STARCODER_15B = old("starcoder-15.5b-Q8_0", "starcoder", "huggingface.co/bigcode/starcoder config.json", Old(
    40, 6144, 24576, 48, 1, 49152, 8192, tied=True, top={"position_embd": (6144, 8192)},
))  # fmt: skip
COMMAND_R = old("c4ai-command-r-v01-Q4_0", "command-r", "huggingface.co/CohereForAI/c4ai-command-r-v01 config.json", Old(
    40, 8192, 22528, 64, 64, 256000, 131072, fused=False, gate=True, behind="", biased=False, norm_biased=False,
    tied=True, type="Q4_0", keys={"logit_scale": 0.0625},
))  # fmt: skip
COMMAND_R_PLUS = old(
    "c4ai-command-r-plus-Q4_0", "command-r", "huggingface.co/CohereForAI/c4ai-command-r-plus config.json", Old(
    64, 12288, 33792, 96, 8, 256000, 131072, fused=False, gate=True, behind="", biased=False, norm_biased=False,
    tied=True, type="Q4_0", more={"attn_q_norm": (128, 96), "attn_k_norm": (128, 8)}, keys={"logit_scale": 0.833},
))  # fmt: skip
STABLELM_16B = old("stablelm-2-1_6b-Q8_0", "stablelm", "huggingface.co/stabilityai/stablelm-2-1_6b config.json", Old(
    24, 2048, 5632, 32, 32, 100352, 4096, fused=False, gate=True, biased=False, keys={"rope.dimension_count": 16},
    more={"attn_q.bias": (2048,), "attn_k.bias": (2048,), "attn_v.bias": (2048,)},
))  # fmt: skip
STABLELM_12B = old("stablelm-2-12b-Q8_0", "stablelm", "huggingface.co/stabilityai/stablelm-2-12b config.json", Old(
    40, 5120, 13824, 32, 8, 100352, 4096, fused=False, gate=True, biased=False, behind="",
    keys={"rope.dimension_count": 40, "use_parallel_residual": True},
    more={"attn_q_norm": (160, 32), "attn_k_norm": (160, 8)},
))  # fmt: skip
PYTHIA_69B = old("pythia-6.9b-Q8_0", "gptneox", "huggingface.co/EleutherAI/pythia-6.9b config.json", Old(
    32, 4096, 16384, 32, 32, 50432, 2048, keys={"use_parallel_residual": True, "rope.dimension_count": 32},
))  # fmt: skip
REDPAJAMA_3B = old(
    "RedPajama-INCITE-3B-Q8_0", "gptneox", "huggingface.co/togethercomputer/RedPajama-INCITE-Base-3B-v1 config.json", Old(
    32, 2560, 10240, 32, 32, 50432, 2048, keys={"use_parallel_residual": False, "rope.dimension_count": 80},
))  # fmt: skip
OLMO_7B = without(plain(
    "OLMo-7B-Q8_0", "olmo", "huggingface.co/allenai/OLMo-7B-0424-hf config.json", layers=32, embedding=4096,
    feed_forward=11008, heads=32, kv_heads=32, vocabulary=50304, context=4096, type="Q8_0", keys={LAYER_NORM: 1e-5},
), "norm")  # fmt: skip
PHI_2 = old("phi-2-Q8_0", "phi2", "huggingface.co/microsoft/phi-2 config.json", Old(
    32, 2560, 10240, 32, 32, 51200, 2048, behind="", top={"output.bias": (51200,)}, keys={"rope.dimension_count": 32},
))  # fmt: skip
FALCON_7B = old("falcon-7b-Q4_0", "falcon", "huggingface.co/tiiuae/falcon-7b config.json", Old(
    32, 4544, 18176, 71, 1, 65024, 2048, behind="", biased=False, type="Q4_0",
))  # fmt: skip
FALCON_40B = old("falcon-40b-Q4_0", "falcon", "huggingface.co/tiiuae/falcon-40b config.json", Old(
    60, 8192, 32768, 128, 8, 65024, 2048, behind="attn_norm_2", biased=False, type="Q4_0",
))  # fmt: skip
BLOOM_7B = old("bloom-7b1-Q8_0", "bloom", "huggingface.co/bigscience/bloom-7b1 config.json", Old(
    30, 4096, 16384, 32, 32, 250880, 2048, tied=True, top={"token_embd_norm": (4096,), "token_embd_norm.bias": (4096,)},
))  # fmt: skip
GPT2_XL = old("gpt2-xl-Q8_0", "gpt2", "huggingface.co/openai-community/gpt2-xl config.json", Old(
    48, 1600, 6400, 25, 25, 50257, 1024, tied=True, top={"position_embd": (1600, 1024)},
))  # fmt: skip
MPT_7B = old("mpt-7b-Q4_0", "mpt", "huggingface.co/mosaicml/mpt-7b config.json", Old(
    32, 4096, 16384, 32, 32, 50432, 2048, biased=False, norm_biased=False, tied=True, type="Q4_0",
    keys={"attention.max_alibi_bias": 8.0},
))  # fmt: skip
NEMOTRON_4B = old("Minitron-4B-Q8_0", "nemotron", "huggingface.co/nvidia/Minitron-4B-Base config.json", Old(
    32, 3072, 9216, 24, 8, 256000, 4096, head=128, fused=False, biased=False,
))  # fmt: skip
CHATGLM3 = old("chatglm3-6b-Q4_0", "chatglm", "huggingface.co/THUDM/chatglm3-6b config.json", Old(
    28, 4096, 13696, 32, 2, 65024, 8192, biased=False, norm_biased=False, type="Q4_0",
    more={"attn_qkv.bias": (4608,), "ffn_up": (4096, 27392)},
    epsilon="attention.layer_norm_rms_epsilon",
))  # fmt: skip
CODESHELL_7B = old("CodeShell-7B-Q4_0", "codeshell", "huggingface.co/WisdomShell/CodeShell-7B config.json", Old(
    42, 4096, 16384, 32, 8, 70144, 8192, type="Q4_0",
))  # fmt: skip
QWEN_7B = old("Qwen-7B-Q4_0", "qwen", "huggingface.co/Qwen/Qwen-7B config.json", Old(
    32, 4096, 11008, 32, 32, 151936, 32768, type="Q4_0", biased=False, norm_biased=False, gate=True,
    more={"attn_qkv.bias": (12288,)}, keys={"feed_forward_length": 22016},
    epsilon="attention.layer_norm_rms_epsilon",
))  # fmt: skip
ARCEE_45B = old("AFM-4.5B-Q8_0", "arcee", "huggingface.co/arcee-ai/AFM-4.5B config.json", Old(
    36, 2560, 18432, 20, 4, 128256, 65536, head=128, fused=False, biased=False, norm_biased=False,
    epsilon="attention.layer_norm_rms_epsilon",
))  # fmt: skip
APERTUS_8B = old("Apertus-8B-Q8_0", "apertus", "huggingface.co/swiss-ai/Apertus-8B-2509 config.json", Old(
    32, 4096, 21504, 32, 8, 131072, 65536, head=128, fused=False, biased=False, norm_biased=False,
    epsilon="attention.layer_norm_rms_epsilon", more={"attn_q_norm": (128,), "attn_k_norm": (128,)},
    keys={f"xielu.{part}": 0.5 for part in ("alpha_n", "alpha_p", "beta", "eps")},
))  # fmt: skip
LING_LITE = mixture(
    "Ling-lite-Q8_0", "bailingmoe", "huggingface.co/inclusionAI/Ling-lite config.json", layers=28, embedding=2048,
    feed_forward=5632, heads=16, kv_heads=4, head=128, vocabulary=126464, context=16384, inner=1408, count=64, used=6,
    shared=2816, type="Q8_0", keys={"expert_shared_count": 2, "leading_dense_block_count": 0, "expert_weights_scale": 1.0},
)  # fmt: skip
DEEPSEEK_MOE = mixture(
    "deepseek-moe-16b-Q8_0", "deepseek", "huggingface.co/deepseek-ai/deepseek-moe-16b-base config.json", layers=28,
    embedding=2048, feed_forward=10944, heads=16, kv_heads=16, head=128, vocabulary=102400, context=4096, inner=1408,
    count=64, used=6, shared=2816, dense=1, type="Q8_0", keys={"expert_shared_count": 2, "expert_weights_scale": 1.0},
)  # fmt: skip
LING_MINI = fused(mixture(
    "Ling-mini-2.0-Q8_0", "bailingmoe2", "huggingface.co/inclusionAI/Ling-mini-2.0 config.json", layers=20,
    embedding=2048, feed_forward=5120, heads=16, kv_heads=4, head=128, vocabulary=157184, context=32768, inner=512,
    count=256, used=8, shared=512, dense=1, norms=True, biased=True, type="Q8_0",
    keys={
        "expert_shared_count": 1, "expert_shared_feed_forward_length": 512, "expert_group_count": 8,
        "expert_group_used_count": 4, "expert_weights_scale": 2.5, "expert_weights_norm": True, "expert_gating_func": 2,
    },
))  # fmt: skip
GEMMA_2_27B = gemma(
    "gemma-2-27b-Q8_0", "gemma2", "huggingface.co/google/gemma-2-27b config.json", layers=46, embedding=4608,
    feed_forward=36864, heads=32, kv_heads=16, head=128, window=4096, vocabulary=256000, context=8192, norms=False,
)  # fmt: skip
GEMMA_2_2B = gemma(
    "gemma-2-2b-Q8_0", "gemma2", "huggingface.co/google/gemma-2-2b config.json", layers=26, embedding=2304,
    feed_forward=9216, heads=8, kv_heads=4, head=256, window=4096, vocabulary=256000, context=8192, norms=False,
)  # fmt: skip
GEMMA_3_270M = gemma(
    "gemma-3-270m-Q8_0", "gemma3", "huggingface.co/google/gemma-3-270m config.json", layers=18, embedding=640,
    feed_forward=2048, heads=4, kv_heads=1, head=256, window=512, vocabulary=262144, context=32768, norms=True,
)  # fmt: skip
GEMMA_3_12B = gemma(
    "gemma-3-12b-Q8_0", "gemma3", "huggingface.co/google/gemma-3-12b-it config.json", layers=48, embedding=3840,
    feed_forward=15360, heads=16, kv_heads=8, head=256, window=1024, vocabulary=262208, context=131072, norms=True,
)  # fmt: skip
PHI_3_MEDIUM = phi3(
    "Phi-3-medium-4k-Q8_0", "huggingface.co/microsoft/Phi-3-medium-4k-instruct config.json", layers=40, embedding=5120,
    feed_forward=17920, heads=40, kv_heads=10, vocabulary=32064, context=4096, window=2047,
)  # fmt: skip
_V2 = Latent(
    layers=60, embedding=5120, feed_forward=12288, heads=128, vocabulary=102400, context=163840, q_lora=1536, dense=1,
    experts=160, used=6, shared=2, expert_feed_forward=1536,
    more={"expert_gating_func": 1, "expert_weights_norm": False, "expert_weights_scale": 16.0},
)  # fmt: skip
DEEPSEEK_V2 = without(
    latent("DeepSeek-V2-Q4_0", "deepseek2", "huggingface.co/deepseek-ai/DeepSeek-V2 config.json", _V2, type="Q4_0"),
    "exp_probs_b",
)
DEEPSEEK_V2_OLD = without(latent(
    "DeepSeek-V2-Q4_K-legacy", "deepseek2", "huggingface.co/deepseek-ai/DeepSeek-V2 config.json", replace(_V2, mla=False),
    type="Q4_K",
), "exp_probs_b")  # fmt: skip
DEEPSEEK_R1 = mixed(latent(
    "DeepSeek-R1", "deepseek2", "huggingface.co/deepseek-ai/DeepSeek-R1 config.json", Latent(
        layers=61, embedding=7168, feed_forward=18432, heads=128, vocabulary=129280, context=163840, q_lora=1536, dense=3,
        experts=256, used=8, shared=1, expert_feed_forward=2048,
        more={"expert_group_count": 8, "expert_group_used_count": 4},
    ), type="Q4_0",
), "DeepSeek-R1-Q4_K_M")  # fmt: skip

PANGU_7B = plain(
    "openPangu-Embedded-7B-Q8_0", "pangu-embedded", "huggingface.co/FreedomIntelligence/openPangu-Embedded-7B config.json",
    layers=34, embedding=4096, feed_forward=12800, heads=32, kv_heads=8, vocabulary=153376, context=32768, type="Q8_0",
    biases=True, head=128, more={"attn_output.bias": (4096,)},
)  # fmt: skip
DBRX = old("dbrx-instruct-Q4_0", "dbrx", "huggingface.co/databricks/dbrx-instruct config.json", Old(
    40, 6144, 10752, 48, 8, 100352, 32768, biased=False, norm_biased=False, behind="attn_output_norm", type="Q4_0",
    more={
        "ffn_gate_inp": (6144, 16), "ffn_gate_exps": (6144, 10752, 16), "ffn_up_exps": (6144, 10752, 16),
        "ffn_down_exps": (10752, 6144, 16),
    },
    keys={"expert_count": 16, "expert_used_count": 4, "attention.clamp_kqv": 8.0}, dense=False,
))  # fmt: skip
JAIS_13B = old("jais-13b-F16", "jais", "huggingface.co/inceptionai/jais-13b config.json", Old(
    40, 5120, 13653, 40, 40, 84992, 2048, gate=True, type="F16", more={"ffn_gate.bias": (13653,)},
    keys={"attention.max_alibi_bias": 8.0},
))  # fmt: skip
REFACT = old("Refact-1.6B-Q8_0", "refact", "huggingface.co/smallcloudai/Refact-1_6B-fim config.json", Old(
    32, 2048, 5632, 32, 1, 49216, 4096, fused=False, gate=True, biased=False, norm_biased=False,
    epsilon="attention.layer_norm_rms_epsilon",
))  # fmt: skip
SMALLTHINKER = mixture(
    "SmallThinker-21B-A3B-Q8_0", "smallthinker", "huggingface.co/PowerInfer/SmallThinker-21BA3B-Instruct config.json",
    layers=52, embedding=2560, feed_forward=768, heads=28, kv_heads=4, head=128, vocabulary=151936, context=16384,
    inner=768, count=64, used=6, type="Q8_0", keys={"attention.sliding_window": 4096, "expert_gating_func": 2},
)  # fmt: skip
PHI_35_MOE = mixture(
    "Phi-3.5-MoE-Q8_0", "phimoe", "huggingface.co/microsoft/Phi-3.5-MoE-instruct config.json", layers=32, embedding=4096,
    feed_forward=6400, heads=32, kv_heads=8, head=128, vocabulary=32064, context=131072, inner=6400, count=16, used=2,
    type="Q8_0", biases=True, keys={"attention.sliding_window": 131072},
    more={"attn_norm.bias": (4096,), "ffn_norm.bias": (4096,), "attn_output.bias": (4096,)},
    top={"output_norm.bias": (4096,), "output.bias": (32064,)},
)  # fmt: skip


NEMOTRON_SUPER = deci(
    "Nemotron-Super-like-49B-Q8_0", "made up after huggingface.co/nvidia/Llama-3_3-Nemotron-Super-49B-v1 config.json",
    "aaaaa-a-aa-a-aaaaaaa" + "aa-aaaa-a-" * 4 + "a-------------------", (28672,) * 20 + (14336, 28672, 7168, 28672) * 10 + (5632,) * 20,
    embedding=8192, vocabulary=128256,
)  # fmt: skip

MODELS: tuple[Known, ...] = (
    LLAMA_32_1B, LLAMA_32_3B, LLAMA_2_7B, SMOLLM2_17B, SMOLLM2_135M, MISTRAL_SMALL, MIXTRAL_8X22B, MINISTRAL_3_8B,
    QWEN25_05B, QWEN25_32B, QWEN15_MOE, QWEN3_VL_8B, QWEN2_VL_7B, INTERNLM2_20B, BAICHUAN2_7B, BAICHUAN2_13B, EXAONE_35,
    ERNIE_03B, MINICPM_2B, HUNYUAN_7B, XVERSE_7B, ORION_14B, STARCODER2_15B, STARCODER_15B, COMMAND_R, COMMAND_R_PLUS,
    STABLELM_16B, STABLELM_12B, PYTHIA_69B, REDPAJAMA_3B, OLMO_7B, PHI_2, FALCON_7B, FALCON_40B, BLOOM_7B, GPT2_XL,
    MPT_7B, NEMOTRON_4B, CHATGLM3, CODESHELL_7B, QWEN_7B, ARCEE_45B, APERTUS_8B, LING_LITE, DEEPSEEK_MOE, LING_MINI,
    GEMMA_2_27B, GEMMA_2_2B, GEMMA_3_270M, GEMMA_3_12B, PHI_3_MEDIUM, DEEPSEEK_V2, DEEPSEEK_V2_OLD, DEEPSEEK_R1,
    PANGU_7B, DBRX, JAIS_13B, REFACT, SMALLTHINKER, PHI_35_MOE, NEMOTRON_SUPER,
)  # fmt: skip
