"""Attention that looks back at a window in some layers (gemma 2, 3, 3n and 4, gpt-oss, Command R7B and A, Llama 4 …).

Source: the hyperparameters that llama.cpp's loader sets per architecture (``src/models/*.cpp``: ``n_swa``,
``set_swa_pattern``), compared with what it logs per layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ultralab.kernel.language import _
from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.models.formats.gguf_layers.grouped import SPECIAL, each_layer, groups
from ultralab.planner.types import AttentionLayers, CacheLayers

_OTHERS: Final = tuple(part for part in SPECIAL if part != "sliding_window")
_SHARED: Final = "attention.shared_kv_layers"
_WINDOW: Final = "attention.sliding_window"
_PATTERN: Final = "attention.sliding_window_pattern"


@dataclass(frozen=True)
class Habit:
    """What an architecture does where its header does not say more.

    Of every ``period`` layers one looks at everything: the last, or the ``whole_first``; with a period of 1 all do, and
    the keys are not read. ``window``: its size where no key says it, 0 for no windows at all. ``fixed``: the size whatever
    the key says, but 0. ``only``: windows in models of so many layers only. ``needed``: it does not load without the key.
    ``listed``: nor without a list of layers.
    """

    period: int
    window: int = 0
    whole_first: bool = False
    fixed: int = 0
    only: int = 0
    needed: bool = False
    listed: bool = False


HABITS: Final[Mapping[str, Habit]] = {
    "afmoe": Habit(4, needed=True),
    "cohere2": Habit(4, needed=True),
    "cohere2moe": Habit(4, whole_first=True, needed=True),
    "exaone-moe": Habit(4, needed=True),
    "exaone4": Habit(4, window=4096, only=64),
    "gemma2": Habit(2, window=4096),
    "gemma3": Habit(6),
    "gemma3n": Habit(5, needed=True),
    "gemma4": Habit(0, needed=True, listed=True),
    "gpt-oss": Habit(2, needed=True),
    "granite_swa": Habit(0, needed=True, listed=True),
    "llama4": Habit(4, window=8192, fixed=8192),
    "mellum": Habit(4),
    "mimo2": Habit(0, needed=True, listed=True),
    "olmo2": Habit(4),
    "phi3": Habit(1),
    "phimoe": Habit(1),
    "plamo3": Habit(8),
    "smallthinker": Habit(4, whole_first=True, fixed=4096),
    "step35": Habit(0, needed=True, listed=True),
}
_SHARING: Final[Mapping[str, int]] = {"gemma3n": 20, "gemma4": 0}
"""Whose last layers use what earlier ones keep (llama.cpp: ``n_layer_kv_from_start``): so many keep their own, whatever
the header says; 0 where the key ``shared_kv_layers`` says how many do not."""


def windowed(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """Groups of layers by their window. None where a key announces what the architecture is not known to have."""
    others = tuple(part for part in _OTHERS if part != "shared_kv_layers" or facts.architecture not in _SHARING)
    if facts.mentions(*others):
        return None
    habit = HABITS[facts.architecture]
    size = _window(facts, habit)
    if (not size and habit.needed) or (habit.listed and not _lists(facts)):
        return None
    return groups(each_sized(facts)[: _keeping(facts)])


def each_sized(facts: Facts) -> tuple[AttentionLayers, ...]:
    """What each layer keeps, one by one: those that look back have widths of their own where a key says them."""
    layers, habit = each_layer(facts), HABITS.get(facts.architecture)
    if habit is None or not (size := _window(facts, habit)):
        return layers
    return tuple(
        replace(
            layer,
            window=size,
            key_dim=facts.number("attention.key_length_swa", layer.key_dim),
            value_dim=facts.number("attention.value_length_swa", layer.value_dim),
        )
        if narrow
        else layer
        for layer, narrow in zip(layers, _pattern(facts, habit), strict=True)
    )


def _window(facts: Facts, habit: Habit) -> int:
    if habit.period == 1 or (habit.only and facts.layers != habit.only):
        return 0
    said = facts.number(_WINDOW, habit.window)
    return habit.fixed if said and habit.fixed else said


def _lists(facts: Facts) -> bool:
    return f"{facts.architecture}.{_PATTERN}" in facts.raw.lists


def _pattern(facts: Facts, habit: Habit) -> tuple[bool, ...]:
    """Which layers look back at a window only: a list's entries, or all but one of every so many."""
    if _lists(facts):
        return tuple(bool(one) for one in facts.per_layer(_PATTERN))
    period = facts.number(_PATTERN, habit.period)
    whole = 0 if habit.whole_first else period - 1
    return tuple(not period or layer % period != whole for layer in range(facts.layers))


def _keeping(facts: Facts) -> int:
    """How many layers, from the first, keep keys and values of their own."""
    if fixed := _SHARING.get(facts.architecture):
        return fixed
    shared = facts.number(_SHARED)
    if shared >= facts.layers:
        raise facts.damaged(
            _("{shared} of {layers} layers use what others keep").format(shared=shared, layers=facts.layers),
            _SHARED,
        )
    return facts.layers - shared


READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = dict.fromkeys(HABITS, windowed)
