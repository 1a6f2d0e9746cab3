"""YAML with the line of every value, so that a complaint can say where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ultralab.kernel.errors import InvalidSpec
from ultralab.kernel.language import _

Place = tuple[str | int, ...]


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


def read_yaml(path: Path, text: str) -> tuple[Any, Lines]:
    """The data of a YAML text and its lines. Raises InvalidSpec: no YAML, no keys at the top, a key twice."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        at: dict[Place, int] = {}
        if not isinstance(root, yaml.MappingNode):
            raise InvalidSpec(
                path,
                _("this is not an experiment file: it must hold keys such as 'experiment:' and 'model:'"),
                line=1,
                hint=_("A complete example: ultralab experiments template"),
            )
        _walk(path, root, (), at, frozenset())
        return yaml.safe_load(text), Lines(at)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidSpec(
            path,
            _("this is not valid YAML: {problem}").format(problem=error.problem or error.context),
            line=mark.line + 1 if mark else 0,
            hint=_("Check the indentation, colons and quotes near that line."),
        ) from error
    except yaml.YAMLError as error:
        raise InvalidSpec(path, _("this is not valid YAML: {problem}").format(problem=error)) from error


def _walk(path: Path, node: yaml.Node, place: Place, at: dict[Place, int], above: frozenset[int]) -> None:
    if id(node) in above:
        raise InvalidSpec(path, _("an alias that contains itself"), line=node.start_mark.line + 1)
    inside = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, str(key.value))
            if here in at:
                raise InvalidSpec(
                    path,
                    _("this key stands here twice (first in line {line})").format(line=at[here]),
                    field=".".join(str(part) for part in here),
                    line=key.start_mark.line + 1,
                )
            at[here] = key.start_mark.line + 1
            _walk(path, value, here, at, inside)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            at[(*place, number)] = value.start_mark.line + 1
            _walk(path, value, (*place, number), at, inside)
