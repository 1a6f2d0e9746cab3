"""The catalog as its owner uses it: lists, searches, tags, pages; every command is the installed one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.acceptance.command import ULTRALAB, environment, ultralab
from tests.gguf_maker import tiny_llama

from ultralab.kernel.ids import slug
from ultralab.kernel.text import display_width

TINY, LONG, FAR = "tiny:f32", f"{'a-very-long-name-of-a-model' * 2}:f32", "far:f32"
RECORD = [
    *("ref", "size", "sha256", "name", "variant", "title", "family", "format", "architecture", "parameters"),
    *("quantization", "bits_per_weight", "context", "licence", "source", "source_url", "added", "added_by", "files"),
    *("derived", "description", "tensor_types", "source_sha256", "revision", "entry", "active_parameters", "experts"),
    *("experts_used", "layers", "dtype", "tokenizer", "chat_template", "base_models", "unsafe", "tags"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with a model, one with a long name, and one on a disk that is not plugged in now."""
    folder = tmp_path_factory.mktemp("catalog")
    home = folder / "实验室 lab"
    assert ultralab("init", home, "--lang", "en").status == 0
    (folder / "ssd").mkdir()
    assert ultralab("models", "volumes", "add", "ssd", folder / "ssd", "--home", home).status == 0
    for number, ref in enumerate((TINY, LONG, FAR)):
        name = ref.partition(":")[0]
        path = tiny_llama(folder / f"模型 😀 {name}.gguf", seed=number, context=512 << number)
        volume = ("--volume", "ssd") if ref == FAR else ()
        done = ultralab("models", "pull", path, "--name", name, *volume, "--home", home, "--json")
        assert done.status == 0, done.err
    (folder / "ssd").rename(folder / "ssd in a drawer")
    assert ultralab("models", "tag", TINY, "代码", "Fast", "--home", home).status == 0
    said = ultralab("models", "describe", TINY, '写代码用的 "small"\n model | 👍', "--home", home)
    assert (said.status, said.out) == (0, f'{TINY}: 写代码用的 "small" model | 👍\n')
    return home


def _card(lab: Path) -> Path:
    """The card of the tiny model's family."""
    family = json.loads((lab / "models" / "metadata" / "tiny--f32.json").read_text())["family"]
    return lab / "models" / slug(family) / "README.md"


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ((), [LONG, FAR, TINY]),
        (("--min-context", "1024"), [LONG, FAR]),
        (("--max-size", "1KB"), []),
        (("--format", "GGUF", "--quant", "f32", "--max-size", "1GB"), [LONG, FAR, TINY]),
        (("--quant", "q4"), []),
        (("--tag", "fast", "--tag", "代码"), [TINY]),
        (("--tag", "fast", "--tag", "slow"), []),
        (("--unused-for", "30d"), []),
        (("--unused-for", "0s"), [LONG, FAR, TINY]),
        (("--family", "Tiny"), [LONG, FAR, TINY]),
        (("--family", "qwen"), []),
    ],
)
def test_conditions(conditions: tuple[str, ...], found: list[str], lab: Path) -> None:
    done = ultralab("models", "list", *conditions, "--home", lab, "--json")
    assert (done.status, done.err, [one["ref"] for one in done.data]) == (0, "", found)


def test_what_fits_is_known_the_second_time_without_its_header(lab: Path) -> None:
    """A model that is not plugged in cannot be asked; one that was asked before need not be."""
    asked = [ultralab("models", "list", "--fits", "--home", lab, "--json") for _time in range(2)]
    assert [[one["ref"] for one in done.data] for done in asked] == [[LONG, TINY]] * 2
    kept = json.loads((lab / "state" / "fits.json").read_text())
    assert len(kept["needed"]) == 2
    kept["needed"] = dict.fromkeys(kept["needed"], 1 << 60)
    (lab / "state" / "fits.json").write_text(json.dumps(kept))
    assert ultralab("models", "list", "--fits", "--home", lab, "--json").data == []
    (lab / "state" / "fits.json").write_text('{"about": 7, "needed": []')
    assert len(ultralab("models", "list", "--fits", "--home", lab, "--json").data) == 2


@pytest.mark.parametrize(
    ("conditions", "message", "hint"),
    [
        (("--max-size", "5GBx"), "'5GBx' is no size.", "Write it as 50GB, 20GiB or in bytes."),
        (("--unused-for", "30x"), "'30x' is no duration.", "Accepted: 90 (seconds)"),
        (("--format", "ggfu"), "Unknown model format: 'ggfu'.", "Did you mean gguf?"),
        (("--min-context", "-1"), "Invalid value for '--min-context'", "ultralab models list --help"),
    ],
)
def test_conditions_that_are_none(conditions: tuple[str, ...], message: str, hint: str, lab: Path) -> None:
    done = ultralab("models", "list", *conditions, "--home", lab, "--json")
    assert (done.status, done.out) == (2, "")
    assert message in done.error["message"]
    assert hint in done.error["hint"]


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("columns", [80, 160])
def test_the_table_keeps_references_whole(language: str, columns: int, lab: Path) -> None:
    env = environment(COLUMNS=str(columns), NO_COLOR="1")
    done = ultralab("models", "list", "--home", lab, "--lang", language, env=env)
    lines = done.out.splitlines()
    assert (done.status, [sum(ref in line for line in lines) for ref in (TINY, LONG, FAR)]) == (0, [1, 1, 1])
    assert max(map(display_width, lines[:-1])) <= columns
    assert ("gguf" in done.out) == (columns == 160)
    (far,) = [line for line in lines if FAR in line]
    assert far.split()[1] == "⏏"
    assert lines[-1].startswith("⏏ ")


def test_the_shape_of_lists_and_models(lab: Path) -> None:
    listed = ultralab("models", "list", "--home", lab, "--json").data
    assert [list(one) for one in listed] == [[*RECORD, "state"]] * 3
    assert {one["ref"]: one["state"] for one in listed} == {LONG: "", FAR: "unplugged", TINY: ""}
    shown = ultralab("models", "show", "tiny", "--home", lab, "--json").data
    assert list(shown) == [*RECORD, "path", "place", "last_used", "state"]
    assert (Path(shown["path"]).is_file(), shown["place"]) == (True, "volume home")
    away = ultralab("models", "show", FAR, "--home", lab, "--json").data
    assert (away["path"], away["state"], "not plugged in" in away["place"]) == ("", "unplugged", True)
    text = ultralab("models", "show", TINY, "--home", lab, env=environment(COLUMNS="400")).out
    assert shown["path"] in text


@pytest.mark.parametrize(
    ("words", "found"),
    [(("代码",), [TINY]), (("码", "TINY"), [TINY]), (("👍",), [TINY]), (('"small"', "|"), [TINY]), (("nothing",), [])],
)
def test_finding(words: tuple[str, ...], found: list[str], lab: Path) -> None:
    done = ultralab("models", "find", *words, "--home", lab, "--json")
    assert (done.status, [hit["ref"] for hit in done.data]) == (0, found)
    assert all(list(hit) == ["snippet", *RECORD] for hit in done.data)


def test_finding_what_the_owner_wrote(lab: Path) -> None:
    card = _card(lab)
    card.write_text(card.read_text().replace("## Notes\n", "## Notes\n\n我自己的话：推理时温度不要太高。\n"))
    hit = ultralab("models", "find", "温度", "--home", lab)
    assert (hit.status, f"{TINY}\n    我自己的话：推理时温度不要太高。\n" in hit.out) == (0, True)
    assert ultralab("models", "find", "--home", lab).status == 2
    nothing = ultralab("models", "find", "", "--home", lab)
    assert (nothing.status, nothing.out) == (0, "Nothing in the library says that.\n")


def test_pages_are_the_same_the_second_time_and_keep_the_owners_words(lab: Path) -> None:
    catalog, card = lab / "models" / "catalog.md", _card(lab)
    for page in (catalog, card):
        page.write_text(page.read_text() + "\n## Mine\n\nA paragraph of mine — 我的。  \n")
    before = [(page.read_bytes(), page.stat().st_mtime_ns) for page in (catalog, card)]
    assert ultralab("models", "reindex", "--home", lab, "--json").data == {"models": 3}
    assert [(page.read_bytes(), page.stat().st_mtime_ns) for page in (catalog, card)] == before
    assert ultralab("models", "tag", TINY, "later", "--home", lab).status == 0
    assert ultralab("models", "tag", TINY, "--remove", "later", "--remove", "never-there", "--home", lab).status == 0
    assert [page.read_bytes() for page in (catalog, card)] == [text for text, _time in before]
    (lab / "state" / "catalog.db").write_bytes(b"no database")
    shutil.rmtree(lab / "store" / "tree")
    assert ultralab("models", "reindex", "--home", lab, "--json").data == {"models": 3}
    assert ultralab("models", "show", TINY, "--home", lab, "--json").data["state"] == ""
    assert [page.read_bytes() for page in (catalog, card)] == [text for text, _time in before]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tag", TINY), "No tag is given."),
        (("tag", TINY, "two words"), "'two words' cannot be a tag."),
        (("tag", "nobody", "x"), "There is no model 'nobody' in the library."),
        (("describe", TINY, "\x1b[31mred"), "This cannot be a model's description"),
        (("describe", TINY), "Missing argument 'TEXT'."),
    ],
)
def test_marks_that_are_refused(words: tuple[str, ...], message: str, lab: Path) -> None:
    done = ultralab("models", *words, "--home", lab, "--json")
    assert (done.status, done.out) == (2, "")
    assert done.error["message"].startswith(message)
    assert done.error["hint"]


def test_a_metadata_file_that_cannot_be_read_is_named(lab: Path) -> None:
    path = lab / "models" / "metadata" / "tiny--f32.json"
    good = path.read_text()
    path.write_text("{")
    try:
        for words in (("show", TINY), ("show", "tiny"), ("tag", TINY, "x"), ("describe", TINY, "x")):
            done = ultralab("models", *words, "--home", lab, "--json")
            assert (done.status, done.error["kind"], done.error["data"]["path"]) == (1, "FileDamaged", str(path))
        for looking in (["list"], ["find", "gguf"]):
            done = ultralab("models", *looking, "--home", lab)
            assert (done.status, str(path) in done.err, FAR in done.out, TINY in done.out) == (0, True, True, False)
    finally:
        path.write_text(good)


@pytest.mark.parametrize(
    ("line", "word", "offered"),
    [
        ("ultralab models desc", "desc", ["describe"]),
        ("ultralab models show ti", "ti", [TINY]),
        ("ultralab models show tiny:", ":", ["f32"]),
        ("ultralab models show tiny:f", "f", ["f32"]),
        ("ultralab models expose tiny:f32 --to=lm", "lm", ["lmstudio"]),
        ("ultralab models list --tag f", "f", ["fast"]),
        ("ultralab models inspect ./", "./", []),  # the shell's own files
    ],
)
def test_bash_completes(line: str, word: str, offered: list[str], lab: Path) -> None:
    """What bash hands over: words that end at colons and equal signs, of which it replaces the last one."""
    words = line.replace(":", " : ").replace("=", " = ").split()
    assert words[-1] == word
    script = f"""
        eval "$({ULTRALAB} completion bash)"
        compopt() {{ :; }}  # works only while bash itself completes
        COMP_WORDBREAKS=$' \\t\\n"'"'"'><=;|&(:'
        COMP_LINE=$1 COMP_POINT=${{#1}} COMP_WORDS=("${{@:2}}") COMP_CWORD=$(($# - 2))
        _ultralab_completion {ULTRALAB}
        [[ ${{#COMPREPLY[@]}} = 0 ]] || printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script, "bash", line, *words],
        env=environment(ULTRALAB_HOME=str(lab)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, done.stdout.splitlines()) == ("", offered)
