"""An installed ``llama-server``: its flags and what it prints. Pure.

Source: llama.cpp ``tools/server/README.md`` (flags), ``common/arg.cpp`` (``--version``), ``tools/server/server.cpp`` and
``server-http.cpp`` (``--port 0`` lets the system pick one; "listening on http://…" says which).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ultralab.engines.llamacpp import progress
from ultralab.engines.options import LoadOptions

SECRET: Final = "LLAMA_API_KEY"  # noqa: S105 - the variable's name
_LISTENING: Final = re.compile(r"listening on (http://127\.0\.0\.1:[1-9]\d*)")
_VERSION: Final = re.compile(r"^version: (\S+)", re.MULTILINE)
_SETTINGS: Final = "LLAMA_ARG_"


def arguments(program: str, model: Path, options: LoadOptions, *, pooled: bool = True) -> tuple[str, ...]:
    """The command line: what ``parameters`` sets for the embedded library, in the server's flags. No secret is in it.

    ``pooled``: the model's header says how it pools embeddings.
    """
    argv = [program, "--model", str(model), "--host", "127.0.0.1", "--port", "0", "--no-webui", "--slots", "--jinja"]
    argv += ["--no-repack", "--cache-ram", "0", "--fit", "off", "--no-kv-unified"]
    argv += ["--ctx-size", str(options.context * options.parallel), "--parallel", str(options.parallel)]
    argv += ["--batch-size", str(options.ubatch if options.embeddings else options.batch)]
    argv += ["--ubatch-size", str(options.ubatch), "--flash-attn", "on" if options.flash else "off"]
    argv += ["--cache-type-k", options.key_type, "--cache-type-v", options.value_type, "--seed", str(options.seed)]
    if options.threads:
        argv += ["--threads", str(options.threads), "--threads-batch", str(options.threads)]
    if options.draft is not None:
        argv += ["--spec-type", "draft-simple", "--model-draft", str(options.draft)]
        if options.threads:
            argv += ["--threads-draft", str(options.threads), "--threads-batch-draft", str(options.threads)]
    if options.adapters:
        argv += ["--lora-scaled", ",".join(f"{one.path}:{one.scale}" for one in options.adapters)]
    if options.prompt_cache is not None:
        argv += ["--slot-save-path", str(options.prompt_cache.folder)]
    if options.chat_template:
        argv += ["--chat-template", options.chat_template]
    if options.projector is not None:
        argv += ["--mmproj", str(options.projector)]
    if options.embeddings:
        argv += ["--embeddings", *(() if pooled else ("--pooling", "mean"))]
    return tuple(argv)


def environment(outer: Mapping[str, str], secret: str) -> dict[str, str]:
    """The server's environment: ours, without the options that it would read from there, with the secret."""
    kept = {name: value for name, value in outer.items() if not name.startswith(_SETTINGS)}
    return {**kept, SECRET: secret, **progress.ENVIRONMENT}


def address_in(line: str) -> str:
    """The address that a line of the log says the server listens on; empty where it says none."""
    found = _LISTENING.search(line)
    return found[1] if found else ""


def version_in(output: str) -> str:
    """The version as ``--version`` prints it (``version: 6325 (4efd5a8)``), for people; empty where there is none."""
    found = _VERSION.search(output)
    return f"llama-server {found[1]}" if found else ""
