"""A stand-in for an installed llama-server: it takes the flags that ours starts it with, and serves with xllamacpp.

Run as a program. What the flags mean follows llama.cpp's tools/server/README.md; an unknown one ends it, as there.
"""

import argparse
import os
import signal
import sys


def flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--version", action="store_true")
    for name in ("--no-webui", "--slots", "--jinja", "--no-repack", "--no-kv-unified", "--embeddings"):
        parser.add_argument(name, action="store_true")
    for name in ("--port", "--ctx-size", "--parallel", "--batch-size", "--ubatch-size", "--seed", "--cache-ram"):
        parser.add_argument(name, type=int)
    for name in ("--threads", "--threads-batch", "--threads-draft", "--threads-batch-draft"):
        parser.add_argument(name, type=int, default=-1)
    for name in (
        "--model",
        "--host",
        "--slot-save-path",
        "--chat-template",
        "--model-draft",
        "--mmproj",
        "--lora-scaled",
    ):
        parser.add_argument(name, default="")
    parser.add_argument("--spec-type", choices=["none", "draft-simple"], default="none")
    parser.add_argument("--pooling", choices=["mean", "cls", "last"])
    parser.add_argument("--flash-attn", choices=["on", "off", "auto"])
    parser.add_argument("--fit", choices=["on", "off"])
    for name in ("--cache-type-k", "--cache-type-v"):
        parser.add_argument(name, choices=["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"])
    return parser


def main() -> int:
    given = flags().parse_args()
    if given.version:
        sys.stderr.write("version: 4711 (abcdef0)\nbuilt with a test\n")
        return 0
    import xllamacpp

    found = xllamacpp.CommonParams()
    found.model.path = given.model
    found.hostnames = [given.host]
    found.port = given.port
    found.api_keys = [os.environ["LLAMA_API_KEY"]]
    found.ui = not given.no_webui
    found.no_extra_bufts = given.no_repack
    found.cache_ram_mib = given.cache_ram
    found.fit_params = given.fit == "on"
    found.n_ctx, found.n_parallel = given.ctx_size, given.parallel
    found.n_batch, found.n_ubatch = given.batch_size, given.ubatch_size
    found.sampling.seed = given.seed
    found.cpuparams.n_threads, found.cpuparams_batch.n_threads = given.threads, given.threads_batch
    found.embedding = given.embeddings
    if given.pooling:
        found.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{given.pooling.upper()}")
    found.chat_template = given.chat_template
    found.cache_type_k, found.cache_type_v = (
        getattr(xllamacpp.ggml_type, f"GGML_TYPE_{name.upper()}") for name in (given.cache_type_k, given.cache_type_v)
    )
    flash = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}[given.flash_attn]
    found.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{flash}")
    if given.slot_save_path:
        found.slot_save_path = given.slot_save_path.rstrip("/") + "/"
    if given.model_draft:
        found.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        found.speculative.draft.mparams.path = given.model_draft
    try:
        server = xllamacpp.Server(found)
    except RuntimeError:
        return 1
    sys.stderr.write(f"srv  main: server is listening on {server.listening_address}\n")
    sys.stderr.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
