"""``llama-fit-params`` stands in for: a program of ours that checks what it is given, and prints what was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.architectures.dense import LLAMA_31_8B

from ultralab.assess.exact import ask
from ultralab.assess.exact.answers import MIB
from ultralab.kernel.errors import ToolFailed, Unsupported
from ultralab.models.bundles import from_path
from ultralab.models.formats.base import Bundle
from ultralab.planner.types import Demand

# Standard output: ggml-org/llama.cpp pull request 22171. Standard error: the log of llama.cpp's common/fit.cpp and
# llama-kv-cache.cpp with --verbose, and common/arg.cpp's answers to --version and to an option it does not know.
PROGRAM = """#!/bin/sh
if [ "$1" = --version ]; then echo "version: 8861 (0123abc)" >&2; echo "built with x for y" >&2; exit 0; fi
env | grep -q ^LLAMA_ARG_ && { echo "an option from the environment" >&2; exit 3; }
[ "$1" = --model ] && [ "$(head -c 4 "$2")" = GGUF ] || exit 4
[ "$(wc -c < "$2")" -gt 8000000000 ] || exit 5
shift 2
case "$*" in
*"--parallel"*) echo "error: invalid argument: --parallel" >&2; exit 1;;
*"--ubatch-size 1024"*) echo "llama_model_load: error loading model: out of words" >&2
  echo "llama_model_load_from_file_impl: failed to load model" >&2; exit 134;;
*"--ubatch-size 256"*) echo "-c 4096 -ngl 99"; exit 0;;
"--ctx-size 32768 --batch-size 2048 --ubatch-size 512 --flash-attn on --cache-type-k q8_0 --cache-type-v f16 --no-repack --fit-print on --verbose")
  echo "0.00.196.882 I main: printing estimated memory in MiB to stdout (device, model, context, compute) ..." >&2
  echo "0.00.190.000 D llama_kv_cache: size =  814.53 MiB ( 32768 cells,   5 layers,  1/1 seqs), K (q8_0): 1.00 MiB" >&2
  echo "0.00.195.000 D sched_reserve:       MTL0 compute buffer size =   517.12 MiB" >&2
  echo "0.00.195.001 D sched_reserve:        CPU compute buffer size =   154.50 MiB" >&2
  printf 'MTL0 7401 814 517 \\nhost 1280 0 154 \\n'; exit 0;;
esac
echo "arguments: $*" >&2; exit 6
"""
DEMAND = Demand(32768, key_type="q8_0")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "llama fit"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    path = tmp_path / "header.gguf"
    path.write_bytes(LLAMA_31_8B.header())
    return from_path(path)


def test_its_report_is_read_and_its_version_named(
    program: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "7")
    answer = ask(bundle, DEMAND, str(program))
    assert answer.engine == "llama fit 8861 (0123abc)"
    assert [(one.name, one.weights // MIB) for one in answer.devices] == [("MTL0", 7401), ("host", 1280)]
    assert (answer.weights, answer.kv_cache) == ((7401 + 1280) * MIB, round(814.53 * MIB))
    assert answer.compute == round(671.62 * MIB)


def test_an_option_that_it_does_not_know_is_told(program: Path, bundle: Bundle) -> None:
    with pytest.raises(Unsupported, match=r"8861 .* does not know the option --parallel") as caught:
        ask(bundle, Demand(32768, sequences=2), str(program))
    assert caught.value.hint


def test_its_refusal_is_told_in_its_words(program: Path, bundle: Bundle) -> None:
    with pytest.raises(Unsupported, match="out of words"):
        ask(bundle, Demand(32768, ubatch=1024), str(program))


def test_a_program_that_prints_something_else(program: Path, bundle: Bundle) -> None:
    with pytest.raises(ToolFailed, match="no report"):
        ask(bundle, Demand(32768, ubatch=256), str(program))


def test_a_program_that_does_not_say_its_version(bundle: Bundle) -> None:
    with pytest.raises(Unsupported, match="does not say which version"):
        ask(bundle, DEMAND, "/bin/true")


def test_a_program_that_is_not_there(bundle: Bundle) -> None:
    with pytest.raises(Unsupported, match="There is no program /no/such") as caught:
        ask(bundle, DEMAND, "/no/such")
    assert "brew" in caught.value.hint
