"""A model record as a JSON file under ``models/metadata``: written whole, read with suspicion.

These files are kept in git and may have been edited or merged by hand, so nothing in them is trusted: a file
name that is a path, or a hash that is none, would lead the library outside its folders.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.ids import is_name
from ultralab.kernel.language import _
from ultralab.models.types import Derivation, ModelFile, ModelRecord
from ultralab.system import files

SCHEMA: Final = 2
"""1: one file per model. 2: several, in folders; what a header says of experts, tokenizer and safety; tags."""
_MOST_BYTES: Final = 200
_DEEPEST: Final = 8
_JOINER: Final = "\N{ZERO WIDTH JOINER}"  # of emoji
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def file_name(name: str, variant: str) -> str:
    """The metadata file's name for a model."""
    return f"{name}--{variant}.json"


def write_record(folder: Path, record: ModelRecord) -> Path:
    """Write ``<name>--<variant>.json`` atomically; its path."""
    path = folder / file_name(record.name, record.variant)
    text = json.dumps({"schema": SCHEMA, **asdict(record)}, indent=2, ensure_ascii=False)
    files.write(path, text + "\n")
    return path


def read_record(path: Path) -> ModelRecord:
    """Read one file. Raises FileDamaged, naming the file and the field, NotFound or FileAccess."""
    try:
        data = json.loads(files.read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise _bad(path, _("it is not valid JSON ({error})").format(error=error)) from error
    if not isinstance(data, dict):
        raise _bad(path, _("it holds no object"))
    if isinstance(schema := data.get("schema"), int) and schema > SCHEMA:
        raise _bad(path, _("it was written by a newer ultralab"))
    record = _record(path, data)
    if path.name != file_name(record.name, record.variant):
        raise _bad(path, _("its file name does not fit {ref}").format(ref=record.ref))
    return record


def to_json(record: ModelRecord) -> str:
    """One line of JSON, for the index."""
    return json.dumps({"schema": SCHEMA, **asdict(record)}, ensure_ascii=False)


def from_json(path: Path, text: str) -> ModelRecord:
    """A record back from :func:`to_json`; ``path`` is where it comes from, for messages."""
    return _record(path, json.loads(text))


def safe_file_name(name: str) -> str:
    """``name`` as a plain file name: what cannot stay is replaced by ``-``, the end (with its suffix) is kept."""
    plain = "".join(char if char.isprintable() and char not in "/\\" else "-" for char in name)
    while len(plain.encode()) > _MOST_BYTES:
        plain = plain[1:]
    return plain if is_safe_file_name(plain) else f"-{plain}"


def safe_path(name: str) -> str:
    """``name`` as a safe relative path: each part as :func:`safe_file_name` makes it."""
    return "/".join(safe_file_name(part) for part in name.split("/") if part not in ("", "."))


def is_safe_path(name: str) -> bool:
    """Whether ``name`` is a relative path with ``/`` of at most eight plain file names, none of them hidden or ``..``."""
    parts = name.split("/")
    return len(parts) <= _DEEPEST and all(is_safe_file_name(part) for part in parts)


def is_safe_file_name(name: str) -> bool:
    """Whether ``name`` is a plain file name: no folder, no control character, no more than 200 bytes."""
    return (
        name not in ("", ".", "..") and "/" not in name and "\\" not in name and name.isprintable()
        and len(name.encode("utf-8", "replace")) <= _MOST_BYTES
    )  # fmt: skip


def _record(path: Path, data: Mapping[str, Any]) -> ModelRecord:
    values: dict[str, Any] = {}
    for item in fields(ModelRecord):
        optional = item.default is not MISSING or item.default_factory is not MISSING
        if item.name not in data:
            if optional:
                continue
            raise _bad(path, _("the field {field} is missing").format(field=item.name))
        values[item.name] = data[item.name]
    for name, fits in _FITS.items():
        if name in values and not fits(values[name]):
            raise _bad(path, _("the field {field} is not what it should be").format(field=name))
    values = {name: value if name in _TO_PULL else _shown(value) for name, value in values.items()}
    values["files"] = tuple(ModelFile(item["name"], item["size"], item["sha256"]) for item in values["files"])
    if values.get("derived") is not None:
        values["derived"] = {
            key: values["derived"][key] for key in Derivation.__annotations__ if key in values["derived"]
        }
    for name in _LISTS & values.keys():
        values[name] = tuple(values[name])
    values["bits_per_weight"] = float(values["bits_per_weight"])
    return ModelRecord(**values)


def _shown(value: Any) -> Any:
    """The same without what a terminal would obey: control characters, direction marks. Texts in lists and objects too."""
    if isinstance(value, str):
        return "".join(char if char.isprintable() or char == _JOINER else "\N{REPLACEMENT CHARACTER}" for char in value)
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {_shown(key): _shown(item) for key, item in value.items()}
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_label(value: object) -> bool:
    return isinstance(value, str) and is_name(value) and "--" not in value


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(item) for item in value)


def _are_files(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(
            isinstance(item, dict)
            and isinstance(item.get("name"), str)
            and is_safe_path(item["name"])
            and _is_count(item.get("size"))
            and _is_hash(item.get("sha256"))
            for item in value
        )
    )


_TO_PULL: Final = ("source", "source_url")  # as they stand they lead back: whoever shows them cleans them
_LISTS: Final = frozenset({"base_models", "unsafe", "tags"})

_FITS: Final[Mapping[str, Callable[[object], bool]]] = {
    "name": _is_label,
    "variant": _is_label,
    **dict.fromkeys(
        ("title", "family", "format", "architecture", "quantization", "licence", "source", "source_url", "added"),
        _is_text,
    ),
    **dict.fromkeys(("added_by", "description", "source_sha256", "revision", "dtype", "tokenizer"), _is_text),
    **dict.fromkeys(("parameters", "context", "active_parameters", "experts", "experts_used", "layers"), _is_count),
    **dict.fromkeys(_LISTS, _are_texts),
    "entry": lambda value: value == "" or (isinstance(value, str) and is_safe_path(value)),
    "chat_template": lambda value: isinstance(value, bool),
    "bits_per_weight": lambda value: isinstance(value, float) or _is_count(value),
    "files": _are_files,
    "derived": lambda value: (
        value is None
        or (
            isinstance(value, dict)
            and all(_is_text(value.get(key)) for key in Derivation.__required_keys__)
            and all(_is_text(value.get(key, "")) for key in Derivation.__optional_keys__)
        )
    ),
    "tensor_types": lambda value: isinstance(value, dict) and all(_is_count(size) for size in value.values()),
}


def _bad(path: Path, problem: str) -> FileDamaged:
    return FileDamaged(
        _("{path} cannot be used: {problem}.").format(path=path, problem=problem),
        hint=_("Mend the file, restore it from git, or delete it and pull the model again."),
        path=str(path),
    )
