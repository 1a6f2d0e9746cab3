"""A lab, opened: its settings, and the rooms that work on it, made on first use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ultralab.kernel import plugins
from ultralab.kernel.errors import NotFound
from ultralab.kernel.language import _, current_language
from ultralab.settings import Settings, is_lab, load
from ultralab.system import environ, folders

if TYPE_CHECKING:
    from ultralab.machine import Machine
    from ultralab.memory import Ledger
    from ultralab.models import Library
    from ultralab.models.formats.base import Format
    from ultralab.models.sources.base import Source
    from ultralab.secrets import Secrets


@dataclass(frozen=True)
class Lab:
    """One lab. A value with lazily made parts; nothing here changes the lab."""

    home: Path
    settings: Settings
    asked_language: str = ""

    @property
    def author(self) -> str:
        """Whom documents and records name."""
        return self.settings.author or environ.user_name()

    @property
    def language(self) -> str:
        """The language of this lab's documents, unless another was asked for this time."""
        if self.asked_language:
            return self.asked_language
        return current_language() if self.settings.language == "auto" else self.settings.language

    @cached_property
    def machine(self) -> Machine:
        """The machine it is on; a bandwidth that no table has is measured, once per process."""
        from ultralab.machine import read_machine

        return read_machine()

    @cached_property
    def ledger(self) -> Ledger:
        """The machine's memory ledger, with what models may take here in total."""
        return machine_ledger(self.machine, self.settings.memory.reserve)

    @cached_property
    def library(self) -> Library:
        """The model library."""
        from ultralab.models import Library
        from ultralab.models.store.volumes import Placement, parse

        wanted = self.settings.models
        return Library(self.home, parse(wanted.volumes), Placement(wanted.placement, wanted.keep_free))

    @cached_property
    def secrets(self) -> Secrets:
        """Where this user's tokens are; it holds none."""
        from ultralab.secrets import Secrets

        return Secrets(choice=self.settings.secrets.store)

    @cached_property
    def formats(self) -> Sequence[Format]:
        """Every registered model format."""
        return cast("list[Format]", _all("ultralab.model_formats", _("model format")))

    @cached_property
    def sources(self) -> Sequence[Source]:
        """Every registered model source."""
        return cast("list[Source]", _all("ultralab.model_sources", _("model source")))

    def keep(self, paths: Sequence[Path], message: str) -> str:
        """Commit documents of the lab, if its owner wants that; a sentence where git refused, else empty."""
        from ultralab.pages.repository import Repository, committed

        if not self.settings.git.auto_commit:
            return ""
        return committed(Repository(self.home, self.author), paths, message)


def open_lab(home: Path, language: str = "") -> Lab:
    """Open the lab at ``home``; ``language`` is for documents written this time. Raises NotFound (no lab there), InvalidSpec (its settings are wrong)."""
    if not is_lab(home):
        raise NotFound(
            _("There is no lab in {home}.").format(home=home),
            hint=_("Make one: ultralab init {home} — or name another with --home.").format(home=home),
            home=str(home),
        )
    return Lab(home, load(home), language)


def machine_ledger(machine: Machine, reserve: int) -> Ledger:
    """The ledger that all labs of this user on this machine share. ``reserve``: bytes that models never get.

    Inside a job, what is reserved lies within the job's own reservation.
    """
    from ultralab import memory
    from ultralab.machine import memory_limit

    limit = min(memory_limit(machine), machine.memory_bytes - reserve)
    return memory.open_ledger(folders.machine_state(), max(0, limit), _own_envelope())


def _own_envelope() -> int | None:
    """The reservation of the job that this process belongs to; what is no number says nothing."""
    told = environ.read("ULTRALAB_RESERVATION") or ""
    return int(told) if told.isascii() and told.isdigit() and len(told) < 19 else None


def _all(group: str, what: str) -> list[object]:
    return [plugins.load(group, plugin.name, what) for plugin in plugins.installed(group)]
