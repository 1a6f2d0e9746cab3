"""The catalogues are complete, and the check that says so sees what it should."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from babel.messages.catalog import Catalog, Message

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translations", ROOT / "scripts" / "translations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


translations = _script()


def _catalogue(**sentences: str) -> Catalog:
    catalogue = Catalog(locale="zh_CN")
    for sentence, translated in sentences.items():
        catalogue.add(sentence.replace("_", " "), translated)
    return catalogue


def test_every_sentence_is_translated() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "translations.py", "check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_check_names_what_is_missing_fuzzy_and_obsolete() -> None:
    template = _catalogue(one="", two="", three="")
    found = _catalogue(one="一", two="", four="四")
    found.add("three", "三", flags=["fuzzy"])
    assert list(translations.problems_of(found, template)) == ["missing: 'two'", "fuzzy: 'three'", "obsolete: 'four'"]


@pytest.mark.parametrize(
    ("sentence", "translated", "problem"),
    [
        ("{a} of {b}", "{b} 中的 {a}", ""),
        ("{a:.1f} s", "{a:.1f} 秒", ""),
        ("{a} of {b}", "{a}", "lost placeholder b"),
        ("{a}", "{a} {c}", "unknown placeholder c"),
        ("{a:.1f} s", "{a} 秒", "lost placeholder a:.1f"),
        ("{a!r}", "{a}", "lost placeholder a!r"),
        ("{a}", "{a", "broken placeholder (expected '}' before end of string)"),
        (("{n} run", "{n} runs"), ("{n} 次运行",), ""),
        (("one run", "{n} runs"), ("{n} 次运行",), ""),
        (("{n} run", "{n} runs"), ("运行",), "lost placeholder n"),
    ],
)
def test_placeholders_must_agree(sentence: str | tuple[str, ...], translated: str, problem: str) -> None:
    assert translations.placeholder_problem(Message(sentence, translated)) == problem


def test_sentences_are_collected_from_the_code() -> None:
    entry = translations.collect().get("Did you mean {near}? Known: {known}.")
    assert [name for name, _line in entry.locations] == ["src/ultralab/kernel/errors.py"]


def test_sentences_inside_f_strings_are_collected() -> None:
    code = "print(_(\"plain\"), f\"{_('Warning')}: {N_('later')} {_(name)}\")"
    assert list(translations.inside_f_strings(code)) == ["Warning", "later"]


def test_sentences_of_click_are_collected() -> None:
    template = translations.collect()
    assert [name for name, _line in template.get("Show this message and exit.").locations] == ["click/decorators.py"]
    assert template.get("No such command {name!r}.") is not None


def test_a_catalogue_is_written_the_same_each_time(tmp_path: Path) -> None:
    once, twice = tmp_path / "once.po", tmp_path / "twice.po"
    translations.write(_catalogue(two="二", one="一"), once, "zh_CN")
    translations.write(translations.read(once, "zh_CN"), twice, "zh_CN")
    assert twice.read_text() == once.read_text()
    assert once.read_text() == (
        "# zh_CN messages of ultralab. Sentences are collected by `make translations`.\n"
        'msgid ""\nmsgstr ""\n'
        '"Language: zh_CN\\n"\n"MIME-Version: 1.0\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Content-Transfer-Encoding: 8bit\\n"\n"Plural-Forms: nplurals=1; plural=0;\\n"\n\n'
        'msgid "one"\nmsgstr "一"\n\nmsgid "two"\nmsgstr "二"\n\n'
    )
