"""`lab.toml`: read with every mistake named by file, field and line; changed with comments and order kept."""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import InvalidSpec, RequestError, UnknownChoice
from ultralab.kernel.language import LANGUAGES, N_, _, translation
from ultralab.kernel.text import printable
from ultralab.settings.kinds import Value
from ultralab.settings.lines import line_of, syntax_error_line
from ultralab.settings.schema import Settings, build, describe, kinds, sections
from ultralab.system import files

LAB_FILE: Final = "lab.toml"
_BOM: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
_LONE_NEWLINE: Final = re.compile(r"(?<!\r)\n")  # tomlkit ends the lines that it adds so
_HEADING: Final = N_("The settings of this ultralab lab. A line that you remove goes back to its default.")


def is_lab(home: Path) -> bool:
    """Whether a folder is a lab: it has a ``lab.toml``."""
    return (home / LAB_FILE).is_file()


def load(home: Path) -> Settings:
    """The lab's settings; defaults where ``lab.toml`` is not there.

    Raises InvalidSpec with file, dotted field and line; FileAccess.
    """
    path = home / LAB_FILE
    return parse(_read(path), path) if path.exists() else Settings()


def parse(text: str, path: Path) -> Settings:
    """Settings from the text of a ``lab.toml``; ``path`` names it in errors. Raises InvalidSpec."""
    import tomllib

    try:
        document = tomllib.loads(text.removeprefix(_BOM))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidSpec(
            path,
            _("this is not TOML: {reason}").format(reason=error),
            line=syntax_error_line(str(error), text),
            hint=_("Correct the line, or compare it with https://toml.io."),
        ) from error
    found: dict[str, Value] = {}
    for key, value in _flat(document, text, path):
        kind = kinds().get(key)
        if kind is None:
            raise _unknown(key, text, path)
        try:
            found[key] = kind.read(value)
        except ValueError as error:
            raise _wrong_value(key, value, kind.wanted(), text, path) from error
    return build(found)


def set_value(home: Path, key: str, text: str) -> Settings:
    """Change one setting in ``lab.toml`` (made if missing), given as a command's text; what holds then.

    Comments and order are kept. The new file is validated before it is written, atomically.
    Raises UnknownChoice (no such setting), RequestError (a value it does not take), InvalidSpec, FileAccess, DiskFull.
    """
    path = home / LAB_FILE
    if key not in kinds():
        raise UnknownChoice.among(_("setting"), key, kinds())
    kind = kinds()[key]
    try:
        value = kind.from_text(text)
        kind.read(value)
    except ValueError as error:
        raise RequestError(
            _("{key} cannot be {text!r}: it must be {expected}.").format(key=key, text=text, expected=kind.wanted()),
            hint=_("See what each setting takes with: ultralab config list"),
            key=key,
            given=text,
        ) from error
    old = _read(path) if path.exists() else ""
    new = _changed(old, key, value, path)
    settings = parse(new, path)
    if new != old:
        files.write(path.resolve(), new, stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644)
    return settings


def default_toml(language: str, given: Mapping[str, object] | None = None) -> str:
    """A commented ``lab.toml`` with every setting written out, in ``language``; ``given`` replaces defaults by key.

    The defaults stand in the file, so a lab behaves the same after an upgrade that changes them.
    """
    import tomlkit

    say = translation(language).gettext
    chosen = given or {}
    lines = [f"# {say(_HEADING)}"]
    section = ""
    for field in describe():
        table, _dot, name = field.key.rpartition(".")
        lines.append("")
        if table != section:
            lines.append(f"[{table}]")
            section = table
        value = tomlkit.item(chosen.get(field.key, field.default)).as_string()
        lines += [f"# {say(field.description)}", f"# ({say(field.type)})", f"{name} = {value}"]
    return "\n".join(lines) + "\n"


def quick_language(home: Path) -> str | None:
    """The language that ``lab.toml`` asks for, None where it asks for none or cannot be read. Never raises."""
    import tomllib

    try:
        language = tomllib.loads((home / LAB_FILE).read_text(encoding="utf-8-sig")).get("language")
    except (OSError, ValueError, RecursionError):
        return None
    return language if language in LANGUAGES else None


def _flat(document: Mapping[str, object], text: str, path: Path) -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        if key not in sections():
            yield key, value
        elif isinstance(value, dict):
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            raise _wrong_value(key, value, _("a table: [{name}]").format(name=key), text, path)


def _unknown(key: str, text: str, path: Path) -> InvalidSpec:
    known = [*kinds(), *sections()]
    bare = {name.rpartition(".")[2]: name for name in known}
    near = difflib.get_close_matches(key, known, n=1) or [
        bare[name] for name in difflib.get_close_matches(key.rpartition(".")[2], bare, n=1)
    ]
    hint = _("Did you mean {near}?").format(near=near[0]) if near else ""
    listed = _("Known: {known}.").format(known=", ".join(kinds()))
    return InvalidSpec(
        path, _("there is no such setting"), field=key, line=line_of(text, key), hint=f"{hint} {listed}".strip()
    )


def _wrong_value(key: str, value: object, expected: str, text: str, path: Path) -> InvalidSpec:
    seen = printable(repr(value), 60)
    problem = _("must be {expected}, not {value}").format(expected=expected, value=seen)
    hint = _("Correct it, or remove the line: then the default holds.")
    return InvalidSpec(path, problem, field=key, line=line_of(text, key), hint=hint)


def _read(path: Path) -> str:
    """The text with its own line ends: what is written back must not change them."""
    with files.explained(path):
        content = path.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidSpec(
            path,
            _("this is not UTF-8 text"),
            line=content.count(b"\n", 0, error.start) + 1,
            hint=_("Save the file as UTF-8."),
        ) from error


def _changed(old: str, key: str, value: object, path: Path) -> str:
    """The text with one value replaced. Whether what is there is valid is judged afterwards, on the result."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    mark = _BOM if old.startswith(_BOM) else ""
    try:
        document = tomlkit.parse(old.removeprefix(mark))
        table, _dot, name = key.rpartition(".")
        if table and table not in document:
            document.add(table, tomlkit.table())
        holder: object = document[table] if table else document
        if not isinstance(holder, MutableMapping):
            raise _wrong_value(table, holder, _("a table: [{name}]").format(name=table), old, path)
        holder[name] = value
        new = mark + tomlkit.dumps(document)
    except TOMLKitError:
        parse(old, path)  # says what is wrong, and where, better
        raise
    return _LONE_NEWLINE.sub("\r\n", new) if old.partition("\n")[0].endswith("\r") else new
