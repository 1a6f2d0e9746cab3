"""Which files of a repository or a folder make one model each, judged by their names alone. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ultralab.kernel.errors import RequestError, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.models.names import split_quantization
from ultralab.models.sources.patterns import select

Kind = Literal["gguf", "safetensors", "pytorch", "projector", "imatrix", "adapter"]

_MODELS: Final = frozenset({"gguf", "safetensors", "pytorch"})
_ASIDE: Final = frozenset({"original", "onnx", "openvino", "coreml", "tf", "flax", "metal", "runs", "tensorrt"})
"""Folders in which repositories keep the same weights once more, for other programs."""

_PART: Final = re.compile(r"(?P<stem>.*?)[-.]\d{5}-of-(?P<count>\d{5})", re.DOTALL)
_CONSOLIDATED: Final = re.compile(r"consolidated(\.\d+)?")
_TRAINING: Final = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state\w*)", re.IGNORECASE)
_PYTORCH: Final = (".bin", ".pt", ".pth")
_IN_FOLDERS: Final = (".safetensors", *_PYTORCH)

_BESIDE: Final = (".json", ".jinja", ".model", ".tiktoken", ".py", ".spm", ".vocab", ".bpe")
_BESIDE_TEXTS: Final = frozenset({"vocab.txt", "merges.txt", "bpe.codes", "recipe.yaml", "readme.md"})
_BESIDE_PAPERS: Final = ("license", "licence", "notice", "use_policy", "copying")
_TRAINING_NOTES: Final = frozenset({"trainer_state.json", "train_results.json", "all_results.json", "eval_results.json",
                            "training_args.json", "dataset_infos.json"})  # fmt: skip


@dataclass(frozen=True)
class Sized:
    """A file: its path with ``/`` in the repository, its size in bytes (None: the source does not say it)."""

    name: str
    size: int | None


@dataclass(frozen=True)
class Group:
    """The files of one model. ``label`` tells it from the others, ``size`` is bytes (None where one is not known).

    ``kind`` says what its weights are stored as; ``projector``, ``imatrix`` and ``adapter`` are no models by themselves.
    """

    label: str
    names: tuple[str, ...]
    kind: Kind
    size: int | None


def groups(files: Sequence[Sized]) -> tuple[Group, ...]:
    """The models among files, and what belongs to a model without being one; smallest first within a kind.

    A GGUF file is a model, and so is a split set. SafeTensors of one folder are one model with the configuration and the
    tokenizer beside them; PyTorch weights count only where there are no SafeTensors. What stands aside for other programs
    (``original/``, ``onnx/``, ``consolidated*`` beside shards) is left out, as are pictures.
    """
    kept = [file for file in files if not _is_aside(file.name)]
    found = [*_gguf(kept), *_in_folders(kept, (".safetensors",), "safetensors")]
    if not any(group.kind == "safetensors" for group in found):
        found += _in_folders(kept, _PYTORCH, "pytorch")
    return tuple(sorted(found, key=lambda group: (group.kind, group.size or 0, group.label)))


def group_of(files: Sequence[Sized], name: str) -> Group | None:
    """The group that a file is in, None for one that is in none."""
    return next((group for group in groups(files) if name in group.names), None)


def with_companions(names: Sequence[str], chosen: Sequence[str]) -> tuple[str, ...]:
    """``chosen`` of ``names``, and beside SafeTensors or PyTorch weights what belongs to a model.

    Weights that were asked for by name are of no use without configuration and tokenizer. An index comes only with the
    weights that it is called by.
    """
    picked = set(chosen)
    places = [_split(name) for name in chosen]
    sets = {(folder, _set_name(base)) for folder, base in places if base.lower().endswith(_IN_FOLDERS)}
    folders = {folder for folder, _name in sets}

    def belongs(folder: str, base: str) -> bool:
        return folder in folders and is_companion(base) and ((of := _indexed(base)) is None or (folder, of) in sets)

    return tuple(name for name in names if name in picked or belongs(*_split(name)))


def _indexed(base: str) -> str | None:
    """What the weights are called that an index is of, None for a file that is no index."""
    ending = next(
        (f"{suffix}.index.json" for suffix in _IN_FOLDERS if base.lower().endswith(f"{suffix}.index.json")), None
    )
    return None if ending is None else base[: -len(ending)]


def choose(found: Sequence[Group], ref: str) -> Group:
    """The one model that a reference means. ``ref`` is for the message, with or without a pattern.

    SafeTensors come before PyTorch weights, a repository's own folder before folders in it. Raises RequestError, which
    lists every candidate with its size and shows a reference that means one; Unsupported (no model at all).
    """
    candidates = [group for group in found if group.kind in _MODELS]
    if any(group.kind == "safetensors" for group in candidates):
        candidates = [group for group in candidates if group.kind != "pytorch"]
    in_root = [
        group for group in candidates if group.kind == "gguf" or not any("/" in name for name in _weights(group))
    ]
    candidates = in_root or candidates
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise Unsupported(
            _("{ref} holds no model file that ultralab knows.").format(ref=ref),
            hint=_("Known are GGUF, SafeTensors and PyTorch files."),
            ref=ref,
        )
    listed = sorted(candidates, key=lambda group: (group.size or 0, group.label))
    raise RequestError(
        _("{ref} holds {count} models: {models}.").format(
            ref=ref, count=len(listed), models=", ".join(_with_size(group) for group in listed)
        ),
        hint=_("Choose one, for example {example}.").format(example=example(listed, found, ref)),
        ref=ref,
        choices=[group.label for group in listed],
    )


def example(candidates: Sequence[Group], found: Sequence[Group], ref: str) -> str:
    """A reference that means one of the candidates and nothing else: one of medium size."""
    group = candidates[len(candidates) // 2]
    if ref.startswith("path:"):
        return f"{ref}/{group.names[0]}"
    scheme, _colon, rest = ref.partition(":")
    base = f"{scheme}:{rest.partition(':')[0]}"
    everything = [name for each in found for name in each.names]
    for pattern in (_quantization(group.label), f"{group.label}*", group.names[0]):
        if pattern and set(select(everything, pattern)) == set(group.names):
            return f"{base}:{pattern}"
    return f"{base}:{_weights(group)[0]}"


def is_companion(base: str) -> bool:
    """Whether a file of this name, beside weights, is a part of the model.

    Weights themselves, weights for other programs (``*.msgpack``, ``*.h5``, ``*.onnx``), pictures and what training left
    behind are none.
    """
    lower = base.lower()
    if lower.startswith(".") or lower in _TRAINING_NOTES:
        return False
    return lower.endswith(_BESIDE) or lower in _BESIDE_TEXTS or lower.startswith(_BESIDE_PAPERS)


def _with_size(group: Group) -> str:
    return f"{group.label} ({format_bytes(group.size)})" if group.size is not None else group.label


def _quantization(label: str) -> str:
    """The quantization that a label ends with, as it is spelled there."""
    variant = split_quantization(label)[1]
    return label[len(label) - len(variant) :]


def _is_aside(name: str) -> bool:
    folders = name.lower().split("/")[:-1]
    return any(folder in _ASIDE or folder.startswith((".", "checkpoint-")) for folder in folders)


def _weights(group: Group) -> list[str]:
    ends = {"safetensors": (".safetensors",), "pytorch": _PYTORCH}.get(group.kind, (".gguf",))
    return [name for name in group.names if name.lower().endswith(ends)] or list(group.names)


def _split(name: str) -> tuple[str, str]:
    """Folder (with ``/`` at its end, or empty) and file name."""
    folder, slash, base = name.rpartition("/")
    return folder + slash, base


def _stem(base: str) -> str:
    """A file name without suffix and without its place among parts."""
    stem = base.rpartition(".")[0]
    match = _PART.fullmatch(stem)
    return match["stem"] if match else stem


def _sum(files: Sequence[Sized]) -> int | None:
    sizes = [file.size for file in files if file.size is not None]
    return sum(sizes) if len(sizes) == len(files) else None


def _gguf(files: Sequence[Sized]) -> list[Group]:
    sets: dict[tuple[str, str, str], list[Sized]] = defaultdict(list)
    for file in files:
        folder, base = _split(file.name)
        if base.lower().endswith(".gguf") and not base.startswith("."):
            match = _PART.fullmatch(base[: -len(".gguf")])
            sets[folder, _stem(base), match["count"] if match else ""].append(file)
    made = []
    for (folder, stem, _count), parts in sets.items():
        names = tuple(sorted(part.name for part in parts))
        made.append(Group(f"{folder}{stem}", names, _gguf_kind(stem), _sum(parts)))
    return made


def _gguf_kind(stem: str) -> Kind:
    lower = stem.lower()
    if "mmproj" in lower:
        return "projector"
    return "imatrix" if "imatrix" in lower else "gguf"


def _in_folders(files: Sequence[Sized], suffixes: tuple[str, ...], kind: Kind) -> list[Group]:
    folders: dict[str, list[Sized]] = defaultdict(list)
    for file in files:
        folders[_split(file.name)[0]].append(file)
    return [group for folder, inside in folders.items() for group in _in_folder(folder, inside, suffixes, kind)]


def _in_folder(folder: str, inside: Sequence[Sized], suffixes: tuple[str, ...], kind: Kind) -> list[Group]:
    """The models of one folder: one for all weights that go together, one for each other variant."""
    sets: dict[str, list[Sized]] = defaultdict(list)
    for file in inside:
        base = _split(file.name)[1]
        if base.lower().endswith(suffixes) and not base.startswith(".") and not _TRAINING.fullmatch(_stem(base)):
            sets[_set_name(base)].append(file)
    weights = _together(sets)
    beside = [file for file in inside if is_companion(_split(file.name)[1])]
    made = []
    for name, parts in weights.items():
        members = [*parts, *(file for file in beside if _goes_with(_split(file.name)[1], name, set(sets), suffixes))]
        label = (folder.rstrip("/") or name) if len(weights) == 1 else f"{folder}{name}"
        own: Kind = "adapter" if name.startswith("adapter") else kind
        made.append(Group(label, tuple(sorted(file.name for file in members)), own, _sum(members)))
    return made


def _set_name(base: str) -> str:
    stem = _stem(base)
    return "consolidated" if _CONSOLIDATED.fullmatch(stem) else stem


def _together(sets: dict[str, list[Sized]]) -> dict[str, list[Sized]]:
    """The sets of a folder that are models: a main one takes in what only its index may name, and leaves out its doubles."""
    main = next((name for name in ("model", "pytorch_model") if name in sets), "")
    if not main:
        return {name: _whole_or_parts(parts) for name, parts in sets.items()}
    found = {main: _whole_or_parts(sets[main])}
    for name, parts in sets.items():
        if name in (main, "consolidated"):
            continue
        if name.startswith((f"{main}.", "adapter")):  # model.fp16: the same weights as another type
            found[name] = _whole_or_parts(parts)
        else:
            found[main] = [*found[main], *parts]
    return found


def _whole_or_parts(parts: list[Sized]) -> list[Sized]:
    """The parts, where the same weights are there in one file too: parts are what an index names."""
    split = [file for file in parts if _PART.fullmatch(_split(file.name)[1].rpartition(".")[0])]
    return split or parts


def _goes_with(base: str, name: str, known: set[str], suffixes: tuple[str, ...]) -> bool:
    """Whether a companion belongs to the set ``name``: an index only to the weights that it is called by."""
    for suffix in _IN_FOLDERS:
        if base.lower().endswith(f"{suffix}.index.json"):
            stem = base[: -len(f"{suffix}.index.json")]
            return suffix in suffixes and (stem == name or stem not in known)
    return True
