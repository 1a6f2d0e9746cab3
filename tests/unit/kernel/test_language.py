"""Which language people read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from ultralab.kernel import language
from ultralab.kernel.language import N_, _, current_language, language_of_locale, match_language, use_language


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    yield
    use_language("en")


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("zh", "zh_CN"),
        ("zh_CN", "zh_CN"),
        ("zh_CN.UTF-8", "zh_CN"),
        ("zh-Hans", "zh_CN"),
        ("ZH-hant-TW", "zh_CN"),
        ("en", "en"),
        ("en_GB@euro", "en"),
        ("C", "en"),
        ("C.UTF-8", "en"),
        ("POSIX", "en"),
        ("de_DE.UTF-8", None),
        ("", None),
        ("@", None),
    ],
)
def test_match_language(tag: str, found: str | None) -> None:
    assert match_language(tag) == found


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US"}, "en"),
        ({"LANG": "en_US", "LC_MESSAGES": "en_US", "LC_ALL": "zh_CN"}, "zh_CN"),
        ({"LC_ALL": "", "LANG": "zh_CN"}, "zh_CN"),
        ({"LC_ALL": "fr_FR", "LANG": "zh_CN"}, "en"),
    ],
)
def test_language_of_locale(variables: dict[str, str], found: str) -> None:
    assert language_of_locale(variables) == found


def test_sentences_follow_the_choice() -> None:
    sentence = "The disk is full: {path} could not be written."
    assert _(sentence) == sentence
    use_language("zh_CN")
    assert current_language() == "zh_CN"
    assert _(sentence) != sentence
    assert "{path}" in _(sentence)
    assert _("a sentence that nobody translated") == "a sentence that nobody translated"
    assert _("") == ""  # the empty id holds the catalogue's header
    assert N_(sentence) == sentence
    use_language("en")
    assert _(sentence) == sentence


def test_a_catalogue_for_one_text_leaves_the_process_alone() -> None:
    chinese = language.translation("zh_CN")
    assert chinese.gettext("Interrupted.") != "Interrupted."
    assert current_language() == "en"
    assert _("Interrupted.") == "Interrupted."


def test_the_kernel_needs_the_standard_library_alone() -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        "from ultralab.kernel import checks, errors, ids, language, plugins, progress, text, units\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'ultralab'}))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
