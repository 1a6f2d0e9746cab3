"""`lab.toml`: defaults, every mistake with its line, changes that keep the rest."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ultralab.kernel.checks import Finding
from ultralab.kernel.errors import FileAccess, InvalidSpec, RequestError, UnknownChoice
from ultralab.settings import Settings, default_toml, describe, is_lab, load, quick_language, set_value, values
from ultralab.settings.checks import doctor_checks
from ultralab.settings.lines import key_lines
from ultralab.settings.schema import EngineSettings, ExperimentSettings, GitSettings, JobSettings, MemorySettings

DEFAULTS = {
    "language": "auto",
    "author": "",
    "git.auto_commit": True,
    "engines.default": "llamacpp",
    "engines.context": 2048,
    "engines.threads": 0,
    "engines.llama_server": "embedded",
    "engines.torch_python": "",
    "engines.ollama": "http://127.0.0.1:11434",
    "engines.external": [],
    "engines.prompt_cache": 0,
    "memory.reserve": 2 * 1024**3,
    "models.volumes": [],
    "models.placement": "auto",
    "models.keep_free": 5 * 1024**3,
    "models.connections": 4,
    "models.mirrors": [],
    "models.max_tensors": 262_144,
    "models.prune": "ask",
    "models.prune_age": 90,
    "models.prune_free": 100 * 1024**3,
    "secrets.store": "auto",
    "experiments.trackers": ["mlflow"],
    "jobs.parallel": 4,
    "jobs.night": "22:00-07:00",
    "jobs.ageing": 60,
    "jobs.patience": 15,
    "jobs.kinds": [],
    "jobs.network": 2,
    "jobs.disk_reserve": 5 * 1024**3,
    "jobs.log_limit": 64 * 1024**2,
    "jobs.grace": 10,
}


def lab(folder: Path, text: str) -> Path:
    (folder / "lab.toml").write_text(text)
    return folder


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings()
    assert values(Settings()) == DEFAULTS
    assert not is_lab(tmp_path)


def test_a_whole_file(tmp_path: Path) -> None:
    text = (
        '\ufefflanguage = "zh_CN"\nauthor = "王 🙂"\ngit = {auto_commit = false}\nmemory.reserve = 1_000\n'
        '[engines]\ndefault = "fake"\ncontext = 512\nthreads = 4\n[experiments]\ntrackers = []\n'
    )
    assert load(lab(tmp_path, text)) == Settings(
        "zh_CN", "王 🙂", GitSettings(auto_commit=False), EngineSettings("fake", 512, 4),
        MemorySettings(1000), experiments=ExperimentSettings(()),
    )  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_the_default_file_says_the_defaults_and_explains_each(tmp_path: Path, language: str) -> None:
    text = default_toml(language)
    assert load(lab(tmp_path, text)) == Settings()
    fields = describe()
    assert [field.key for field in fields] == list(DEFAULTS)
    assert text.count("\n# ") == 2 * len(fields)
    given = default_toml(language, {"author": 'a "b" \\ 王', "language": "en"})
    assert (tomllib.loads(given)["author"], tomllib.loads(given)["language"]) == ('a "b" \\ 王', "en")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[git]\n\nauto_commit = 3\n", "3: git.auto_commit: must be true or false, not 3", "remove the line"),
        ("git = 3\n", "1: git: must be a table: [git], not 3", "remove the line"),
        ('a = """\nlanguage = 1\n"""\n', "1: a: there is no such setting", "Known: language, author"),
        ("[git]\nauto_comit = true\n", "2: git.auto_comit: there is no such setting", "Did you mean git.auto_commit?"),
        ("\nthreads = 1\n", "2: threads: there is no such setting", "Did you mean engines.threads?"),
        ("[engin]\n", "1: engin: there is no such setting", "Did you mean engines?"),
        (
            '[memory]\nreserve = "2 apples"\n',
            "2: memory.reserve: must be a size such as \"2GiB\", or bytes as a whole number, not '2 apples'",
            "remove the line",
        ),
        ("[engines]\nthreads = true\n", "2: engines.threads: must be a whole number from 0 to 1024, not True", "line"),
        (
            '[engines]\nollama = "localhost:11434"\n',
            "2: engines.ollama: must be an address such as http://127.0.0.1:11434, not 'localhost:11434'",
            "line",
        ),
        (
            "[engines]\ncontext = 0\n",
            "2: engines.context: must be a whole number of tokens, at least 256, not 0",
            "line",
        ),
        ('\n\nlanguage = "de"\n', '3: language: must be "auto" | "en" | "zh_CN", not \'de\'', "line"),
        ('author = "a\\nb"\n', "1: author: must be text on one line, not 'a\\nb'", "line"),
        (
            '[experiments]\ntrackers = ["a", "a"]\n',
            "2: experiments.trackers: must be a list of names, such as [\"mlflow\"], not ['a', 'a']",
            "line",
        ),
        ('[git]\n\nx = "\n', "3: this is not TOML: Illegal character '\\n' (at line 3, column 6)", "Correct the line"),
        ("[git]\n\nx = [\n", "3: this is not TOML: Invalid value (at end of document)", "Correct the line"),
    ],
)
def test_each_mistake_is_named_by_file_line_and_field(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        load(lab(tmp_path, text))
    assert caught.value.message == f"{tmp_path / 'lab.toml'}:{message}"
    assert hint in caught.value.hint


def test_a_file_that_is_no_text_or_no_file(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_bytes(b"# a\n\xff")
    with pytest.raises(InvalidSpec) as caught:
        load(tmp_path)
    assert caught.value.message == f"{tmp_path / 'lab.toml'}:2: this is not UTF-8 text"
    (tmp_path / "x" / "lab.toml").mkdir(parents=True)
    with pytest.raises(FileAccess):
        load(tmp_path / "x")


def test_a_change_keeps_comments_order_and_line_ends(tmp_path: Path) -> None:
    old = "# mine\r\nlanguage = 'en' # why\r\n\r\n[engines] # here\r\nthreads = 2\r\n"
    (tmp_path / "lab.toml").write_bytes(old.encode())
    assert set_value(tmp_path, "engines.threads", "4").engines.threads == 4
    assert (tmp_path / "lab.toml").read_bytes().decode() == old.replace("threads = 2", "threads = 4")
    assert set_value(tmp_path, "git.auto_commit", "off").git == GitSettings(auto_commit=False)
    added = "\r\n[git]\r\nauto_commit = false\r\n"
    assert (tmp_path / "lab.toml").read_bytes().decode() == old.replace("threads = 2", "threads = 4") + added


def test_the_section_of_the_jobs(tmp_path: Path) -> None:
    text = (
        '[jobs]\nparallel = 1000\nnight = "00:00-23:59"\nageing = 1\npatience = 525600\n'
        'kinds = ["download=2", "a.b-c_9=9999"]\nnetwork = 1\ndisk_reserve = 0\nlog_limit = "64KiB"\ngrace = 0\n'
    )
    assert load(lab(tmp_path, text)).jobs == JobSettings(
        1000, "00:00-23:59", 1, 525_600, ("download=2", "a.b-c_9=9999"), 1, 0, 65_536, 0
    )


_NIGHT = 'a time of the day from and to, such as "22:00-07:00"'
_KINDS = 'a list of kinds with the most at once (1 to 9999), such as ["pull=2"]'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("parallel = 0", "a whole number from 1 to 1000, not 0"),
        ("parallel = 1001", "a whole number from 1 to 1000, not 1001"),
        ("parallel = true", "a whole number from 1 to 1000, not True"),
        ('night = "22:00-22:00"', f"{_NIGHT}, not '22:00-22:00'"),
        ('night = "24:00-07:00"', f"{_NIGHT}, not '24:00-07:00'"),
        ('night = "22:60-07:00"', f"{_NIGHT}, not '22:60-07:00'"),
        ('night = "22:00-7:00"', f"{_NIGHT}, not '22:00-7:00'"),
        ('night = "22:00 - 07:00"', f"{_NIGHT}, not '22:00 - 07:00'"),
        ('night = "٢٢:٠٠-٠٧:٠٠"', f"{_NIGHT}, not '٢٢:٠٠-٠٧:٠٠'"),
        ("night = 22:00:00", f"{_NIGHT}, not datetime.time(22, 0)"),
        ('kinds = "download=2"', f"{_KINDS}, not 'download=2'"),
        ('kinds = ["download"]', f"{_KINDS}, not ['download']"),
        ('kinds = ["download=0"]', f"{_KINDS}, not ['download=0']"),
        ('kinds = ["Down load=1"]', f"{_KINDS}, not ['Down load=1']"),
        ('kinds = ["download=1\\n"]', f"{_KINDS}, not ['download=1\\n']"),
        ('kinds = ["a=1", "a=2"]', f"{_KINDS}, not ['a=1', 'a=2']"),
        ("kinds = [3]", f"{_KINDS}, not [3]"),
        ("ageing = 0", "a whole number of minutes, at least 1, not 0"),
        ('log_limit = "63KiB"', "a size of at least \"64KiB\", not '63KiB'"),
        ("grace = -1", "a whole number of seconds from 0 to 3600, not -1"),
    ],
)
def test_what_is_wrong_in_the_section_of_the_jobs(tmp_path: Path, line: str, expected: str) -> None:
    key = line.partition(" ")[0]
    with pytest.raises(InvalidSpec) as caught:
        load(lab(tmp_path, f"[jobs]\n{line}\n"))
    assert caught.value.message == f"{tmp_path / 'lab.toml'}:2: jobs.{key}: must be {expected}"


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("jobs.night", " 23:30-06:15 ", 'night = "23:30-06:15"'),
        ("jobs.kinds", "download=2, benchmark=1", 'kinds = ["download=2", "benchmark=1"]'),
        ("jobs.kinds", "[]", "kinds = []"),
        ("jobs.log_limit", "1 MiB", 'log_limit = "1 MiB"'),
        ("language", "zh_CN", 'language = "zh_CN"'),
        ("author", "a b", 'author = "a b"'),
        ("memory.reserve", " 12 GiB", 'reserve = "12 GiB"'),
        ("models.volumes", "ssd=/Volumes/My SSD/模型", 'volumes = ["ssd=/Volumes/My SSD/模型"]'),
        ("models.mirrors", "hf=https://hub.example:8/x", 'mirrors = ["hf=https://hub.example:8/x"]'),
        ("experiments.trackers", "[mlflow]", 'trackers = ["mlflow"]'),
        ("experiments.trackers", "", "trackers = []"),
        ("git.auto_commit", "Yes", "auto_commit = true"),
    ],
)
def test_a_value_from_a_command_makes_the_file(tmp_path: Path, key: str, text: str, line: str) -> None:
    set_value(tmp_path, key, text)
    table = key.rpartition(".")[0]
    assert (tmp_path / "lab.toml").read_text() == (f"[{table}]\n{line}\n" if table else f"{line}\n")


def test_a_wrong_change_changes_nothing(tmp_path: Path) -> None:
    home = lab(tmp_path, "git = 3\n")
    with pytest.raises(UnknownChoice) as unknown:
        set_value(home, "git.autocommit", "on")
    assert unknown.value.hint.startswith("Did you mean git.auto_commit?")
    with pytest.raises(RequestError) as wrong:
        set_value(home, "engines.threads", "many")
    assert wrong.value.message == "engines.threads cannot be 'many': it must be a whole number from 0 to 1024."
    with pytest.raises(InvalidSpec) as table:
        set_value(home, "git.auto_commit", "on")
    assert table.value.message == f"{home / 'lab.toml'}:1: git: must be a table: [git], not 3"
    assert (home / "lab.toml").read_text() == "git = 3\n"


def test_a_change_can_mend_a_wrong_value(tmp_path: Path) -> None:
    home = lab(tmp_path, '[engines]\nthreads = "x"\n')
    assert set_value(home, "engines.threads", "0") == Settings()
    assert (home / "lab.toml").read_text() == "[engines]\nthreads = 0\n"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ('language = "zh_CN"\n[git', None),
        ('language = "en"', "en"),
        ('language = "auto"', None),
        ("language = []", None),
    ],
)
def test_the_quick_language_never_raises(tmp_path: Path, text: str, language: str | None) -> None:
    assert quick_language(lab(tmp_path, text)) == language
    assert quick_language(tmp_path / "nowhere") is None


def test_importing_and_asking_for_the_language_is_cheap(tmp_path: Path) -> None:
    lab(tmp_path, default_toml("en", {"language": "zh_CN"}))
    code = (
        "import sys, pathlib, ultralab.settings as s; s.load(pathlib.Path(sys.argv[1]));"
        "print(s.quick_language(pathlib.Path(sys.argv[1])), sorted({'pydantic', 'tomlkit', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "zh_CN []\n"


def test_where_keys_stand() -> None:
    text = "a.b = 1\n[ t . \"u v\" ] # c\nx = '''\ny = 1\n'''\nz = \"'''\"\n[[list]]\nk=2"
    assert key_lines(text) == {
        "a": 1, "a.b": 1, "t": 2, "t.u v": 2, "t.u v.x": 3, "t.u v.z": 6, "list": 7, "list.k": 8,
    }  # fmt: skip


def test_doctor_says_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    (check,) = doctor_checks(tmp_path)
    path = tmp_path / "lab.toml"
    assert check.run() == Finding("warn", f"{path} is not there; the defaults hold", "Make the lab with: ultralab init")
    lab(tmp_path, "language = 1\n")
    assert check.run() == Finding(
        "fail",
        f'{path}:1: language: must be "auto" | "en" | "zh_CN", not 1',
        "Correct it, or remove the line: then the default holds.",
    )
    lab(tmp_path, default_toml("en"))
    assert check.run() == Finding("pass", str(path))
