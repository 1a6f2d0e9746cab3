"""An experiment file: YAML that a person writes, read strictly, every complaint with its field and line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ultralab.experiments.lines import Lines, example_hint, read_yaml
from ultralab.kernel.errors import InvalidSpec, UnknownChoice
from ultralab.kernel.ids import is_name
from ultralab.kernel.language import N_, _
from ultralab.system import files

_MAX_BYTES = 1_000_000
_TAKEN = frozenset({"experiment.yaml", "experiment.json", "report.md", "report.html", "plots", "runs"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Options(_Part):
    """How the engine loads each model. ``threads`` 0: one per performance core."""

    context: int = Field(2048, ge=256, le=10_000_000)
    threads: int = Field(0, ge=0, le=1024)


class Speed(_Part):
    """The speed measurement: read ``prompt_tokens``, write ``generated_tokens``, ``repeats`` times."""

    prompt_tokens: int = Field(256, ge=16, le=100_000)
    generated_tokens: int = Field(64, ge=8, le=10_000)
    repeats: int = Field(3, ge=1, le=100)


class Quality(_Part):
    """The quality measurement: teacher-force the first ``tokens`` tokens of ``text`` (a path beside the file)."""

    text: str
    tokens: int = Field(256, ge=16, le=100_000)


class Spec(_Part):
    """An experiment: one model, measured as it came (the reference) and in each variant."""

    experiment: str
    title: str = Field(min_length=1, max_length=200)
    question: str = Field("", max_length=2000)
    model: str = Field(min_length=1)
    engine: str = "llamacpp"
    variants: tuple[str, ...] = Field(default=(), max_length=50)
    options: Options = Options()
    speed: Speed = Speed()
    quality: Quality
    seed: int = Field(42, ge=0, le=2**32 - 2)
    trackers: tuple[Literal["mlflow"], ...] = ("mlflow",)
    tags: tuple[str, ...] = Field(default=(), max_length=50)


@dataclass(frozen=True)
class SpecFile:
    """A spec with the file it came from."""

    path: Path
    text: str
    sha256: str
    spec: Spec
    quality_text: str
    lines: Lines

    def wrong(self, problem: str, *place: str | int, hint: str = "") -> InvalidSpec:
        """The complaint about one value of this file, found out after it was read."""
        return InvalidSpec(
            self.path,
            problem.rstrip(".。"),
            field=".".join(str(part) for part in place),
            line=self.lines.of(*place),
            hint=hint or example_hint(),
        )


@dataclass(frozen=True)
class Defaults:
    """What holds where a file says nothing: the lab's settings."""

    engine: str = "llamacpp"
    context: int = 2048
    threads: int = 0
    trackers: tuple[str, ...] = ("mlflow",)


def load_spec(
    path: Path, *, engines: Iterable[str], quantizations: Sequence[str], defaults: Defaults = Defaults()
) -> SpecFile:
    """Read and check an experiment file. Raises NotFound, FileAccess, InvalidSpec (file, field, line)."""
    with files.explained(path):
        size = path.stat().st_size
    if size > _MAX_BYTES:
        raise InvalidSpec(path, _("larger than 1 MB: this is no experiment file"), hint=example_hint())
    text = _text_of(path)
    data, lines = read_yaml(path, text)
    try:
        spec = Spec.model_validate(_lists_to_tuples(_with_defaults(data, defaults)))
    except ValidationError as error:
        raise _first_complaint(path, error, lines) from error
    _check_names(path, spec, lines, engines, quantizations)
    return SpecFile(
        path=path,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        spec=spec,
        quality_text=_quality_text(path, spec, lines),
        lines=lines,
    )


def _with_defaults(data: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    options = data.get("options", {})
    if isinstance(options, dict):
        options = {"context": defaults.context, "threads": defaults.threads, **options}
    return {"engine": defaults.engine, "trackers": list(defaults.trackers), **data, "options": options}


def _text_of(path: Path) -> str:
    with files.explained(path):
        content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidSpec(
            path,
            _("this is not UTF-8 text"),
            line=content.count(b"\n", 0, error.start) + 1,
            hint=_("Save the file as UTF-8."),
        ) from error


def _check_names(path: Path, spec: Spec, lines: Lines, engines: Iterable[str], quantizations: Sequence[str]) -> None:
    if not is_name(spec.experiment) or spec.experiment == "templates":  # that folder is the lab's own
        raise InvalidSpec(
            path,
            _("{name!r} cannot be a folder's name").format(name=spec.experiment),
            field="experiment",
            line=lines.of("experiment"),
            hint=_("Use lower-case letters, digits and underscores, for example quantization_tradeoff."),
        )
    _one_line(path, spec.title, lines, "title")
    for number, tag in enumerate(spec.tags):
        _one_line(path, tag, lines, "tags", number)
    _known(path, spec.engine, engines, _("engine"), lines, "engine")
    for number, variant in enumerate(spec.variants):
        _known(path, variant, quantizations, _("quantization"), lines, "variants", number)
    _each_once(path, spec.variants, lines, "variants")
    _each_once(path, spec.trackers, lines, "trackers")
    needed = max(spec.speed.prompt_tokens + spec.speed.generated_tokens, spec.quality.tokens + 1)
    if needed >= spec.options.context:
        raise InvalidSpec(
            path,
            _("{context} tokens are too few: the measurements need {needed}").format(
                context=spec.options.context, needed=needed + 1
            ),
            field="options.context",
            line=lines.of("options", "context"),
            hint=_("Raise options.context or measure fewer tokens."),
        )


def _known(path: Path, given: str, choices: Iterable[str], what: str, lines: Lines, *place: str | int) -> None:
    known = list(choices)
    if given not in known:
        error = UnknownChoice.among(what, given, known)
        raise InvalidSpec(
            path,
            error.message.rstrip(".。"),
            field=".".join(str(part) for part in place),
            line=lines.of(*place),
            hint=error.hint,
        )


def _one_line(path: Path, text: str, lines: Lines, *place: str | int) -> None:
    if not text.isprintable() or not text.strip():
        raise InvalidSpec(
            path,
            _("must be one line of text without control characters"),
            field=".".join(str(part) for part in place),
            line=lines.of(*place),
            hint=example_hint(),
        )


def _each_once(path: Path, names: Sequence[str], lines: Lines, key: str) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InvalidSpec(
                path,
                _("{name} is listed twice").format(name=name),
                field=f"{key}.{number}",
                line=lines.of(key, number),
                hint=example_hint(),
            )


def _quality_text(path: Path, spec: Spec, lines: Lines) -> str:
    given = Path(spec.quality.text)
    problem = ""
    if not given.is_absolute() and ".." in given.parts:  # the capsule holds a copy, under the same relative path
        problem = _("the text must lie beside the experiment file or below it")
    elif given.parts[:1] and given.parts[0 if not given.is_absolute() else -1] in _TAKEN:
        problem = _("this name is taken by a file of the record itself")
    else:
        try:
            content = (path.parent / given).read_bytes()
            return content.decode()
        except FileNotFoundError:
            problem = _("there is no such file: {path}").format(path=path.parent / given)
        except UnicodeDecodeError as error:
            problem = _("{path} is not UTF-8 text (byte {position})").format(path=given, position=error.start)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problem = _("the file cannot be read: {reason}").format(reason=reason)
    raise InvalidSpec(
        path,
        problem,
        field="quality.text",
        line=lines.of("quality", "text"),
        hint=_("Give a path relative to the experiment file."),
    )


def _lists_to_tuples(value: Any) -> Any:
    """YAML knows lists only; strict validation wants what the schema says."""
    if isinstance(value, dict):
        return {key: _lists_to_tuples(item) for key, item in value.items()}
    return tuple(_lists_to_tuples(item) for item in value) if isinstance(value, list) else value


_WORDS = {
    "missing": N_("this key is missing"),
    "string_type": N_("must be text, not {input!r}"),
    "int_type": N_("must be a whole number, not {input!r}"),
    "int_from_float": N_("must be a whole number, not {input!r}"),
    "tuple_type": N_("must be a list, not {input!r}"),
    "model_type": N_("must be a group of keys, not {input!r}"),
    "greater_than_equal": N_("must be at least {ge}, not {input!r}"),
    "less_than_equal": N_("must be at most {le}, not {input!r}"),
    "string_too_short": N_("must not be empty"),
    "string_too_long": N_("must not be longer than {max_length} characters"),
    "literal_error": N_("must be {expected}, not {input!r}"),
    "too_long": N_("must not have more than {max_length} entries"),
}


def _first_complaint(path: Path, error: ValidationError, lines: Lines) -> InvalidSpec:
    found = error.errors(include_url=False)[0]
    place = found["loc"]
    field = ".".join(str(part) for part in place)
    if found["type"] == "extra_forbidden":
        unknown = UnknownChoice.among(_("key"), str(place[-1]), _keys_at(place[:-1]))
        return InvalidSpec(path, unknown.message.rstrip(".。"), field=field, line=lines.of(*place), hint=unknown.hint)
    words = _WORDS.get(found["type"])
    context = {"input": found.get("input"), **(found.get("ctx") or {})}
    problem = _(words).format(**context) if words else str(found["msg"])
    return InvalidSpec(
        path,
        problem,
        field=field,
        line=lines.of(*place),
        hint=example_hint(),
    )


def _keys_at(place: Sequence[str | int]) -> list[str]:
    schema: type[BaseModel] = Spec
    for part in place:
        inner = schema.model_fields[str(part)].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            schema = inner
    return list(schema.model_fields)


__all__ = ["Options", "Quality", "Spec", "SpecFile", "Speed", "load_spec"]
