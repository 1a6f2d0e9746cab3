"""The error tree: what every error carries."""

from __future__ import annotations

import json
import re

import pytest

from ultralab.kernel import errors
from ultralab.kernel.errors import (
    EngineDied,
    EngineFailed,
    Failure,
    Interrupted,
    InvalidSpec,
    NotFound,
    RequestError,
    UltralabError,
    UnknownChoice,
)

CLASSES = {
    name: found for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, UltralabError)
}


def test_the_tree_at_the_top_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert sorted([*drawn, "UltralabError"]) == sorted(CLASSES)


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"UltralabError", "InvalidSpec"}))
def test_every_error_carries_its_message_hint_and_data(name: str) -> None:
    error = CLASSES[name]("What is wrong.", hint="What to do.", path="/x", count=3)
    assert (str(error), error.message, error.hint, error.kind) == (
        "What is wrong.",
        "What is wrong.",
        "What to do.",
        name,
    )
    assert json.loads(json.dumps(dict(error.data))) == {"path": "/x", "count": 3}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_exit_statuses(name: str) -> None:
    found = CLASSES[name]
    expected = 130 if found is Interrupted else 2 if issubclass(found, RequestError) else 1
    assert found.exit_status == expected
    assert found is UltralabError or issubclass(found, RequestError | Failure | Interrupted)


def test_a_dead_engine_is_a_failed_engine() -> None:
    assert issubclass(EngineDied, EngineFailed)
    assert issubclass(NotFound, RequestError)


def test_an_interruption_speaks_for_itself() -> None:
    assert Interrupted().message == "Interrupted."
    assert Interrupted("Stopped here.").message == "Stopped here."


@pytest.mark.parametrize(
    ("given", "choices", "hint"),
    [
        ("lamacpp", ["llamacpp", "fake", "mlx"], "Did you mean llamacpp? Known: fake, llamacpp, mlx."),
        ("q4_O", ["Q4_0", "Q8_0"], "Did you mean Q4_0? Known: Q4_0, Q8_0."),
        ("zzz", ["llamacpp", "fake"], "Known: fake, llamacpp."),
        ("x", [], "Known: -."),
        ("", ["a"], "Known: a."),
    ],
)
def test_an_unknown_choice_names_the_nearest(given: str, choices: list[str], hint: str) -> None:
    error = UnknownChoice.among("engine", given, iter(choices))
    assert error.message == f"Unknown engine: {given!r}."
    assert error.hint == hint
    assert (error.data["given"], error.data["known"]) == (given, sorted(choices))


def test_a_braced_choice_is_shown_as_it_is() -> None:
    assert UnknownChoice.among("engine", "{0}{what}", ["{x}"]).message == "Unknown engine: '{0}{what}'."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a.yaml: is wrong"),
        ({"line": 3}, "a.yaml:3: is wrong"),
        ({"field": "seed"}, "a.yaml: seed: is wrong"),
        ({"field": "seed", "line": 3}, "a.yaml:3: seed: is wrong"),
    ],
)
def test_a_wrong_file_names_the_place(arguments: dict[str, int | str], message: str) -> None:
    error = InvalidSpec("a.yaml", "is wrong", hint="Mend it.", **arguments)  # type: ignore[arg-type]
    assert (error.message, error.hint) == (message, "Mend it.")
    assert error.data == {"path": "a.yaml", "field": arguments.get("field", ""), "line": arguments.get("line", 0)}
