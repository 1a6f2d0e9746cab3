"""The message catalogues: collect sentences from the code, merge them into the translations, find what is missing.

``extract``  writes the template ``build/ultralab.pot`` from the code (``_``, ``N_``, ``ngettext``) and the templates
``update``   brings every catalogue up to date: new sentences are empty, changed ones fuzzy, gone ones dropped
``check``    exits 1 and lists what is missing, fuzzy, obsolete or out of date, and placeholders that differ
"""

from __future__ import annotations

import ast
import string
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import read_po, write_po

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "src" / "ultralab"
LOCALE: Final = SOURCE / "locale"
TEMPLATE: Final = ROOT / "build" / "ultralab.pot"
DOMAIN: Final = "ultralab"

METHODS: Final = [("**.py", "python"), ("**.j2", "jinja2"), ("**.jinja", "jinja2")]
KEYWORDS: Final = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
# The modules of click whose sentences a person meets in help and in errors; click asks our catalogue for them.
CLICK: Final = ("core.py", "decorators.py", "exceptions.py", "types.py", "parser.py", "formatting.py")
CLICK_FOLDER: Final = Path(click.__file__).parent
# Stable from run to run: no dates, no names, no addresses.
HEADER: Final = "# {language} messages of ultralab. Sentences are collected by `make translations`."
PLURALS: Final = {"zh_CN": "nplurals=1; plural=0;"}


def collect() -> Catalog:
    """Every sentence in the code and the templates, with the files it stands in."""
    catalogue = Catalog(project=DOMAIN, charset="utf-8", fuzzy=False)
    options = {"**.j2": {"trimmed": "true"}, "**.jinja": {"trimmed": "true"}}
    found = extract_from_dir(
        SOURCE, METHODS, options, KEYWORDS, comment_tags=("Translators:",), strip_comment_tags=True
    )
    for filename, _line, message, comments, context in found:
        # One line number for all: they are not written, and must not decide the order.
        where = [(f"src/ultralab/{Path(filename).as_posix()}", 1)]
        catalogue.add(message, None, where, auto_comments=comments, context=context)
    for path in sorted(SOURCE.rglob("*.py")):
        for message in inside_f_strings(path.read_text(encoding="utf-8")):
            catalogue.add(message, None, [(path.relative_to(ROOT).as_posix(), 1)])
    for name in CLICK:
        for _line, message, _comments, context in extract_from_file("python", CLICK_FOLDER / name, KEYWORDS):
            catalogue.add(message, None, [(f"click/{name}", 1)], context=context)
    return catalogue


def inside_f_strings(code: str) -> Iterator[str]:
    """The sentences marked inside f-strings: Babel, which reads tokens, sees them only from Python 3.12 on."""
    texts = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.JoinedStr)]
    for text in texts:
        for node in ast.walk(text):
            match node:
                case ast.Call(func=ast.Name(id="_" | "N_"), args=[ast.Constant(value=str() as message)]):
                    yield message


def read(path: Path, language: str | None = None) -> Catalog:
    """A catalogue from its file."""
    with path.open("rb") as stream:
        return read_po(stream, locale=language, domain=DOMAIN)


def write(catalogue: Catalog, path: Path, language: str) -> None:
    """A catalogue into its file, sorted, with file names but no line numbers, and a header that never changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(header(language).encode())
        write_po(
            stream, catalogue, width=100, sort_output=True, omit_header=True, ignore_obsolete=True, include_lineno=False
        )


def header(language: str) -> str:
    """The first entry of a ``.po`` file: what a reader needs to decode it, nothing else."""
    fields = [f"Language: {language}", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8"]
    fields.append("Content-Transfer-Encoding: 8bit")
    if language in PLURALS:
        fields.append(f"Plural-Forms: {PLURALS[language]}")
    lines = "".join(f'"{field}\\n"\n' for field in fields)
    return f'{HEADER.format(language=language)}\nmsgid ""\nmsgstr ""\n{lines}\n'


def catalogues() -> dict[str, Path]:
    """The translations' files by language."""
    return {path.parts[-3]: path for path in sorted(LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))}


def update() -> None:
    """Merge what the code says now into every catalogue."""
    template = collect()
    for language, path in catalogues().items():
        catalogue = read(path, language)
        catalogue.update(template)
        write(catalogue, path, language)


def check() -> list[str]:
    """What is wrong with the translations, one line each; empty where they are complete."""
    template = collect()
    problems = []
    for language, path in catalogues().items():
        problems += [f"{language}: {problem}" for problem in problems_of(read(path, language), template)]
    return problems


def problems_of(catalogue: Catalog, template: Catalog) -> Iterator[str]:
    """What keeps one catalogue from being a complete translation of the template."""
    for wanted in template:
        entry = catalogue.get(wanted.id, wanted.context) if wanted.id else None
        if not wanted.id:
            continue
        if entry is None or not all(forms(entry.string)):
            yield f"missing: {shown(wanted)}"
        elif entry.fuzzy:
            yield f"fuzzy: {shown(wanted)}"
        elif problem := placeholder_problem(entry):
            yield f"{problem}: {shown(wanted)}"
    for entry in catalogue:
        if entry.id and template.get(entry.id, entry.context) is None:
            yield f"obsolete: {shown(entry)}"
    for entry in catalogue.obsolete.values():
        yield f"obsolete: {shown(entry)}"


def placeholder_problem(entry: Message) -> str:
    """How the ``{name}`` placeholders of a translation differ from the sentence's; empty where they agree.

    A plural sentence may use any of the placeholders of its two forms, and must not lose one that both have.
    """
    needed = set.intersection(*(placeholders(form) for form in forms(entry.id)))
    allowed = set.union(*(placeholders(form) for form in forms(entry.id)))
    for form in forms(entry.string):
        try:
            present = placeholders(form)
        except ValueError as error:
            return f"broken placeholder ({error})"
        if lost := needed - present:
            return f"lost placeholder {', '.join(sorted(lost))}"
        if unknown := present - allowed:
            return f"unknown placeholder {', '.join(sorted(unknown))}"
    return ""


def placeholders(text: str) -> set[str]:
    """The fields of a format string, with conversion and format: ``{size:.1f}`` is ``size:.1f``.

    Text that is no format string in English (a stray brace) has none. Raises ValueError for a broken one.
    """
    parsed = string.Formatter().parse(text)
    return {
        f"{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}"
        for _text, name, spec, conversion in parsed
        if name is not None
    }


def forms(text: str | Iterable[str] | None) -> tuple[str, ...]:
    """The forms of a sentence: one, or one for each grammatical number."""
    return (text or "",) if text is None or isinstance(text, str) else tuple(text)


def shown(entry: Message) -> str:
    """A sentence as one short line, with the file it stands in."""
    where = f" ({entry.locations[0][0]})" if entry.locations else ""
    return repr(forms(entry.id)[0][:100]) + where


def main(verb: str) -> int:
    """Do one of the three verbs; the exit status."""
    if verb == "extract":
        write(collect(), TEMPLATE, "en")
        print(TEMPLATE.relative_to(ROOT))
    elif verb == "update":
        update()
        for path in catalogues().values():
            print(path.relative_to(ROOT))
    elif verb == "check":
        problems = check()
        for problem in problems:
            print(problem)
        return 1 if problems else 0
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else ""))
