"""A model on an engine, through the seam; and the texts whose tokens are compared."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ultralab.engines import engine
from ultralab.engines.base import Client, LoadOptions, ModelFile
from ultralab.engines.host import Request, loaded
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats import gguf, mlx, safetensors
from ultralab.settings.schema import EngineSettings

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    " leading space, and  two, and\ttabs\t\t.",
    "line\n\n\nthree\r\nreturn \n",
    "def f(x):\n    if x < 2:\n        return [1,  22,   333]\n",
    "It cost 1234.50 in 1999 -- and 10's more!",
    "春天的早晨，湖面上 12 只鸟。「你好」",
    "日本語とкириллица، عربى, हिन्दी",
    "🌸👩‍👩‍👧🇩🇪 emoji ☕️",
    "e\u0301 \u00e9 \u00a0nbsp \u3000wide \u200bzero",
    "<|im_start|>user\nhi<|im_end|>\n",
    "not special: <|im_startt|> < |im_end|> [INST]",
    "¡x! ½² ٣٤ Ⅷ",
    "",
)
"""Everything that tokenizers are known to disagree about: spaces, digits, marks, scripts, special tokens in a text."""

TALK = (
    {"role": "system", "content": "You are brief.\n"},
    {"role": "user", "content": " Say «你好» 🌸 twice. "},
    {"role": "assistant", "content": "你好你好"},
    {"role": "user", "content": "And {{ 1 + 1 }} & <b>?"},
)


@contextmanager
def running(name: str, path: Path, scratch: Path, context: int = 512) -> Iterator[Client]:
    """A client of a loaded model; torch runs in the interpreter that runs the tests."""
    bundle = from_path(path)
    form = next(form for form in (gguf.FORMAT, mlx.FORMAT, safetensors.FORMAT) if form.recognises(bundle))
    model = ModelFile(path, path.name, form.name, form.read_header(bundle).shape)
    chosen = engine(name).configured(EngineSettings(torch_python=sys.executable), "", lambda _which: "")
    request = Request(model, LoadOptions(context=context, threads=1))
    ledger = open_ledger(scratch / "ledger", 1 << 34)
    with loaded(chosen, request, ledger=ledger, log=scratch / f"{name}.log") as found:
        yield found.client
