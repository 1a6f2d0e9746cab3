"""YAML with the line of every value, so that a complaint can say where.

Only what an experiment file needs: text, decimal numbers, true and false, lists, groups. PyYAML finds the nodes; the
values are made here, because its own constructors fail on hostile input with errors of every kind, and because
YAML 1.1 reads ``010`` as 8 and ``1:30`` as 90 without a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from ultralab.kernel.errors import InvalidSpec
from ultralab.kernel.language import _

Place = tuple[str | int, ...]

_MOST_NODES: Final = 10_000  # an alias counts each time it is used
_DEEPEST: Final = 20
_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9_]{0,24})\Z")
_TRUE: Final = frozenset({"y", "yes", "true", "on"})
_TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Lines:
    """The 1-based line of each value, by its place (keys and list positions)."""

    at: Mapping[Place, int]

    def of(self, *place: str | int) -> int:
        """The line of a place, or of the nearest one around it that is in the file."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.at:
                return self.at[place[:length]]
        return 1


def example_hint() -> str:
    """What helps with every complaint that has no advice of its own (translated)."""
    return _("A complete example: ultralab experiments template")


def read_yaml(path: Path, text: str) -> tuple[Any, Lines]:
    """The data of a YAML text and its lines. Raises InvalidSpec: no YAML, no keys at the top, a key twice."""
    root = _compose(path, text)
    if not isinstance(root, yaml.MappingNode):
        raise InvalidSpec(
            path,
            _("this is not an experiment file: it must hold keys such as 'experiment:' and 'model:'"),
            line=1,
            hint=example_hint(),
        )
    builder = _Builder(path)
    data = builder.value(root, (), frozenset())
    return data, Lines(builder.at)


def _compose(path: Path, text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidSpec(
            path,
            _("this is not valid YAML: {problem}").format(problem=error.problem or error.context),
            line=mark.line + 1 if mark else 0,
            hint=_("Check the indentation, colons and quotes near that line."),
        ) from error
    except yaml.reader.ReaderError as error:
        raise InvalidSpec(
            path,
            _("this is not valid YAML: {problem}").format(problem=_("a control character")),
            line=text.count("\n", 0, error.position) + 1,
            hint=_("Save the file as plain UTF-8 text."),
        ) from error
    except RecursionError as error:
        raise _too_much(path, 0) from error


@dataclass
class _Builder:
    """Makes values of nodes, and notes where each came from."""

    path: Path
    at: dict[Place, int] = field(default_factory=dict)
    seen: int = 0

    def value(self, node: yaml.Node, place: Place, above: frozenset[int]) -> Any:
        line = node.start_mark.line + 1
        self.seen += 1
        if id(node) in above:
            raise InvalidSpec(
                self.path, _("an alias that contains itself"), field=_dotted(place), line=line, hint=example_hint()
            )
        if self.seen > _MOST_NODES or len(place) > _DEEPEST:
            raise _too_much(self.path, line)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            raise self.foreign(node, place)
        inside = above | {id(node)}
        if isinstance(node, yaml.MappingNode):
            return {self.key(key, place): self.value(item, (*place, key.value), inside) for key, item in node.value}
        if isinstance(node, yaml.SequenceNode):
            found = []
            for number, item in enumerate(node.value):
                self.at[(*place, number)] = item.start_mark.line + 1
                found.append(self.value(item, (*place, number), inside))
            return found
        return self.scalar(node, place)

    def key(self, node: yaml.Node, place: Place) -> str:
        """A key, as it is written: ``on`` is no truth here."""
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            raise InvalidSpec(
                self.path, _("a key must be a word"), field=_dotted(place), line=line, hint=example_hint()
            )
        here = (*place, str(node.value))
        if here in self.at:
            raise InvalidSpec(
                self.path,
                _("this key stands here twice (first in line {line})").format(line=self.at[here]),
                field=_dotted(here),
                line=line,
                hint=example_hint(),
            )
        self.at[here] = line
        return str(node.value)

    def scalar(self, node: yaml.Node, place: Place) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp"):
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in _TRUE
        if kind == "int" and _DECIMAL.match(text):
            return int(text.replace("_", ""))
        if kind == "float":
            return _float(text)
        if kind != "int":
            raise self.foreign(node, place)
        raise InvalidSpec(
            self.path,
            _("{text!r} is not read as a number: write it in decimal, or in quotes if it is text").format(
                text=text[:40]
            ),
            field=_dotted(place),
            line=node.start_mark.line + 1,
            hint=example_hint(),
        )

    def foreign(self, node: yaml.Node, place: Place) -> InvalidSpec:
        """The complaint about a tag, such as ``!!python/object``."""
        return InvalidSpec(
            self.path,
            _("values with the tag {tag!r} are not used here").format(tag=node.tag),
            field=_dotted(place),
            line=node.start_mark.line + 1,
            hint=example_hint(),
        )


def _float(text: str) -> float | str:
    """A number where Python sees one; else (``.nan``, ``1:30.5``) the text, which no schema takes for a number."""
    try:
        return float(text.replace("_", ""))
    except ValueError:
        return text


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _too_much(path: Path, line: int) -> InvalidSpec:
    return InvalidSpec(
        path,
        _("too many or too deeply nested values: this is no experiment file"),
        line=line,
        hint=example_hint(),
    )
