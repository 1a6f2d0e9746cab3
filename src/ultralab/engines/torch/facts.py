"""What a loaded model is, by its configuration and its tokenizer. Runs in the engine's process only."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from ultralab.engines.options import LoadOptions
from ultralab.engines.serving import markers
from ultralab.engines.serving.types import Facts
from ultralab.engines.types import Capability, capabilities


def facts_of(model: Any, tokenizer: Any, options: LoadOptions) -> Facts:
    """The facts for whoever serves it. ``embeddings``: then it serves nothing else."""
    template = _template(tokenizer)
    calling = markers.calling(template)
    return Facts(
        context=options.context,
        parallel=options.parallel,
        vocabulary=int(model.config.get_text_config().vocab_size),
        ends=_ends(model, tokenizer),
        capabilities=_capabilities(options, template, calling),
        template=template,
        version=version(),
        thinking=markers.thinking(template),
        calling=calling,
    )


def version() -> str:
    """What serves, as ``Availability`` says it."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))


def _capabilities(options: LoadOptions, template: str, calling: tuple[str, str] | None) -> frozenset[Capability]:
    if options.embeddings:
        return capabilities(["embeddings"])
    chat = ["chat"] if template else []
    tools = ["tools"] if calling else []
    return capabilities(["completion", "scoring", "embeddings", *chat, *tools])


def _template(tokenizer: Any) -> str:
    """The chat template's source; where there are several by name, the one called ``default``."""
    found = tokenizer.chat_template
    if isinstance(found, dict):
        found = found.get("default", "")
    return str(found or "")


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a text, by all who say so."""
    said = [
        getattr(model.generation_config, "eos_token_id", None),
        getattr(model.config.get_text_config(), "eos_token_id", None),
        tokenizer.eos_token_id,
    ]
    found: set[int] = set()
    for one in said:
        found.update(int(token) for token in (one if isinstance(one, (list, tuple)) else [one]) if token is not None)
    return frozenset(found)
