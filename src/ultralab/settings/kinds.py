"""The kinds of values that a setting may have: how one is recognised in TOML and in a command's text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ultralab.kernel.language import N_, _
from ultralab.kernel.units import parse_bytes

Value = str | int | bool | tuple[str, ...]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")
_ENGINE = re.compile(r"[a-z0-9][a-z0-9._-]*(:[a-z0-9][a-z0-9._-]*)?")
_WINDOW = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_FOLDER = re.compile(r"([a-z0-9][a-z0-9._-]*)=(/.*)")
_ADDRESS = re.compile(r"([a-z0-9][a-z0-9._-]*)=(https?://[^\s@]+)")
_URL = re.compile(r"https?://[^\s@]+")
_LIMIT = re.compile(r"([a-z0-9][a-z0-9._-]*)=([1-9]\d{0,3})", re.ASCII)


@dataclass(frozen=True)
class Kind:
    """A kind of value. ``expects`` (a message id) completes "must be …".

    ``read`` turns a TOML value into ours, ``from_text`` a command's text into a TOML value; both raise ValueError.
    """

    expects: str
    read: Callable[[object], Value]
    from_text: Callable[[str], object]

    def wanted(self) -> str:
        """What is expected, translated."""
        return _(self.expects)


def _truth(value: object) -> bool:
    if value is not True and value is not False:
        raise ValueError
    return value is True


def _truth_from_text(text: str) -> bool:
    words = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}
    if text.strip().lower() not in words:
        raise ValueError(text)
    return words[text.strip().lower()]


def _line(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.match(value):
        raise ValueError
    return value


def _engine(value: object) -> str:
    """A name, or ``external:`` and the name of an address."""
    if not isinstance(value, str) or not _ENGINE.fullmatch(value):
        raise ValueError
    return value


def _url(value: object) -> str:
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise ValueError
    return value


def _size(value: object) -> int:
    if isinstance(value, str):
        return parse_bytes(value)
    return _whole(value, 0, 2**63)


def _size_from_text(text: str) -> object:
    parse_bytes(text)
    return text.strip()


def _names(value: object) -> tuple[str, ...]:
    names = tuple(_name(item) for item in value) if isinstance(value, list) else None
    if names is None or len(set(names)) != len(names):
        raise ValueError
    return names


def _names_from_text(text: str) -> list[str]:
    return [part.strip(" \"'") for part in text.strip().strip("[]").split(",") if part.strip(" \"'")]


def _window(value: object) -> str:
    """``HH:MM-HH:MM``; it may go over midnight, and has a length."""
    if not isinstance(value, str) or not _WINDOW.fullmatch(value) or value[:5] == value[6:]:
        raise ValueError
    return value


def _limits(value: object) -> tuple[str, ...]:
    found = [_LIMIT.fullmatch(item) if isinstance(item, str) else None for item in _items(value)]
    names = [match.group(1) for match in found if match]
    if len(names) < len(found) or len(set(names)) < len(names):
        raise ValueError
    return tuple(match.group() for match in found if match)


def _folders(value: object) -> tuple[str, ...]:
    """``name=/absolute/path``, each name once, none of them ``home`` or ``auto``."""
    found = _pairs(value, _FOLDER)
    names = [text.partition("=")[0] for text in found]
    if len(set(names)) < len(names) or {"home", "auto"} & set(names) or not all(text.isprintable() for text in found):
        raise ValueError
    return found


def _addresses(value: object) -> tuple[str, ...]:
    """``source=https://address``; a source may have several. No credentials in them."""
    return _pairs(value, _ADDRESS)


def _endpoints(value: object) -> tuple[str, ...]:
    """``name=http://address``, each name once. No credentials in them: keys are secrets."""
    found = _pairs(value, _ADDRESS)
    if len({text.partition("=")[0] for text in found}) < len(found):
        raise ValueError
    return found


def _pairs(value: object, form: re.Pattern[str]) -> tuple[str, ...]:
    found = [form.fullmatch(item) if isinstance(item, str) else None for item in _items(value)]
    if None in found or len(set(found)) < len(found):
        raise ValueError
    return tuple(match.group() for match in found if match)


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004 - what every reader raises
    return value


def _whole(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError
    return value


def whole(low: int, high: int, expects: str) -> Kind:
    """A whole number from ``low`` to ``high``."""
    return Kind(expects, lambda value: _whole(value, low, high), int)


def size_from(least: int, expects: str) -> Kind:
    """A size of at least ``least`` bytes."""

    def read(value: object) -> int:
        return _whole(_size(value), least, 2**63)

    return Kind(expects, read, _size_from_text)


def choice(*allowed: str) -> Kind:
    """One of some words."""

    def read(value: object) -> str:
        if value not in allowed:
            raise ValueError
        return str(value)

    return Kind(" | ".join(f'"{word}"' for word in allowed), read, str.strip)


TRUTH: Final = Kind(N_("true or false"), _truth, _truth_from_text)
LINE: Final = Kind(N_("text on one line"), _line, str)
NAME: Final = Kind(N_("a name in lower case"), _name, str.strip)
ENGINE: Final = Kind(N_("an engine, such as llamacpp or external:studio"), _engine, str.strip)
URL: Final = Kind(N_("an address such as http://127.0.0.1:11434"), _url, str.strip)
SIZE: Final = Kind(N_('a size such as "2GiB", or bytes as a whole number'), _size, _size_from_text)

WINDOW: Final = Kind(N_('a time of the day from and to, such as "22:00-07:00"'), _window, str.strip)
LIMITS: Final = Kind(
    N_('a list of kinds with the most at once (1 to 9999), such as ["pull=2"]'), _limits, _names_from_text
)

FOLDERS: Final = Kind(
    N_('a list of names with their folders, such as ["ssd=/Volumes/SSD/models"]'), _folders, _names_from_text
)
ADDRESSES: Final = Kind(
    N_('a list of sources with addresses, such as ["hf=https://hf-mirror.example"]'), _addresses, _names_from_text
)
ENDPOINTS: Final = Kind(
    N_('a list of names with addresses, such as ["studio=http://127.0.0.1:1234/v1"]'), _endpoints, _names_from_text
)


def names_among(*allowed: str) -> Kind:
    """A list of some of these names."""

    def read(value: object) -> tuple[str, ...]:
        names = _names(value)
        if not set(names) <= set(allowed):
            raise ValueError
        return names

    return Kind(N_('a list of names, such as ["mlflow"]'), read, _names_from_text)
