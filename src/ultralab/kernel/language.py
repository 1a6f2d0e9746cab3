"""The language people read: ``_`` translates a sentence now, ``N_`` only marks it for the catalogue.

English is the source: every message id *is* the English sentence. Other languages are gettext catalogues
under ``ultralab/locale``. The choice is made once per process, by :func:`use_language`.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("en", "zh_CN")
DOMAIN: Final = "ultralab"
LOCALE_DIR: Final = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "locale")  # noqa: PTH100, PTH118, PTH120 - pathlib is a large part of a small process's start

_translation: gettext.NullTranslations = gettext.NullTranslations()
_current: str = "en"


def N_(message: str) -> str:
    """Mark a sentence for translation; it is translated where it is shown."""
    return message


def _(message: str) -> str:
    """Translate a sentence into the chosen language."""
    return _translation.gettext(message) if message else ""


def ngettext(singular: str, plural: str, count: int) -> str:
    """Translate a sentence that depends on a count."""
    return _translation.ngettext(singular, plural, count)


def use_language(language: str) -> None:
    """Choose the language of this process; ``language`` is one of :data:`LANGUAGES`.

    A catalogue that was not compiled (a source tree that was never set up) falls back to English.
    """
    global _translation, _current
    _translation = translation(language)
    _current = language


def translation(language: str) -> gettext.NullTranslations:
    """The catalogue of one language, for text in a language other than the process's own."""
    if language == "en":
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, LOCALE_DIR, languages=[language], fallback=True)


def current_language() -> str:
    """The language chosen for this process."""
    return _current


def match_language(tag: str) -> str | None:
    """The supported language for a tag such as ``zh-Hans``, ``zh_CN.UTF-8`` or ``en_GB``; None if none fits."""
    plain = tag.split(".", maxsplit=1)[0].split("@", maxsplit=1)[0].replace("-", "_").lower()
    if plain.startswith("zh"):
        return "zh_CN"
    if plain in ("c", "posix") or plain.startswith("en"):
        return "en"
    return None


def language_of_locale(variables: Mapping[str, str]) -> str:
    """The language that the locale variables ask for (POSIX order: LC_ALL, LC_MESSAGES, LANG), else English."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := variables.get(name):
            return match_language(value) or "en"
    return "en"
