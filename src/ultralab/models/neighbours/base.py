"""The seam of a neighbour: another tool that keeps models on this machine. docs/other_tools.md has each one's facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ultralab.models.types import ModelRecord


@dataclass(frozen=True)
class HeldFile:
    """One file of a model that another tool holds: its name in the model, where its bytes really are, their number.

    ``claimed_sha256`` is what the tool says of them (a blob's name): a claim, to be verified; empty where it says nothing.
    """

    name: str
    path: Path
    size: int
    claimed_sha256: str = ""


@dataclass(frozen=True)
class Holding:
    """One model that another tool holds. ``name`` is its file's or repository's, ``where`` a path for people.

    ``source_ref`` is where it came from (``hf:org/repo``), as a reference that can be pulled; ``revision`` what that
    stood for. With a ``problem`` (a sentence) there is nothing to adopt, and ``files`` is empty.
    """

    tool: str
    name: str
    where: Path
    source_ref: str = ""
    revision: str = ""
    files: tuple[HeldFile, ...] = ()
    problem: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Link:
    """A file of the library under a name that another tool looks for. ``prefer`` is how: by name, or as a hard link.

    ``by_hash`` is whether the tool's name for it is its hash.
    """

    path: Path
    target: Path
    prefer: Literal["symlink", "hardlink"]
    by_hash: bool = False


@dataclass(frozen=True)
class Text:
    """A small file that another tool needs beside the links. One that is there with other content stays if ``optional``."""

    path: Path
    content: str
    optional: bool = False


@dataclass(frozen=True)
class Layout:
    """How a tool wants to find a model: what to make, in this order, and the command that uses it then."""

    steps: tuple[Link | Text, ...]
    how_to: str


class Neighbour(Protocol):
    """One other tool. Stateless; nothing here writes."""

    name: str
    title: str
    follows_links: bool
    """Whether the tool is content with a link by name where it put a file itself (what ``dedupe`` does across disks)."""

    def folders(self, home: Path) -> tuple[Path, ...]:
        """Where the tool keeps models, for the user whose home folder is ``home``, there or not: the first in use first.

        The tool's own variables and settings come before its defaults.
        """

    def holdings(self, folder: Path) -> Iterator[Holding]:
        """Every model in one of these folders; what cannot be used is told as a problem.

        Bounded in files and depth, whatever lies there; no content is read but the tool's small records. Raises nothing
        for what it finds.
        """

    def layout(self, folder: Path, record: ModelRecord, files: Mapping[str, Path]) -> Layout:
        """What to make in ``folder`` so that the tool finds a model. ``files`` are the store's, by name.

        Writes nothing; looks at most at which disk a file is on. Raises Unsupported, with the reason.
        """
