"""llama.cpp is asked for real, in its child process, about files without a weight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.architectures.dense import LLAMA_31_8B, llama
from tests.fault_server import Site, serve
from tests.gguf_maker import STR, small_model

from ultralab.assess.exact import ask
from ultralab.assess.exact.answers import MIB, finer_compute, read_report
from ultralab.assess.exact.checks import selftest_checks
from ultralab.assess.exact.embedded import ask_embedded, understood
from ultralab.assess.exact.layouts import LAYOUTS
from ultralab.assess.exact.sparse import extend, require_hole, write_sparse
from ultralab.kernel.errors import FileDamaged, RequestError, ToolFailed, UltralabError, UnknownChoice, Unsupported
from ultralab.models.bundles import far, from_path
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.models.sources.base import RemoteFile
from ultralab.planner.types import Demand
from ultralab.system import process

HUGE = llama(
    "huge-632B", "no model: as many bytes as 671B in Q4_0", layers=180, embedding=16384, feed_forward=59392, heads=128,
    kv_heads=8, vocabulary=128256, context=131072, type="Q4_0",
)  # fmt: skip


@pytest.fixture
def own_tmp(tmp_path: Path) -> Iterator[Path]:
    """Where files without weights are made; nothing may stay there."""
    folder = tmp_path / "own 临时"
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    yield folder
    tempfile.tempdir = before


def written(tmp_path: Path, content: bytes, name: str = "model.gguf") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("demand", "cache", "compute"),
    [
        (Demand(131072), 16384, 418.52),
        (Demand(131072, key_type="q8_0", value_type="q8_0"), 8704, 418.60),
        (Demand(131072, key_type="q4_0", value_type="q4_0"), 4608, 418.60),
        (Demand(131072, flash=False), 16384, 8500.02),
        (Demand(131072, outputs=1), 16384, 252.02),
        (Demand(32768, sequences=4, unified=False), 16384, 0),
        (Demand(131072, sequences=4, unified=True, outputs=1), 16384, 0),
    ],
)
def test_the_known_points_from_a_header_alone(
    tmp_path: Path, own_tmp: Path, demand: Demand, cache: int, compute: float
) -> None:
    path = written(tmp_path, LLAMA_31_8B.header())
    answer = ask(from_path(path), demand)
    assert answer.weights // MIB == 8137
    assert answer.kv_cache == cache * MIB
    assert not compute or round(answer.compute / MIB, 2) == compute
    assert answer.engine == "xllamacpp 2026.10.11549"
    assert answer.outputs == (max(demand.outputs, demand.sequences) if demand.outputs else 0)
    assert [share.name for share in answer.devices][-1:] == ["Host"]
    assert list(own_tmp.iterdir()) == []


def test_as_large_as_671b_in_less_than_a_second(tmp_path: Path, own_tmp: Path) -> None:
    path = written(tmp_path, HUGE.header())
    answers = [ask(from_path(path), Demand(163_840)) for _each in range(3)]
    assert answers[0].weights > 350 * 10**9
    assert min(answer.seconds for answer in answers) < 1


def test_a_file_with_its_weights_is_answered_like_its_header(tmp_path: Path) -> None:
    whole = ask(from_path(written(tmp_path, LLAMA_31_8B.header())), Demand(4096))
    sparse = tmp_path / "sparse"
    sparse.mkdir()
    assert replace(ask(from_path(LLAMA_31_8B.write(sparse)), Demand(4096)), seconds=whole.seconds) == whole


def test_leaving_the_vocabulary_out_changes_no_figure(smollm2: Path, tmp_path: Path) -> None:
    for demand in (Demand(8192), Demand(2048, sequences=2, flash=False)):
        short, whole = ask(from_path(smollm2), demand), ask_embedded(smollm2, demand)
        assert short.devices == read_report(whole.printed)
        assert short.compute == finer_compute(whole.log, short.devices)
        assert short.weights == sum(tensor.size for tensor in read_gguf(smollm2).tensors)
    made = write_sparse(from_path(smollm2), tmp_path)
    assert made.is_shortened
    before, after = read_gguf(smollm2), read_gguf(made.path)
    assert after.values == {
        **{key: value for key, value in before.values.items() if key != "tokenizer.chat_template"},
        "tokenizer.ggml.model": "no_vocab",
        "llama.vocab_size": before.counts["tokenizer.ggml.tokens"],
    }
    assert [(one.name, one.shape, one.type, one.size) for one in after.tensors] == [
        (one.name, one.shape, one.type, one.size) for one in before.tensors
    ]


def test_a_far_file_is_asked_about_without_another_request() -> None:
    header = LLAMA_31_8B.header()
    site = Site(header + bytes(1_000_000))
    with serve(site), far([RemoteFile("model.gguf", site.url, len(site.content), "")], "far") as bundle:
        assert read_gguf(bundle.items[0], weights=False).tensors
        before = len(site.asked)
        answer = ask(bundle, Demand(4096))
    assert answer.weights // MIB == 8137
    assert before == len(site.asked) == 1


def test_what_llama_cpp_refuses_is_told_in_its_words(tmp_path: Path, own_tmp: Path) -> None:
    unknown = written(tmp_path, small_model(general__architecture=(STR, "foo")))
    with pytest.raises(Unsupported, match="unknown model architecture: 'foo'"):
        ask(from_path(unknown), Demand(512))
    lacking = written(tmp_path, small_model())
    with pytest.raises(Unsupported, match="key not found in model") as caught:
        ask(from_path(lacking), Demand(512))
    assert caught.value.hint
    assert list(own_tmp.iterdir()) == []


def test_what_is_no_gguf_model(tmp_path: Path, own_tmp: Path) -> None:
    with pytest.raises(Unsupported, match="no single GGUF model"):
        ask(from_path(written(tmp_path, b"x" * 100)), Demand(512))
    with pytest.raises(FileDamaged):
        ask(from_path(written(tmp_path, LLAMA_31_8B.header()[:5000])), Demand(512))
    assert list(own_tmp.iterdir()) == []


def test_bad_questions_are_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    bundle = from_path(written(tmp_path, LLAMA_31_8B.header()))
    with pytest.raises(Unsupported, match="only with flash attention"):
        ask(bundle, Demand(512, value_type="q8_0", flash=False))
    with pytest.raises(UnknownChoice):
        ask(bundle, Demand(512, key_type="q9"))
    for bad in (Demand(0), Demand(-5), Demand(512, sequences=0), Demand(2**31, sequences=4), Demand(512, ubatch=0)):
        with pytest.raises(RequestError, match="cannot be asked for"):
            ask(bundle, bad)


def test_a_file_size_limit_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, LLAMA_31_8B.header())
    code = (
        "import resource, sys; from pathlib import Path; from ultralab.assess.exact import ask\n"
        "from ultralab.models.bundles import from_path; from ultralab.planner.types import Demand\n"
        "from ultralab.kernel.errors import UltralabError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, 10**9))\n"
        "try: ask(from_path(Path(sys.argv[1])), Demand(512))\n"
        "except UltralabError as error: print(error.kind, error.message, error.hint)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True, env=environment
    )
    assert "Unsupported" in done.stdout
    assert "cannot hold a file that looks 7.95 GiB large" in done.stdout
    assert "ulimit -f" in done.stdout
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_holes_is_noticed_at_the_first_step(tmp_path: Path) -> None:
    path = tmp_path / "filled"
    with path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, 32 * MIB)  # as FAT and HFS+ do of themselves
    with pytest.raises(Unsupported, match="no holes in files"):
        require_hole(path, path.stat().st_blocks * 512, 32 * MIB, 1000)
    with (tmp_path / "holes").open("wb") as stream:
        extend(stream, tmp_path / "holes", 700 * 10**9)
    assert (tmp_path / "holes").stat().st_blocks * 512 < MIB


def test_written_parts_have_the_names_that_llama_cpp_wants(tmp_path: Path) -> None:
    from tests.gguf_maker import split_model

    source, folder = tmp_path / "source", tmp_path / "folder"
    source.mkdir()
    folder.mkdir()
    for name, content in split_model(3, "模型").items():
        (source / name).write_bytes(content)
    made = write_sparse(from_path(source), folder, vocabulary=True)
    assert sorted(path.name for path in folder.iterdir()) == [f"model-0000{at}-of-00003.gguf" for at in (1, 2, 3)]
    assert made.path.name == "model-00001-of-00003.gguf"
    assert [path.stat().st_size for path in sorted(folder.iterdir())] == [
        path.stat().st_size for path in sorted(source.iterdir())
    ]


def test_an_unknown_version_and_moved_defaults_are_not_asked() -> None:
    (layout,) = LAYOUTS.values()
    context, model = bytearray(1024), bytearray(1024)
    assert not layout.fits(bytes(context), bytes(model))
    code = "from ultralab.assess.exact.child import main; main(['{}'], layouts={})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"refused": "2026.10.11549"}
    with pytest.raises(Unsupported, match=r"2026\.10\.11549 is not asked") as caught:
        understood(process.Answer(0, done.stdout, ""), 0)
    assert "llama-fit-params" in caught.value.hint


@pytest.mark.parametrize("stdout", ["", "no JSON", "[1"])
def test_a_child_that_says_nothing(stdout: str) -> None:
    with pytest.raises(ToolFailed, match="gave no answer"):
        understood(process.Answer(0, stdout, ""), 0)


def test_a_child_that_dies_without_a_word() -> None:
    with pytest.raises(Unsupported, match="it ended with status -11"):
        understood(process.Answer(-11, "", ""), 0)


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, HUGE.header())
    folder = tmp_path / "tmp"
    folder.mkdir()
    code = (
        "import sys; from pathlib import Path; from ultralab.assess.exact import ask\n"
        "from ultralab.models.bundles import from_path; from ultralab.planner.types import Demand\n"
        "print('go', flush=True)\n"
        "while True: ask(from_path(Path(sys.argv[1])), Demand(512))\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert program.stdout is not None
    program.stdout.readline()
    deadline = time.monotonic() + 10
    while not list(folder.glob("*/*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    program.send_signal(2)
    program.wait(10)
    program.stdout.close()
    assert list(folder.iterdir()) == []


def test_several_may_ask_at_once(tmp_path: Path) -> None:
    bundle = from_path(written(tmp_path, LLAMA_31_8B.header()))
    found: list[int | UltralabError] = []

    def one(context: int) -> None:
        try:
            found.append(ask(bundle, Demand(context)).kv_cache // MIB)
        except UltralabError as error:
            found.append(error)

    threads = [threading.Thread(target=one, args=(context,)) for context in (1024, 2048, 4096)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=str) == [128, 256, 512]


def test_the_self_check_says_the_figures() -> None:
    (check,) = selftest_checks()
    finding = check.run()
    assert finding.verdict == "pass", finding
    assert "xllamacpp" in finding.detail
    assert "cache 64 MiB" in finding.detail
