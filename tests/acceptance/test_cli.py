"""The command line as a whole: help, global options, JSON, terminals of every kind, completion."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.acceptance.command import ULTRALAB, Done, environment, make_lab, ultralab

from ultralab import __version__
from ultralab.cli.main import build
from ultralab.cli.models import models
from ultralab.kernel.text import display_width

GLOBALS = ("--home", "--json", "--lang", "--quiet", "--verbose")


def _walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _walk(found, (*path, name))


COMMANDS = list(_walk(build()))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A lab with one finished experiment, and the experiment's file."""
    home = tmp_path_factory.mktemp("cli") / "lab"
    spec = make_lab(home)
    assert ultralab("run", spec, "--home", home, "--quiet").status == 0
    return home, spec


def _widest(text: str) -> int:
    """The widest line in columns, paths and hashes left out (they may run on, so that they can be copied)."""
    return max((display_width(line) for line in text.splitlines() if not _has_long_word(line)), default=0)


def _has_long_word(line: str) -> bool:
    return any(len(word) > 40 or "/" in word for word in line.split())


def test_the_walk_finds_every_command() -> None:
    assert {" ".join(path) for path in COMMANDS} >= {
        "",
        "demo",
        "init",
        "machine",
        "models pull",
        "models list",
        "models show",
        "experiments run",
        "experiments list",
        "experiments show",
        "experiments report",
        "experiments template",
        "run",
        "config list",
        "config get",
        "config set",
        "plugins",
        "doctor",
        "selftest",
        "completion",
    }


def test_every_command_has_help_with_examples_and_the_global_options() -> None:
    """In one process per language would be quicker, but this is what a person gets."""
    for path in COMMANDS:
        done = ultralab(*path, "--help", env=environment(COLUMNS="80", NO_COLOR="1"))
        assert (done.status, done.err) == (0, ""), path
        assert "Examples:\n" in done.out, path
        example = done.out.split("Examples:\n")[1]
        assert "$ ultralab" in example or '$ eval "$(ultralab' in example, path
        assert all(name in done.out for name in GLOBALS), path
        assert done.out.startswith(f"Usage: {' '.join(('ultralab', *path))}"), path
        assert _widest(done.out) <= 80, path
        assert "\x1b" not in done.out, path


def test_the_short_help_option() -> None:
    assert ultralab("-h").out == ultralab("--help").out


def test_without_a_command_the_help_is_shown() -> None:
    done = ultralab()
    assert done.status in (0, 2)
    assert "Commands:" in done.out + done.err


def test_chinese_help_differs_and_is_chinese() -> None:
    english = ultralab("--lang", "en", "models", "pull", "--help").out
    chinese = ultralab("--lang", "zh_CN", "models", "pull", "--help").out
    behind = ultralab("models", "pull", "--help", "--lang", "zh_CN").out
    assert chinese != english
    assert any("\u4e00" <= char <= "\u9fff" for char in chinese)
    assert behind == chinese


@pytest.mark.parametrize("env", [{"ULTRALAB_LANG": "zh_CN"}, {"LC_ALL": "zh_CN.UTF-8"}, {"LANG": "zh_CN.UTF-8"}])
def test_the_language_follows_the_environment(env: dict[str, str]) -> None:
    assert ultralab("--help", env=environment(**env)).out == ultralab("--help", "--lang", "zh_CN").out


def test_the_version() -> None:
    assert ultralab("--version") == Done(0, f"ultralab {__version__}\n", "")


READERS = [
    ("machine",),
    ("models", "list"),
    ("models", "show", "tiny:f32"),
    ("experiments", "list"),
    ("experiments", "show", "last"),
    ("experiments", "report", "last"),
    ("config", "list"),
    ("config", "get", "language"),
    ("plugins",),
    ("doctor",),
]


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_global_options_before_and_behind(command: tuple[str, ...], lab: tuple[Path, Path]) -> None:
    options = ("--home", str(lab[0]), "--json", "--lang", "en", "--quiet", "--verbose")
    before = ultralab(*options, *command)
    behind = ultralab(*command, *options)
    assert (before.status, before.err) == (behind.status, behind.err) == (0, "")
    assert _shape(before.data) == _shape(behind.data)


def test_global_options_between_a_group_and_its_command(lab: tuple[Path, Path]) -> None:
    assert ultralab("models", "--home", lab[0], "--json", "list").data[0]["ref"] == "tiny:f32"


def _shape(data: object) -> object:
    """Keys and kinds without the values; of a list, its first entry."""
    if isinstance(data, dict):
        return {key: _shape(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_shape(item) for item in data[:1]]
    return type(data).__name__


MODEL = {
    "ref": "str",
    "size": "int",
    "sha256": "str",
    "name": "str",
    "variant": "str",
    "title": "str",
    "family": "str",
    "format": "str",
    "architecture": "str",
    "parameters": "int",
    "quantization": "str",
    "bits_per_weight": "float",
    "context": "int",
    "licence": "str",
    "source": "str",
    "source_url": "str",
    "added": "str",
    "added_by": "str",
    "files": [{"name": "str", "size": "int", "sha256": "str"}],
    "derived": "NoneType",
    "description": "str",
    "tensor_types": {"F32": "int"},
    "source_sha256": "str",
    "revision": "str",
    "entry": "str",
    "active_parameters": "int",
    "experts": "int",
    "experts_used": "int",
    "layers": "int",
    "dtype": "str",
    "tokenizer": "str",
    "chat_template": "bool",
    "base_models": [],
    "unsafe": [],
    "tags": [],
}
SHOWN = {"path": "str", "place": "str", "last_used": "str", "state": "str"}


def test_the_shape_of_a_model(lab: tuple[Path, Path]) -> None:
    shown = _shape(ultralab("models", "show", "tiny:f32", "--json", "--home", lab[0]).data)
    assert shown == {**MODEL, **SHOWN}
    assert _shape(ultralab("models", "list", "--json", "--home", lab[0]).data) == [{**MODEL, "state": "str"}]


def test_the_shape_of_an_experiment(lab: tuple[Path, Path]) -> None:
    shown = ultralab("experiments", "show", "--json", "--home", lab[0]).data
    assert list(shown) == ["folder", "experiment", "runs"]
    assert list(shown["experiment"]) == [
        *("id", "kind", "title", "question", "author", "status", "started", "ended", "spec_file", "spec_sha256"),
        *("tags", "provenance", "runs", "problem", "owner_pid", "owner_start"),
    ]
    assert list(shown["runs"][0]) == [
        *("id", "experiment", "variant", "reference", "status", "started", "ended", "model_ref", "model_title"),
        *("model_sha256", "model_bytes", "parameters", "bits_per_weight", "quantization", "engine", "engine_version"),
        *("options", "seed", "expected", "measured", "problem"),
    ]
    assert list(shown["runs"][0]["measured"]) == [
        *("load_s", "ttft_s", "prefill_tok_s", "decode_tok_s", "engine_prefill_tok_s", "engine_decode_tok_s"),
        *("cached_tokens", "memory_bytes", "baseline_bytes", "nll", "agreement", "scored_tokens"),
    ]
    ran = ultralab("run", lab[1], "--json", "--home", lab[0])
    assert (ran.status, ran.err, list(ran.data)) == (
        0,
        "",
        ["experiment", "runs", "folder", "markdown", "html", "warnings"],
    )
    assert Path(ran.data["html"]).is_file()
    assert Path(ran.data["markdown"]).is_file()


def test_the_shape_of_init_doctor_and_plugins(lab: tuple[Path, Path], tmp_path: Path) -> None:
    made = ultralab("init", tmp_path / "new", "--json").data
    assert _shape(made) == {"home": "str", "new": "bool", "files": ["str"], "git": "str", "warning": "str"}
    check = {"name": "str", "title": "str", "verdict": "str", "detail": "str", "hint": "str"}
    assert _shape(ultralab("doctor", "--json", "--home", lab[0]).data) == [check]
    assert _shape(ultralab("plugins", "--json").data) == [
        {"group": "str", "name": "str", "target": "str", "distribution": "str", "version": "str"}
    ]


def test_selftest_tries_the_engines_with_a_model_of_the_library(lab: tuple[Path, Path]) -> None:
    done = ultralab("selftest", "--json", "--home", lab[0])
    assert done.status == 0, done.err + done.out
    verdicts = {check["name"]: check["verdict"] for check in done.data}
    assert verdicts["engines.fake.serves"] == "pass"
    assert verdicts["engines.llamacpp.serves"] in ("pass", "warn")


USAGE = [
    (("modles", "list"), "Unknown command: 'modles'."),
    (("models", "lsit"), "Unknown command: 'lsit'."),
    (("models", "pull"), "Missing argument 'SOURCE'"),
    (("models", "show", "a", "b"), "Got unexpected extra argument (b)"),
    (("machine", "--jsn"), "No such option"),
    (("machine", "--lang", "fr"), "Invalid value for '--lang'"),
    (("machine", "--home"), "Option '--home' requires an argument"),
    (("completion", "tcsh"), "Invalid value for"),
    (("config", "get", "no.such"), "Unknown setting: 'no.such'"),
    (("config", "set", "language", "fr"), "language cannot be 'fr'"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE, ids=lambda value: " ".join(value)[:40])
def test_a_wrong_request(arguments: tuple[str, ...], message: str, lab: tuple[Path, Path]) -> None:
    env = environment(ULTRALAB_HOME=str(lab[0]))
    done = ultralab(*arguments, env=env)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"Error: {message}"), done.err
    assert len([line for line in done.err.splitlines() if line.startswith("Error")]) == 1
    assert done.err.count("\n") <= 2, done.err


def test_a_wrong_request_as_json() -> None:
    done = ultralab("machine", "--json", "--jsn")
    assert (done.status, done.out, done.error["kind"], done.error["exit_status"]) == (2, "", "UsageError", 2)


PLAIN = [("models", "list"), ("experiments", "list"), ("experiments", "show"), ("machine",), ("config", "list")]


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("command", [*PLAIN, ("plugins",), ("doctor",)], ids=" ".join)
def test_output_fits_eighty_columns(command: tuple[str, ...], language: str, lab: tuple[Path, Path]) -> None:
    env = environment(COLUMNS="80", NO_COLOR="1", TERM="dumb")
    done = ultralab(*command, "--home", lab[0], "--lang", language, env=env)
    assert (done.status, "\x1b" in done.out) == (0, False), done.err
    assert _widest(done.out) <= 80


@pytest.mark.parametrize("command", PLAIN, ids=" ".join)
def test_a_reader_that_goes_away(command: tuple[str, ...], lab: tuple[Path, Path]) -> None:
    """``ultralab … | head -1``: no complaint. Unbuffered, so that the pipe is surely closed while writing."""
    script = f'"$0" {" ".join(command)} --home "$1" --json | head -n 1; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", script, str(ULTRALAB), str(lab[0])],
        env=environment(PYTHONUNBUFFERED="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode in (0, 141)
    assert done.stdout.count("\n") == 1


def test_a_standard_output_that_is_closed(lab: tuple[Path, Path]) -> None:
    script = '"$0" models list --home "$1" >&-'
    done = subprocess.run(
        ["bash", "-c", script, str(ULTRALAB), str(lab[0])],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_a_terminal_that_knows_ascii_only(language: str, lab: tuple[Path, Path]) -> None:
    env = environment(PYTHONIOENCODING="ascii")
    for command in (*PLAIN, ("doctor",)):
        done = ultralab(*command, "--home", lab[0], "--lang", language, env=env)
        assert (done.status, "Traceback" in done.err, "unforeseen" in done.err) == (0, False, False), done.err


def test_a_folder_with_every_kind_of_character(tmp_path: Path) -> None:
    home = tmp_path / "[red]实验 :smile: 'lab' 🧪"
    done = ultralab("init", home)
    assert (done.status, str(home) in done.out) == (0, True), done.err
    listed = ultralab("models", "list", "--home", home)
    assert listed.status == 0, listed.err
    missing = ultralab("models", "show", "[/bold]x", "--home", home)
    assert missing.err.splitlines()[0] == "Error: There is no model '[/bold]x' in the library."


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script(shell: str) -> None:
    done = ultralab("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert "_ULTRALAB_COMPLETE" in done.out
    if found := shutil.which(shell):
        checked = subprocess.run([found, "-n"], input=done.out, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def _complete(words: str, count: int, **env: str) -> list[str]:
    done = ultralab(env=environment(_ULTRALAB_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(count), **env))
    assert (done.status, done.err) == (0, "")
    return [line.partition(",")[2] for line in done.out.splitlines() if line]


def test_completion_of_commands_models_and_experiments(lab: tuple[Path, Path], tmp_path: Path) -> None:
    home = str(lab[0])
    assert _complete("ultralab m", 1) == ["machine", "models"]
    assert _complete("ultralab models ", 2) == list(models.entries)
    assert _complete("ultralab models show ", 3, ULTRALAB_HOME=home) == ["tiny:f32", "tiny:q8_0"]
    assert _complete("ultralab models show ti", 3, ULTRALAB_HOME=home) == ["tiny:f32", "tiny:q8_0"]
    assert _complete("ultralab models show x", 3, ULTRALAB_HOME=home) == []
    known = [record["id"] for record in ultralab("experiments", "list", "--json", "--home", home).data]
    assert _complete("ultralab experiments show ", 3, ULTRALAB_HOME=home) == ["last", *known]
    assert _complete("ultralab models show ", 3, ULTRALAB_HOME=str(tmp_path / "none")) == []
    assert _complete("ultralab experiments show ", 3, ULTRALAB_HOME=str(tmp_path / "none")) == ["last"]


def test_completion_in_the_lab_that_was_named(lab: tuple[Path, Path], tmp_path: Path) -> None:
    words = f"ultralab --home {lab[0]} models show "
    assert _complete(words, 5, ULTRALAB_HOME=str(tmp_path / "none")) == ["tiny:f32", "tiny:q8_0"]


def test_the_shipped_example_is_copied_and_nothing_is_overwritten(tmp_path: Path) -> None:
    shipped = Path(__file__).resolve().parents[2] / "src/ultralab/examples"
    names = ["quantization_tradeoff.yaml", "the_quiet_machine.txt"]
    done = ultralab("experiments", "template", tmp_path / "mine", "--json")
    assert done.data == {"written": [str(tmp_path / "mine" / name) for name in names], "kept": 0}
    assert [(tmp_path / "mine" / name).read_text() for name in names] == [
        (shipped / name).read_text() for name in names
    ]
    (tmp_path / "mine" / names[0]).write_text("mine")
    assert ultralab("experiments", "template", cwd=tmp_path / "mine", env=environment()).status == 0
    assert (tmp_path / "mine" / names[0]).read_text() == "mine"


def test_experiments_are_found_by_id_beginning_and_kind(lab: tuple[Path, Path]) -> None:
    home = lab[0]
    assert ultralab("run", lab[1], "--home", home, "--quiet").status == 0
    known = [record["id"] for record in ultralab("experiments", "list", "--json", "--home", home).data]
    for reference in (known[-1], known[-1][:-1], "kinds_of_trouble", "last"):
        shown = ultralab("experiments", "show", reference, "--json", "--home", home)
        assert shown.data["experiment"]["id"] == known[-1]
    many = ultralab("experiments", "show", known[0][:2], "--home", home)
    assert (many.status, many.err.splitlines()[0]) == (
        2,
        f"Error: {len(known)} experiments begin with {known[0][:2]!r}.",
    )
    none = ultralab("experiments", "show", "nothing", "--home", home, "--json")
    assert (none.status, none.error["kind"]) == (2, "NotFound")


def test_settings_are_read_and_changed(tmp_path: Path) -> None:
    home = tmp_path / "lab"
    assert ultralab("init", home, "--lang", "en").status == 0
    assert ultralab("config", "get", "language", "--json", "--home", home).data == "en"
    assert ultralab("config", "set", "language", "zh_CN", "--home", home).status == 0
    assert json.loads(ultralab("config", "get", "language", "--json", "--home", home).out) == "zh_CN"
    assert ultralab("--help", "--home", home).out == ultralab("--help", "--lang", "zh_CN").out
