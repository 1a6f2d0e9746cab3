"""The bare libraries that engines are measured against: their own servers and loads, started without ultralab."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from ultralab.engines import engine
from ultralab.engines.base import LoadOptions, ModelFile
from ultralab.engines.host import Request
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT as GGUF
from ultralab.models.formats.safetensors import FORMAT as SAFETENSORS

CONTEXT: Final = 1024
SECRET: Final = "bench"

XLLAMACPP: Final = """
import os, signal, sys
import xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
parameters.api_keys = ["bench"]
parameters.ui = False
parameters.n_ctx = int(sys.argv[2])
parameters.n_parallel = 1
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(sys.argv[3])
parameters.no_extra_bufts = True
parameters.cache_ram_mib = 0
parameters.fit_params = False
parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
"""

MLX_LOAD: Final = """
import os, sys
import mlx_lm
model, tokenizer = mlx_lm.load(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""


@contextmanager
def told(*command: str) -> Iterator[str]:
    """A process that says one line when it is ready and ends with its standard input; the line."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"it did not start: {' '.join(command[-3:])}")
        try:
            yield line
        finally:
            process.communicate()


def xllamacpp_process(model: Path, threads: int) -> contextlib.AbstractContextManager[str]:
    """``xllamacpp.Server`` with the options that the engine chooses; its address."""
    return told(sys.executable, "-c", XLLAMACPP, str(model), str(CONTEXT), str(threads))


def mlx_load_process(model: Path, _threads: int) -> contextlib.AbstractContextManager[str]:
    """``mlx_lm.load`` alone."""
    return told(sys.executable, "-c", MLX_LOAD, str(model))


@contextmanager
def mlx_server_process(model: Path, _threads: int) -> Iterator[str]:
    """``mlx_lm.server``; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlx_lm", "server", "--model", str(model), "--host", "127.0.0.1"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _await_answer(address, process)
        yield address
    finally:
        process.kill()
        process.wait()


def _await_answer(address: str, process: subprocess.Popen[bytes]) -> None:
    for _try in range(600):
        if process.poll() is not None:
            raise SystemExit("mlx_lm.server did not start")
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{address}/health", trust_env=False)
            return
        time.sleep(0.1)
    raise SystemExit("mlx_lm.server does not answer")


def plain_stream(client: httpx.Client, prompt: str, count: int) -> int:
    """A greedy answer through a plain client of OpenAI's dialect; the tokens that the server says it made."""
    body: dict[str, Any] = {"prompt": prompt, "max_tokens": count, "temperature": 0, "stream": True}
    body["stream_options"] = {"include_usage": True}
    text, made = "", 0
    with client.stream("POST", "/v1/completions", json=body, headers={"Connection": "close"}) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            chunk = json.loads(line[6:])
            for one in chunk.get("choices", ()):
                text += one.get("text") or ""
            made = (chunk.get("usage") or {}).get("completion_tokens") or made
    return made


def plain_client(address: str) -> httpx.Client:
    """A client for :func:`plain_stream`."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    return httpx.Client(base_url=address, headers=headers, timeout=600, trust_env=False)


def request_for(name: str, model: Path, threads: int) -> Request:
    """What the seam is asked for."""
    form = GGUF if name == "llamacpp" else SAFETENSORS
    options = LoadOptions(context=CONTEXT, threads=threads if "threads" in engine(name).options else 0)
    return Request(ModelFile(model, model.stem, form.name, form.read_header(from_path(model)).shape), options)


def interval(ratios: Sequence[float], resamples: int = 10_000) -> tuple[float, float, float]:
    """The median of ratios and its 95 % interval by the bootstrap (percentiles), with a fixed seed."""
    draws = random.Random(1)
    medians = sorted(statistics.median(draws.choices(ratios, k=len(ratios))) for _ in range(resamples))
    return statistics.median(ratios), medians[int(0.025 * resamples)], medians[int(0.975 * resamples)]


def interleaved(pairs: int, one: Callable[[int], float], other: Callable[[int], float]) -> list[tuple[float, float]]:
    """Both measured by turns, each as often the first of its pair as the other."""
    found = []
    for number in range(pairs):
        if number % 2:
            second = other(number)
            found.append((one(number), second))
        else:
            first = one(number)
            found.append((first, other(number)))
    return found


def machine() -> str:
    """What it ran on, and when."""
    today = dt.datetime.now(tz=dt.UTC).date()
    return f"{today} | {platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
