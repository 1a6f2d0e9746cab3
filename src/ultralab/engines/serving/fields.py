"""The fields of a request's body, read strictly: a wrong one is refused by its name. Pure.

The sentences are English, as llama.cpp's and OpenAI's are: they are part of the protocol. Clients put them into
sentences of the user's language.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

Body = Mapping[str, Any]


class Refused(Exception):
    """A request that is answered with an error: its sentence, the HTTP status, the field at fault, OpenAI's type."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        field: str = "",
        kind: str = "",
        figures: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.field = field
        self.kind = kind or ("invalid_request_error" if status < 500 else "server_error")
        self.figures = dict(figures or {})

    def body(self) -> dict[str, Any]:
        """The answer in OpenAI's form, ``figures`` beside it."""
        inner = {"message": self.message, "type": self.kind, "param": self.field or None, "code": self.status}
        return {"error": {**inner, **self.figures}}


def parse(content: bytes) -> Body:
    """The JSON object in a body. Raises Refused."""
    try:
        found = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refused("The body must be a JSON object.")
    return found


def number(body: Body, name: str, default: float, least: float, most: float) -> float:
    """A number within bounds; ``default`` where it is missing or null."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{name} must be a number.", field=name)
    if not least <= value <= most:
        raise Refused(f"{name} must be between {least:g} and {most:g}.", field=name)
    return float(value)


def whole(body: Body, name: str, default: int, least: int, most: int) -> int:
    """A whole number within bounds; ``default`` where it is missing or null."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(f"{name} must be a whole number.", field=name)
    if not least <= value <= most:
        raise Refused(f"{name} must be between {least} and {most}.", field=name)
    return value


def flag(body: Body, name: str, default: bool) -> bool:
    """True or false; ``default`` where it is missing or null."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Refused(f"{name} must be true or false.", field=name)
    return value


def text(body: Body, name: str) -> str:
    """A text that must be there."""
    value = body.get(name)
    if not isinstance(value, str):
        raise Refused(f"{name} must be a text.", field=name)
    return sound(value, name)


def sound(value: str, name: str) -> str:
    """The text, refused where it holds half a surrogate pair (JSON can say it, no encoding can)."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"{name} holds half a character (character {error.start}).", field=name) from error
    return value


def texts(body: Body, name: str) -> tuple[str, ...]:
    """One text or a list of them, none empty; nothing where it is missing or null."""
    value = body.get(name)
    if value is None:
        return ()
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Refused(f"{name} must be a text or a list of texts.", field=name)
    return tuple(sound(one, name) for one in found if one)


def objects(body: Body, name: str) -> tuple[Body, ...]:
    """A list of objects; nothing where it is missing or null."""
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Refused(f"{name} must be a list of objects.", field=name)
    return tuple(value)


def tokens(value: object, name: str, vocabulary: int) -> tuple[int, ...]:
    """Token numbers of the model's vocabulary."""
    if not isinstance(value, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in value):
        raise Refused(f"{name} must be a list of token numbers.", field=name)
    if not all(0 <= one < vocabulary for one in value):
        raise Refused(f"{name} holds a token outside the vocabulary of {vocabulary}.", field=name)
    return tuple(value)


def only(body: Body, name: str, *usual: object) -> None:
    """Refuse a field that is known and not done here, unless it is missing, null or at one of its ``usual`` values."""
    value = body.get(name)
    if value is not None and value not in usual:
        raise Refused(f"{name} = {json.dumps(value)[:80]} cannot be done by this engine.", field=name)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
