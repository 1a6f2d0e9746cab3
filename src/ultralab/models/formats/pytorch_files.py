"""Which files of a bundle are a PyTorch model's: its weights, their index, and what describes them."""

from __future__ import annotations

import fnmatch
import re
from typing import Final

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle, Item
from ultralab.models.formats.bounded_json import damaged, parse_object, read_bounded
from ultralab.models.records import is_safe_path

MOST_FILES: Final = 512
SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_INDEX: Final = (".bin.index.json", ".pt.index.json", ".pth.index.json")
_MOST_INDEX: Final = 16 * 1024 * 1024
_PART: Final = re.compile(r"(.*-)(\d{5})-of-(\d{5})(\.[a-z]+)", re.IGNORECASE)
_NO_WEIGHTS: Final = ("training_args*", "optimizer*", "scheduler*", "scaler*", "rng_state*", "trainer_state*")


def candidates(bundle: Bundle) -> tuple[Item, ...]:
    """The files that may be pickles, by name. Raises Unsupported where there are too many."""
    found = bundle.ending(*SUFFIXES)
    if len(found) > MOST_FILES:
        raise Unsupported(
            _("{path} holds {count} PyTorch files; at most {most} are read.").format(
                path=bundle.where, count=len(found), most=MOST_FILES
            ),
            hint=_("Name the model's own folder."),
            path=bundle.where,
        )
    return found


def weights(bundle: Bundle, pickled: tuple[Item, ...]) -> tuple[Item, ...]:
    """Those of the ``pickled`` files that hold the model's weights. Raises FileDamaged for a shard that is missing."""
    for index in indexes(bundle):
        return _indexed(bundle, index)
    found = tuple(item for item in pickled if not _fits(item.name, _NO_WEIGHTS))
    main = tuple(item for item in found if _base(item.name).startswith(("pytorch_model", "model")))
    chosen = main or found or pickled
    _require_parts(chosen, bundle)
    return chosen


def indexes(bundle: Bundle) -> tuple[Item, ...]:
    """The files that list the shards."""
    return bundle.ending(*_INDEX)


def _indexed(bundle: Bundle, index: Item) -> tuple[Item, ...]:
    listed = parse_object(index, read_bounded(index, _MOST_INDEX)).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise damaged(index, _("it lists no files"))
    folder = index.name[: index.name.rfind("/") + 1]
    shards: list[Item] = []
    for name in sorted({str(value) for value in listed.values()}):
        if not is_safe_path(name):
            raise damaged(index, _("it points outside its folder, to {name!r}").format(name=printable(name, 80)))
        shard = bundle.named(folder + name)
        if shard is None:
            raise _missing(bundle, folder + name)
        shards.append(shard)
    if len(shards) > MOST_FILES:
        raise damaged(index, _("it lists more than {most} files").format(most=MOST_FILES))
    return tuple(shards)


def _require_parts(chosen: tuple[Item, ...], bundle: Bundle) -> None:
    names = {item.name for item in chosen}
    for item in chosen:
        match = _PART.fullmatch(item.name)
        if match is None or not 1 < int(match[3]) <= MOST_FILES:
            continue
        for number in range(1, int(match[3]) + 1):
            part = f"{match[1]}{number:05d}-of-{match[3]}{match[4]}"
            if part not in names:
                raise _missing(bundle, part)
        return


def _missing(bundle: Bundle, name: str) -> FileDamaged:
    shown = printable(name, 80)
    return FileDamaged(
        _("{path} is incomplete: {name} is missing.").format(path=bundle.where, name=shown),
        hint=_("Get the missing file, or the whole model again."),
        path=bundle.where,
        missing=shown,
    )


def _base(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(_base(name), pattern) for pattern in patterns)
