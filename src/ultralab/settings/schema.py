"""The one schema of the settings. Everything else (the file, its errors, the reference) is drawn from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ultralab.kernel.language import N_
from ultralab.kernel.units import KIB
from ultralab.settings.kinds import (
    ADDRESSES,
    ENDPOINTS,
    ENGINE,
    FOLDERS,
    LIMITS,
    LINE,
    NAME,
    SIZE,
    TRUTH,
    URL,
    WINDOW,
    Kind,
    Value,
    choice,
    names_among,
    size_from,
    whole,
)

_JOBS_AT_ONCE: Final = whole(1, 1000, N_("a whole number from 1 to 1000"))
_MINUTES: Final = whole(1, 525_600, N_("a whole number of minutes, at least 1"))


def _setting(kind: Kind, default: object, description: str) -> Any:
    """A field whose default is written as TOML has it; the dataclass holds what ``kind`` reads from it."""
    return dataclasses.field(
        default=kind.read(default), metadata={"kind": kind, "default": default, "description": description}
    )


@dataclass(frozen=True)
class GitSettings:
    """``[git]``."""

    auto_commit: bool = _setting(TRUTH, True, N_("Whether ultralab commits the documents that it writes in the lab."))


@dataclass(frozen=True)
class EngineSettings:
    """``[engines]``. ``context`` in tokens; ``threads`` 0 means one per performance core."""

    default: str = _setting(ENGINE, "llamacpp", N_("The engine that runs a model where nothing else is asked for."))
    context: int = _setting(
        whole(256, 10_000_000, N_("a whole number of tokens, at least 256")),
        2048,
        N_("Context length in tokens where nothing else is asked for."),
    )
    threads: int = _setting(
        whole(0, 1024, N_("a whole number from 0 to 1024")),
        0,
        N_("Processor threads of an engine; 0 means one per performance core."),
    )
    llama_server: str = _setting(
        LINE,
        "embedded",
        N_("What runs llama.cpp: embedded, or the path or name of an installed llama-server that is preferred."),
    )
    torch_python: str = _setting(
        LINE, "", N_("The Python interpreter that has PyTorch and transformers; empty means ultralab's own.")
    )
    ollama: str = _setting(URL, "http://127.0.0.1:11434", N_("The address of the running Ollama."))
    external: tuple[str, ...] = _setting(
        ENDPOINTS, [], N_("Servers that speak OpenAI's dialect, each with a name; their keys are secrets.")
    )
    prompt_cache: int = _setting(
        SIZE, "0B", N_("Space on the lab's disk for prompts that were read once; 0 keeps none.")
    )


@dataclass(frozen=True)
class MemorySettings:
    """``[memory]``. ``reserve`` in bytes."""

    reserve: int = _setting(
        SIZE, "2GiB", N_("Memory that models never get, at least: it is left to the system and your other programs.")
    )


@dataclass(frozen=True)
class ModelSettings:
    """``[models]``. ``keep_free`` and ``prune_free`` in bytes, ``prune_age`` in days."""

    volumes: tuple[str, ...] = _setting(
        FOLDERS, [], N_("Other disks for model bytes, each with a name; “ultralab models volumes add” writes this.")
    )
    placement: str = _setting(
        NAME, "auto", N_("Where new models go: a volume's name, home, or auto: home while keep_free stays free there.")
    )
    keep_free: int = _setting(
        SIZE, "5GiB", N_("Space that downloads leave free on a disk, and below which a warning comes.")
    )
    connections: int = _setting(
        whole(1, 16, N_("a whole number from 1 to 16")), 4, N_("Connections at once for one file that is downloaded.")
    )
    mirrors: tuple[str, ...] = _setting(
        ADDRESSES, [], N_("Mirrors that are asked where a source itself cannot be reached; no token is sent to them.")
    )
    max_tensors: int = _setting(
        whole(1, 10_000_000, N_("a whole number from 1 to 10000000")),
        262_144,
        N_("The most tensors that a model's headers may list (a GGUF file's: a quarter); more is refused unread."),
    )
    prune: str = _setting(
        choice("ask", "refetchable", "derived", "both"),
        "ask",
        N_(
            "What may be deleted without asking while space is short: nothing, what can be fetched again, what was made here, both."
        ),
    )
    prune_age: int = _setting(
        whole(1, 36_500, N_("a whole number of days, at least 1")),
        90,
        N_("Days without use after which a model may be proposed, or deleted by the setting prune."),
    )
    prune_free: int = _setting(SIZE, "100GiB", N_("Free space that the setting prune works towards, and never beyond."))


@dataclass(frozen=True)
class SecretSettings:
    """``[secrets]``."""

    store: str = _setting(
        choice("auto", "keychain", "file"),
        "auto",
        N_("Where tokens are kept: the system's keychain, or a file that only you can read; auto takes what works."),
    )


@dataclass(frozen=True)
class ExperimentSettings:
    """``[experiments]``."""

    trackers: tuple[str, ...] = _setting(
        names_among("mlflow"), ["mlflow"], N_("Where runs are recorded besides the lab's own files.")
    )


@dataclass(frozen=True)
class JobSettings:
    """``[jobs]``. ``ageing`` and ``patience`` in minutes, ``disk_reserve`` and ``log_limit`` in bytes, ``grace`` in seconds."""

    parallel: int = _setting(_JOBS_AT_ONCE, 4, N_("The most jobs that run at once."))
    night: str = _setting(WINDOW, "22:00-07:00", N_("When night is, for jobs that are submitted with --when night."))
    ageing: int = _setting(
        _MINUTES,
        60,
        N_("Minutes of waiting that count as much as one step of priority, so that every job has its turn."),
    )
    patience: int = _setting(
        _MINUTES, 15, N_("Minutes after which nothing may overtake a waiting job on what it waits for.")
    )
    kinds: tuple[str, ...] = _setting(LIMITS, [], N_("The most jobs of a kind that run at once."))
    network: int = _setting(_JOBS_AT_ONCE, 2, N_("The most jobs at once that say that they use the network."))
    disk_reserve: int = _setting(SIZE, "5GiB", N_("Space on the lab's disk that is kept free: no job starts into it."))
    log_limit: int = _setting(
        size_from(64 * KIB, N_('a size of at least "64KiB"')),
        "64MiB",
        N_("How much of the output of one attempt is kept: its beginning and the newest part."),
    )
    grace: int = _setting(
        whole(0, 3600, N_("a whole number of seconds from 0 to 3600")),
        10,
        N_("Seconds that a cancelled job has to end by itself before it is killed."),
    )


@dataclass(frozen=True)
class Settings:
    """Every setting of a lab; the defaults are what holds where ``lab.toml`` says nothing."""

    language: str = _setting(
        choice("auto", "en", "zh_CN"), "auto", N_("Language of messages and documents; auto follows the system.")
    )
    author: str = _setting(LINE, "", N_("The name that documents carry; empty means your user name."))
    git: GitSettings = GitSettings()
    engines: EngineSettings = EngineSettings()
    memory: MemorySettings = MemorySettings()
    models: ModelSettings = ModelSettings()
    secrets: SecretSettings = SecretSettings()
    experiments: ExperimentSettings = ExperimentSettings()
    jobs: JobSettings = JobSettings()


@dataclass(frozen=True)
class Field:
    """One setting for the reference: dotted key, what it takes, its default as TOML has it, one sentence.

    ``type`` and ``description`` are message ids: translate them where they are shown.
    """

    key: str
    type: str
    default: str | int | bool | list[str]
    description: str


_SECTIONS: Final[Mapping[str, type]] = {
    "": Settings,
    "git": GitSettings,
    "engines": EngineSettings,
    "memory": MemorySettings,
    "models": ModelSettings,
    "secrets": SecretSettings,
    "experiments": ExperimentSettings,
    "jobs": JobSettings,
}


def _fields() -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for section, schema in _SECTIONS.items():
        for field in dataclasses.fields(schema):
            if "kind" in field.metadata:
                yield f"{section}.{field.name}" if section else field.name, field


@cache
def kinds() -> Mapping[str, Kind]:
    """The kind of each setting, by dotted key, in the order of the file."""
    return {key: field.metadata["kind"] for key, field in _fields()}


def sections() -> tuple[str, ...]:
    """The names of the tables."""
    return tuple(name for name in _SECTIONS if name)


def describe() -> tuple[Field, ...]:
    """Every setting, for the reference and for the ``config`` command, in the order of the file."""
    return tuple(
        Field(key, field.metadata["kind"].expects, field.metadata["default"], field.metadata["description"])
        for key, field in _fields()
    )


def build(found: Mapping[str, Value]) -> Settings:
    """Settings from values that were read, by dotted key; the rest are defaults."""
    by_section: dict[str, dict[str, Value]] = {name: {} for name in _SECTIONS}
    for key, value in found.items():
        section, _dot, name = key.rpartition(".")
        by_section[section][name] = value
    inner: dict[str, Any] = {name: _SECTIONS[name](**by_section[name]) for name in sections()}
    return Settings(**inner | by_section[""])


def values(settings: Settings) -> dict[str, str | int | bool | list[str]]:
    """What holds, by dotted key, fit for JSON (sizes in bytes)."""
    found: dict[str, str | int | bool | list[str]] = {}
    for key in kinds():
        section, _dot, name = key.rpartition(".")
        value: Value = getattr(getattr(settings, section) if section else settings, name)
        found[key] = list(value) if isinstance(value, tuple) else value
    return found
