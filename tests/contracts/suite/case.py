"""What the suites run on: one record per engine, and small ways to ask."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ultralab.engines.base import Ask, Client, Engine, LoadOptions, Message, ModelFile, Piece, Timings
from ultralab.engines.host import Loaded, Request, loaded
from ultralab.kernel.progress import SILENT, Progress, Step, Unit
from ultralab.memory import Ledger, open_ledger
from ultralab.planner.types import ModelShape
from ultralab.system import clock
from ultralab.system.process import identify

TEXT = "The capital of France is Paris, and the capital of Italy is Rome."
HELLO: tuple[Message, ...] = ({"role": "user", "content": "Say hello."},)


@dataclass(frozen=True)
class EngineCase:
    """An engine, a model that it can load, and what of it cannot be known from the engine alone.

    ``corrupt``: the content of a file that it cannot load in the model's place; ``spoil`` instead, where a model is a
    folder: puts a damaged copy into an empty folder and returns its path. ``prompt``: a text whose greedy continuation
    has at least 16 tokens before it ends. ``parallel_exact``: two requests at once get the answers that they get alone.
    """

    engine: Engine
    path: Path
    shape: ModelShape
    options: LoadOptions
    corrupt: bytes = b""
    format: str = "gguf"
    title: str = "the model"
    spoil: Callable[[Path], Path] | None = None
    prompt: str = TEXT
    parallel_exact: bool = True

    @property
    def model(self) -> ModelFile:
        """The model as engines are given it."""
        return ModelFile(self.path, self.title, self.format, self.shape)

    @property
    def planned(self) -> int:
        """Bytes that loading the model reserves."""
        return self.engine.plan(self.shape, self.options).total

    def load(
        self, ledger: Ledger, log: Path, path: Path | None = None, progress: Progress = SILENT
    ) -> AbstractContextManager[Loaded]:
        """Load the model (or another file in its place)."""
        request = Request(replace(self.model, path=path or self.path), self.options)
        return loaded(self.engine, request, ledger=ledger, log=log, progress=progress)

    def damaged(self, folder: Path) -> Path:
        """A model in an empty folder that cannot be loaded."""
        if self.spoil is not None:
            return self.spoil(folder)
        bad = folder / f"bad{self.path.suffix}"
        bad.write_bytes(self.corrupt)
        return bad


@dataclass(frozen=True)
class Answer:
    """A whole stream."""

    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The pieces' texts in one."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def finish(self) -> str:
        """Why it ended."""
        return self.pieces[-1].finish

    @property
    def timings(self) -> Timings:
        """The account."""
        found = self.pieces[-1].timings
        assert found is not None
        return found

    @property
    def read(self) -> int:
        """Tokens of the prompt, those from the cache included."""
        return self.timings.cached_tokens + self.timings.prompt_tokens


def answer(client: Client, ask: Ask) -> Answer:
    """Take a stream to its end."""
    return Answer(tuple(client.stream(ask)))


def continued(client: Client, case: EngineCase, count: int = 16, **more: object) -> Answer:
    """Go on with the case's prompt, greedily where nothing else is said."""
    return answer(client, replace(Ask(prompt=case.prompt, max_tokens=count), **more))  # type: ignore[arg-type]


@contextmanager
def another(case: EngineCase, running: Loaded) -> Iterator[Client]:
    """A second client of the same loaded model."""
    client = case.engine.connect(running.endpoint)
    try:
        yield client
    finally:
        client.close()


def within(seconds: float, done: Callable[[], bool]) -> bool:
    """Whether something becomes true in time."""
    deadline = clock.monotonic() + seconds
    while clock.monotonic() < deadline:
        if done():
            return True
        clock.sleep(0.02)
    return done()


def is_gone(pid: int, within: float = 5) -> bool:
    """Whether a process ends in time."""
    deadline = clock.monotonic() + within
    while clock.monotonic() < deadline:
        if identify(pid) is None:
            return True
        clock.sleep(0.02)
    return identify(pid) is None


class Watched:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.amounts: list[float] = []

    @contextmanager
    def step(self, label: str, total: float | None = None, unit: Unit = "") -> Iterator[Step]:
        """Keep the step's label; its total is taken to be 1."""
        assert total == 1.0
        self.labels.append(label)
        yield self

    def say(self, text: str) -> None:
        """Nothing is said while a model loads."""
        raise AssertionError(text)

    def advance(self, amount: float = 1) -> None:
        """Keep the amount."""
        self.amounts.append(amount)

    def describe(self, text: str) -> None:
        """Not kept."""


class Shared:
    """The fixtures of every suite: one model that is loaded once for the class."""

    @pytest.fixture(scope="class")
    @classmethod
    def ledger(cls, case: EngineCase, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
        """Room for two models, not for three."""
        return open_ledger(tmp_path_factory.mktemp("ledger"), 2 * case.planned)

    @pytest.fixture(scope="class")
    @classmethod
    def watched(cls) -> Watched:
        """What the load of the shared model told."""
        return Watched()

    @pytest.fixture(scope="class")
    @classmethod
    def running(
        cls, case: EngineCase, ledger: Ledger, watched: Watched, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Loaded]:
        """The model that is loaded once."""
        with case.load(ledger, tmp_path_factory.mktemp("log") / "engine.log", progress=watched) as model:
            yield model


def damaged_copy(folder: Path, whole: Path) -> Path:
    """A model's folder with half of its weights."""
    bad = folder / "bad"
    shutil.copytree(whole, bad)
    weights = bad / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    return bad
