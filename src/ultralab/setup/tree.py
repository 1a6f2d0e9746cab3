"""The lab's tree: its documents, folders, settings and git repository. Made once, completed ever after.

The documents are the files under ``templates/<language>``, path for path. A new document needs one template in each
language and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import FileAccess, RequestError, ToolFailed, UnknownChoice
from ultralab.kernel.language import LANGUAGES, N_, _, current_language
from ultralab.kernel.text import printable
from ultralab.pages import Metadata, fenced, inline, parts_of, render, write_page
from ultralab.pages.repository import Repository
from ultralab.settings import LAB_FILE, default_toml, is_lab, load
from ultralab.setup.examples import SHIPPED, copy_examples
from ultralab.system import clock, environ, files

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from ultralab.settings import Settings

FOLDERS: Final = ("models/metadata", "store", "state")
DOCUMENT_VERSION: Final = "1.0"

_PACKAGE: Final = "ultralab.setup"
# No trailing slash: a store that was moved to another disk is a symbolic link, which "store/" would not match.
_IGNORED: Final = ("/store", "/state", ".DS_Store", "*.log")
# What an empty folder may hold: a fresh repository, what macOS leaves on every disk.
_EMPTY: Final = frozenset(
    {".git", ".DS_Store", ".localized", ".Trashes", ".fseventsd", ".Spotlight-V100", "lost+found"}
)

GitState = Literal["created", "present", "unavailable"]


@dataclass(frozen=True)
class Created:
    """What :func:`create_lab` did. ``files`` were made or changed, relative to ``home``, sorted.

    ``warning`` (translated) says what git could not do; the lab is complete all the same.
    """

    home: Path
    new: bool
    files: tuple[str, ...]
    git: GitState
    warning: str = ""


def create_lab(home: Path, *, language: str = "", author: str = "") -> Created:
    """Make the lab ``home``, or complete the one that is there: nothing of the owner's is overwritten.

    A new lab remembers ``language`` (of its documents; the process's where empty) and ``author`` (the user's name
    where empty) in its ``lab.toml``; in an existing lab that file decides. ``lab.toml`` comes first, so that a lab
    whose making was interrupted is known as one and the next call completes it.
    Raises RequestError (a file, or a folder with other things in it), InvalidSpec, FileAccess, DiskFull.
    """
    home = home.expanduser().absolute()
    _require_place(home)
    new = not is_lab(home)
    language = language or current_language()
    if language not in LANGUAGES:
        raise UnknownChoice.among(_("language"), language, LANGUAGES)
    if new:
        given = {"language": language, "author": printable(inline(author)) or environ.user_name()}
        files.write(home / LAB_FILE, default_toml(language, given))
    settings = load(home)
    language = language if settings.language == "auto" else settings.language
    repository = Repository(home, author_of(settings))
    touched = _touched(repository)
    written = [LAB_FILE] if new else []
    written += _write_tree(home, language, repository.author)
    ours = [name for name in written if name not in touched]
    state, warning = _keep(repository, ours, commit=new or settings.git.auto_commit)
    return Created(home, new, tuple(sorted(written)), state, warning)


def documents(language: str = "en") -> tuple[str, ...]:
    """The documents of the tree, as paths relative to the lab, sorted."""
    root = resources(_PACKAGE).joinpath("templates", language)
    return tuple(sorted(_walk(root, "")))


def doctor_checks(home: Path) -> tuple[Check, ...]:
    """Every document and folder of the tree is there."""
    return (Check("setup.tree", N_("The lab's documents and folders"), lambda: _complete(home)),)


def author_of(settings: Settings) -> str:
    """Whom documents name: the setting, else the system's user name."""
    return settings.author or environ.user_name()


def _require_place(home: Path) -> None:
    if is_lab(home):
        return
    with files.explained(home):
        if home.exists() and not home.is_dir():
            raise RequestError(
                _("{path} is a file, not a folder.").format(path=home),
                hint=_("Name a new folder for the lab: ultralab init PATH."),
                path=str(home),
            )
        names = {item.name for item in home.iterdir()} if home.is_dir() else set()
    half_written = {name for name in names if name.startswith(f".{LAB_FILE}.") and name.endswith(".part")}
    if names - _EMPTY - half_written:
        raise RequestError(
            _("{path} is not empty and is not a lab (it has no {file}).").format(path=home, file=LAB_FILE),
            hint=_("Name a new or empty folder: ultralab init PATH."),
            path=str(home),
        )


def _walk(folder: Traversable, prefix: str) -> Iterator[str]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _walk(item, f"{prefix}{item.name}/")
        elif item.name.endswith(".md"):
            yield prefix + item.name


def _write_tree(home: Path, language: str, author: str) -> list[str]:
    """Folders, documents and ``.gitignore``; what changed."""
    for folder in FOLDERS:
        _make_folder(home / folder)
    written = [".gitignore"] if _ignore_large_folders(home / ".gitignore") else []
    today = clock.now().date().isoformat()
    for name in documents(language):
        text = render(_PACKAGE, f"templates/{language}/{name}", language, lab=home.name, author=author)
        title = text.partition("\n")[0].removeprefix("# ")
        if (home / name).exists():  # only `guide` is the tree's own; other parts are filled by their rooms
            text = fenced("guide", parts_of(text)["guide"])
        if write_page(home / name, text, Metadata(title, today, author, DOCUMENT_VERSION), language):
            written.append(name)
    examples = copy_examples(home / "experiments" / "templates", language)
    return [*written, *(str(path.relative_to(home)) for path in examples)]


def _make_folder(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise FileAccess(
            _("{path} points to {target}, which is not there.").format(path=path, target=path.readlink()),
            hint=_("Connect the disk that it lies on, or remove the link."),
            path=str(path),
        )
    with files.explained(path):
        path.mkdir(parents=True, exist_ok=True)


def _ignore_large_folders(path: Path) -> bool:
    """Keep model bytes and state out of git; whether ``.gitignore`` changed. The owner's lines stay as they are."""
    old = files.read_text(path) if path.exists() else ""
    had = {line.strip().rstrip("/") for line in old.splitlines()}
    missing = [line for line in _IGNORED if line not in had and line.lstrip("/") not in had]
    if missing:
        start = old if not old or old.endswith("\n") else old + "\n"
        files.write(path, start + "\n".join(missing) + "\n")
    return bool(missing)


def _complete(home: Path) -> Finding:
    wanted = (LAB_FILE, ".gitignore", *FOLDERS, *documents())
    missing = [name for name in wanted if not (home / name).exists()]
    if missing:
        detail = _("missing: {names}").format(names=", ".join(missing))
        return Finding("warn", detail, _("Complete the lab with: ultralab init {path}").format(path=home))
    return Finding("pass", _("{count} of {count}").format(count=len(wanted)))


def _keep(repository: Repository, written: list[str], *, commit: bool) -> tuple[GitState, str]:
    """Make the repository if there is none, and commit what we wrote. A refusal of git's becomes a warning."""
    try:
        fresh = not repository.exists()
        if fresh:
            repository.make()
        if commit:
            first = not repository.has_commit()
            ours = _tree_of(repository.home) if first else written
            repository.commit(ours, "Start the lab" if first else "Update the lab's documents")
    except ToolFailed as error:
        state: GitState = "present" if repository.exists() else "unavailable"
        hint = _("Install git (on macOS: xcode-select --install) or mend what it names, then: ultralab init")
        return state, f"{error.message} {hint}"
    return ("created" if fresh else "present"), ""


def _tree_of(home: Path) -> list[str]:
    return [
        name
        for name in (LAB_FILE, ".gitignore", *documents(), *(f"experiments/templates/{name}" for name in SHIPPED))
        if (home / name).exists()
    ]


def _touched(repository: Repository) -> frozenset[str]:
    try:
        return repository.touched()
    except ToolFailed:
        return frozenset()  # `_keep` meets the same refusal and reports it
