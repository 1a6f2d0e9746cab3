"""The notes. Every one has a public source; none of them was measured here."""

from __future__ import annotations

from typing import Final

from ultralab.assess.notes.types import Note
from ultralab.kernel.language import N_

NOTES: Final = (
    Note(
        "gpu",
        N_("Let the GPU do the work: llama.cpp and MLX use it without being told, PyTorch through MPS."),
        N_(
            "Decoding reads every active weight once per token, so memory bandwidth decides, and the number of GPU cores decides "
            "how fast a prompt is read: so it was measured from the M1 on."
        ),
        "https://github.com/ggml-org/llama.cpp/discussions/4167",
    ),
    Note(
        "ane",
        N_("The Neural Engine runs none of these engines' language models."),
        N_(
            "It is reached through Core ML only: MLX does not plan to use it, llama.cpp merged no support for it. What can "
            "use it: models converted to Core ML, such as small language models by ANEMLL, or the encoder of whisper.cpp."
        ),
        "https://github.com/ml-explore/mlx/issues/18, https://github.com/ggml-org/llama.cpp/issues/1714, "
        "https://github.com/Anemll/Anemll",
    ),
    Note(
        "m5",
        N_("On an M5, prefer MLX for long prompts, on macOS 26.2 or newer."),
        N_(
            "Its GPU cores have matrix units (Neural Accelerators, not the Neural Engine) that MLX uses from there on: Apple "
            "measured up to 4 times shorter times to the first token than on an M4, and 19 to 27 % faster decoding."
        ),
        "https://machinelearning.apple.com/research/exploring-llms-mlx-m5",
        engines=("mlx",),
        chips=("Apple M5",),
    ),
    Note(
        "flash",
        N_("Leave flash attention on."),
        N_(
            "It needs less memory at long contexts and was measured 2 to 9 % faster on Metal; a quantized value cache needs it."
        ),
        "https://github.com/ggml-org/llama.cpp/pull/5021",
        engines=("llamacpp", "ollama"),
    ),
    Note(
        "kv",
        N_("At long contexts, store the KV cache as q8_0 before you take a smaller quantization of the weights."),
        N_(
            "It halves the cache. It was slower on Metal for long (a third, in 2024); since August 2026 llama.cpp "
            "dequantizes it before flash attention. Measure it with your version."
        ),
        "https://github.com/ggml-org/llama.cpp/issues/8918, https://github.com/ggml-org/llama.cpp/pull/27390",
        engines=("llamacpp", "ollama"),
        long_context=True,
    ),
    Note(
        "wired",
        N_("Do not let a program wire memory by itself, and leave the system its part."),
        N_(
            "More wired memory than macOS can spare ends in a kernel panic, not in an error: such panics of MLX servers with "
            "growing caches are on record for the M3 Ultra. ultralab never sets MLX's wired limit, keeps every model within "
            "the ledger's limit, and bounds prompt caches by bytes."
        ),
        "https://github.com/ml-explore/mlx/issues/3186, https://github.com/ml-explore/mlx/issues/3346, "
        "https://github.com/ml-explore/mlx-lm/issues/883",
        engines=("mlx",),
    ),
    Note(
        "limit",
        N_("For a model this large, read “ultralab plan limits” first."),
        N_(
            "macOS gives the GPU two thirds of a small memory and three quarters of a large one, unless iogpu.wired_limit_mb says "
            "otherwise; a model beyond that ended with an error of Metal in the middle of its work."
        ),
        "https://github.com/ollama/ollama/pull/2354, https://github.com/ollama/ollama/issues/8331, "
        "https://github.com/ggml-org/llama.cpp/discussions/2182",
        large=True,
    ),
    Note(
        "moe",
        N_("Prefer mixtures of experts for decoding speed."),
        N_("Only the active experts' weights are read for a token; memory is needed for all of them."),
        "docs/planner.md",
    ),
    Note(
        "torch",
        N_("Take PyTorch for what has no other engine, for training, and as a reference."),
        N_(
            "A model as it is published takes 16 bits per weight: four times the bytes that a 4-bit MLX or GGUF model reads per "
            "token. With --weight-bits, bitsandbytes packs the weights while they are loaded: on MPS with PyTorch 2.9 or newer, "
            "slowly where its Metal kernels are not there."
        ),
        "https://github.com/bitsandbytes-foundation/bitsandbytes/pull/1983, "
        "https://huggingface.co/docs/transformers/quantization/overview",
        engines=("torch",),
    ),
    Note(
        "mps_memory",
        N_(
            "Lower PYTORCH_MPS_HIGH_WATERMARK_RATIO only together with PYTORCH_MPS_LOW_WATERMARK_RATIO; never set it to 0."
        ),
        N_("Its default of 1.7 lets PyTorch go beyond the recommended working set; 0 switches the limit off."),
        "https://docs.pytorch.org/docs/stable/mps_environment_variables.html",
        engines=("torch",),
    ),
    Note(
        "draft",
        N_("Try a draft model of the same family for one reader at a time (--draft)."),
        N_(
            "Several tokens are checked in one pass over the weights. How much it helps depends on how often the draft is right, "
            "so on the text: measure it."
        ),
        "https://github.com/ggml-org/llama.cpp/blob/master/docs/speculative.md",
        engines=("llamacpp", "mlx"),
        large=True,
    ),
    Note(
        "ollama",
        N_("Set Ollama's context with the model, and its KV cache type at the server (OLLAMA_KV_CACHE_TYPE)."),
        N_(
            "Where none is given, its context follows from the GPU's memory (4096 tokens below 24 GiB); of a longer prompt the "
            "beginning can be thrown away, and only its log tells."
        ),
        "https://github.com/ollama/ollama/blob/main/docs/context-length.mdx, https://github.com/ollama/ollama/issues/3839, "
        "https://github.com/ollama/ollama/blob/main/docs/faq.mdx",
        engines=("ollama",),
    ),
)
