"""Every option as the running llama.cpp shows it: the small real model, one thread."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gguf_maker import F32, STR, Tensor, entry, gguf_bytes

from ultralab.engines.base import Ask
from ultralab.engines.host import Loaded, Request, loaded
from ultralab.engines.llamacpp.engine import LlamaCpp
from ultralab.engines.options import Adapter, LoadOptions, PromptCache, to_json
from ultralab.engines.types import ModelFile
from ultralab.kernel.errors import EngineFailed, Unsupported
from ultralab.kernel.progress import Progress, Step, Unit
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT
from ultralab.planner.attached import with_draft

pytestmark = pytest.mark.alone

ENGINE = LlamaCpp()
OPTIONS = LoadOptions(context=512, threads=1)
COUNTING = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,"
HELLO = ({"role": "user", "content": "Say hello."},)
TOOLS = """{%- if tools %}<|im_start|>system
<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools><|im_end|>
{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}
{% if message.content %}{{ message.content }}{% endif %}{% for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


class Steps:
    """Remembers how a load went on."""

    def __init__(self) -> None:
        self.advances: list[float] = []

    def advance(self, amount: float = 1) -> None:
        self.advances.append(amount)

    def describe(self, text: str) -> None:
        return None

    @contextmanager
    def step(self, label: str, total: float | None = None, unit: Unit = "") -> Iterator[Step]:
        yield self

    def say(self, text: str) -> None:
        return None


def load(
    path: Path, folder: Path, options: LoadOptions, progress: Progress | None = None
) -> AbstractContextManager[Loaded]:
    model = ModelFile(path, "the model", "gguf", FORMAT.read_header(from_path(path)).shape)
    return loaded(
        ENGINE,
        Request(model, options),
        ledger=open_ledger(folder, 10**12),
        log=folder / "engine.log",
        progress=progress or Steps(),
    )


def test_the_parameters_reach_the_library(smollm2: Path) -> None:
    """What the library itself logs of its context, at a verbosity that the engine does not use."""
    options = replace(
        OPTIONS, parallel=2, key_type="q8_0", value_type="q4_0", batch=128, ubatch=64, draft=smollm2, seed=7
    )
    script = f"""
import json, os
import xllamacpp
from ultralab.engines.llamacpp.parameters import parameters
found = parameters({str(smollm2)!r}, json.loads({to_json(options)!r}), "secret")
found.verbosity = 4
server = xllamacpp.Server(found)
os._exit(0)
"""
    log = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=120, text=True).stderr
    own, draft = log.split("loading draft model", 1)

    def said(name: str) -> str:
        match = re.search(rf"llama_context: {name}\s*= (\S+)", own)
        return match[1] if match else ""

    names = ("n_seq_max", "n_ctx", "n_ctx_seq", "n_batch", "n_ubatch", "flash_attn", "kv_unified")
    assert [said(name) for name in names] == ["2", "1024", "512", "128", "64", "enabled", "false"]
    assert re.search(r"512 cells,\s+30 layers,\s+2/2 seqs\), K \(q8_0\):.*, V \(q4_0\)", own)
    assert re.search(r"K \(f16\):.*, V \(f16\)", draft)
    assert "n_threads = 1 (n_threads_batch = 1)" in own
    assert "adding speculative implementation 'draft-simple'" in draft


def test_loading_tells_how_far_it_is(smollm2: Path, tmp_path: Path) -> None:
    steps = Steps()
    with load(smollm2, tmp_path, OPTIONS, steps):
        pass
    assert len(steps.advances) > 1
    assert sum(steps.advances) == pytest.approx(1.0)
    assert sum(steps.advances[:-1]) == pytest.approx(0.9)


def test_two_requests_at_once_overlap(smollm2: Path, tmp_path: Path) -> None:
    with load(smollm2, tmp_path, replace(OPTIONS, parallel=2)) as model:
        about = model.client.about()
        assert (about.parallel, about.context) == (2, 512)
        first = model.client.stream(Ask(prompt=COUNTING, max_tokens=300))
        next(first)
        other = ENGINE.connect(model.endpoint)
        beside = list(other.stream(Ask(prompt="The capital of France is", max_tokens=5)))
        assert model.client.health(5).busy == 1  # the first one still runs: it was not waited for
        assert "Paris" in "".join(piece.text for piece in beside)
        other.close()
        first.close()  # type: ignore[attr-defined]


def test_a_draft_model_guesses_and_its_memory_is_planned(smollm2: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, draft=smollm2)
    shape = FORMAT.read_header(from_path(smollm2)).shape
    alone = ENGINE.plan(shape, options)
    both = with_draft(alone, ENGINE.plan(shape, OPTIONS))
    with load(smollm2, tmp_path, options) as model:
        prompt = model.client.tokenize(COUNTING)
        told = model.client.generate(prompt, 20, seed=1)
        held = model.footprint()
    log = (tmp_path / "engine.log").read_text()
    rate = re.search(r"draft acceptance = (\d\.\d+)", log)
    assert rate
    assert float(rate[1]) > 0.5
    assert len(told.tokens) == len(told.arrivals) == 20
    assert held == pytest.approx(both.total, rel=0.1)
    assert both.total > alone.total + shape.loaded_bytes
    with load(smollm2, tmp_path, OPTIONS) as plain:
        assert plain.client.generate(prompt, 20, seed=1).text == told.text


def test_an_adapter_changes_the_answer_as_much_as_its_scale_says(smollm2: Path, tmp_path: Path) -> None:
    path = tmp_path / "adapter.gguf"
    path.write_bytes(_adapter(576, 4))
    found: dict[float | None, list[float]] = {}
    for scale in (None, 0.0, 1.0):
        adapters = () if scale is None else (Adapter(path, scale),)
        with load(smollm2, tmp_path, replace(OPTIONS, adapters=adapters)) as model:
            tokens = model.client.tokenize("The capital of France is Paris")
            found[scale] = [score.logprob for score in model.client.score(tokens)]
    assert found[0.0] == pytest.approx(found[None], abs=1e-5)
    assert found[1.0] != pytest.approx(found[None], abs=1e-2)


def test_a_kept_prompt_is_read_by_the_next_process(smollm2: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    options = replace(OPTIONS, parallel=2, prompt_cache=PromptCache(folder, 10**9))
    ask = Ask(prompt=COUNTING, max_tokens=4)
    with load(smollm2, tmp_path, options) as model:
        assert model.client.keep("nothing") == 0
        first = list(model.client.stream(ask))
        assert model.client.keep("counting") >= 20
        for name in ("../outside", "a/b", "", ".."):
            with pytest.raises(EngineFailed):
                model.client.keep(name)
    with load(smollm2, tmp_path, options) as model:
        with pytest.raises(EngineFailed):
            model.client.recall("unknown")
        assert model.client.recall("counting") >= 20
        again = list(model.client.stream(ask))
    timings = again[-1].timings
    assert timings is not None
    assert timings.cached_tokens >= 20
    assert [piece.text for piece in again] == [piece.text for piece in first]


def test_a_chat_template_and_tools(smollm2: Path, tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    with load(smollm2, tmp_path, OPTIONS) as model:
        assert "tools" not in model.client.about().capabilities
        with pytest.raises(Unsupported) as caught:
            list(model.client.stream(Ask(HELLO, max_tokens=1, tools=(tool,))))
        assert "no place for tools" in caught.value.message
        assert "SmolLM" in model.client.template(HELLO)
    with load(smollm2, tmp_path, replace(OPTIONS, chat_template=TOOLS)) as model:
        assert "tools" in model.client.about().capabilities
        assert model.client.template(HELLO) == "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n"
        read = [list(model.client.stream(Ask(HELLO, max_tokens=1, tools=tools)))[-1].timings for tools in ((), (tool,))]
        assert read[0] is not None
        assert read[1] is not None
        armed = read[1].prompt_tokens + read[1].cached_tokens
        assert armed > read[0].prompt_tokens + read[0].cached_tokens


def test_embeddings_and_nothing_else(smollm2: Path, tmp_path: Path) -> None:
    with load(smollm2, tmp_path, replace(OPTIONS, embeddings=True)) as model:
        assert model.client.about().capabilities == {"embeddings"}
        near, like, far = model.client.embed(["A cat sat.", "A cat slept.", "SELECT 1 FROM t;"])
        assert [sum(x * x for x in one) for one in (near, like, far)] == pytest.approx([1, 1, 1], abs=1e-5)
        assert _dot(near, like) > _dot(near, far)
        with pytest.raises(Unsupported):
            model.client.chat(HELLO, 2)


def test_a_request_that_waits_is_seen(smollm2: Path, tmp_path: Path) -> None:
    with load(smollm2, tmp_path, replace(OPTIONS, context=1024)) as model:
        prompt = model.client.tokenize(COUNTING)
        other = ENGINE.connect(model.endpoint)
        worker = threading.Thread(target=other.generate, args=(prompt, 60, 1))
        worker.start()
        seen = [model.client.health(5) for _ in range(20) if worker.is_alive()]
        worker.join()
        other.close()
        assert max(one.busy for one in seen) == 1
        assert all(one.stalled < 5 for one in seen)
        assert model.client.health(5).busy == 0


def _dot(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _adapter(width: int, rank: int) -> bytes:
    """A LoRA adapter of constant numbers for the first layer's queries (llama.cpp ``convert_lora_to_gguf.py``)."""
    keys = [
        entry("general.architecture", STR, "llama"),
        entry("general.type", STR, "adapter"),
        entry("adapter.type", STR, "lora"),
        entry("adapter.lora.alpha", F32, float(rank)),
    ]
    numbers = struct.pack(f"<{width * rank}f", *(0.05 * (-1) ** (at // 3) for at in range(width * rank)))
    name = "blk.0.attn_q.weight"
    tensors = [
        Tensor(f"{name}.lora_a", (width, rank), "F32", numbers),
        Tensor(f"{name}.lora_b", (rank, width), "F32", numbers),
    ]
    return gguf_bytes(keys, tensors)
