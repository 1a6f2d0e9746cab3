"""Any server that speaks OpenAI's dialect: LM Studio, exo, vLLM, another Mac of the owner.

Nothing is started, stopped or loaded there. A key leaves this machine encrypted or into the own network only: over plain
``http`` it is given to this machine, private addresses and the own Tailscale network (``system.addresses.is_near``), and
refused to any other. Redirects are not followed, so it stays with the address that it was stored for.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ultralab.engines.options import LoadOptions, Takes
from ultralab.engines.types import Advance, Availability, Capability, Endpoint, ModelFile, Refusal
from ultralab.kernel.errors import EngineFailed, NotFound, UnknownChoice
from ultralab.kernel.language import N_, _
from ultralab.kernel.text import printable
from ultralab.planner.types import Amount, MemoryPlan, ModelShape
from ultralab.system import addresses

if TYPE_CHECKING:
    from ultralab.engines.base import Client
    from ultralab.engines.clients.openai import OpenAIClient
    from ultralab.settings.schema import EngineSettings

_ANSWER_SECONDS: Final = 15.0  # a list of models needs no thinking
_MOST_NAMES: Final = 20


class External:
    """One address of the settings; without one nothing can be loaded. Implements ``engines.base.Engine``."""

    formats: frozenset[str] = frozenset()
    capabilities: frozenset[Capability] = frozenset({"chat", "completion", "embeddings", "tools"})
    options: Mapping[str, Takes] = {"embeddings": Takes(N_("the server's model decides"))}

    def __init__(self, which: str = "", address: str = "", key: str = "") -> None:
        self.name = f"external:{which}" if which else "external"
        self.which = which
        self.address = address
        self.key = key
        self.title = which or "OpenAI"

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> External:
        """The address that is called ``which``; without a name the only one. Its key is ``engines.external.NAME``.

        Raises UnknownChoice: no such name, or several and none was named.
        """
        known = dict(entry.split("=", 1) for entry in settings.external)
        if not which:
            if not known:
                return self
            if len(known) > 1:
                raise UnknownChoice(
                    _("Several external addresses are configured."),
                    hint=_("Name one: {names}.").format(names=", ".join(f"external:{one}" for one in sorted(known))),
                )
            which = next(iter(known))
        if which not in known:
            raise UnknownChoice.among(_("external address"), which, known)
        return External(which, known[which], secret(f"engines.external.{which}"))

    def availability(self) -> Availability:
        """Whether an address is configured; it is asked only when a model of it is wanted."""
        if not self.address:
            return Availability(
                "",
                _("no address is configured"),
                _("Give one: ultralab config set engines.external '[\"studio=http://127.0.0.1:1234/v1\"]'"),
            )
        if self.key and not self.address.startswith("https:") and not addresses.is_near(self.address):
            return Availability(
                "",
                _("its key would travel unencrypted to {address}").format(address=self.address),
                _("Use an https address, or reach the machine through Tailscale or an SSH tunnel."),
            )
        return Availability(self.address)

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        """Only the server knows what it can load."""
        return None

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """Nothing is held on this machine by us."""
        basis = N_("the model lies with another server")
        nothing = Amount(0)
        return MemoryPlan(nothing, nothing, nothing, Amount(0, 0.0, basis), basis)

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Visit:
        """A look at the server; ``secret`` is not for it."""
        return Visit(self, model.title)

    def connect(self, endpoint: Endpoint) -> Client:
        """OpenAI's dialect."""
        from ultralab.engines.clients.openai import OpenAIClient

        return OpenAIClient(endpoint)


class Visit:
    """A model that another server holds. Implements ``engines.base.Attachment``."""

    def __init__(self, engine: External, model: str) -> None:
        self._engine = engine
        self._model = model

    def models(self) -> tuple[str, ...]:
        """What the server serves. Raises EngineFailed: it does not answer, or not in OpenAI's dialect, or wants a key."""
        from ultralab.engines.clients.openai import OpenAIClient

        client = OpenAIClient(Endpoint(self._engine.address, self._engine.key))
        try:
            return tuple(str(one["id"]) for one in _models(client, self._engine))
        finally:
            client.close()

    def open(self, advance: Advance) -> Endpoint:
        """Ask the server what it serves; without a model's name, its only one.

        Raises NotFound (it does not serve this model: the nearest names), EngineFailed (it does not answer, or not in
        OpenAI's dialect, or wants a key).
        """
        engine = self._engine
        chosen = _chosen(self._model, self.models(), engine)
        advance(1.0)
        return Endpoint(engine.address, engine.key, chosen)

    def footprint(self) -> int:
        """The dialect has no way to ask."""
        return 0

    def version(self) -> str:
        """Its address: the dialect has no way to ask for a version."""
        return self._engine.address

    def close(self) -> None:
        """Nothing was loaded."""


def _models(client: OpenAIClient, engine: External) -> list[dict[str, object]]:
    try:
        return client.models(_ANSWER_SECONDS)
    except EngineFailed as error:
        status = error.data.get("status")
        raise EngineFailed(
            _("{name} ({address}): {problem}").format(name=engine.which, address=engine.address, problem=error.message),
            hint=_advice(engine, status if isinstance(status, int) else 0),
            **error.data,
        ) from error


def _advice(engine: External, status: int) -> str:
    if status in (401, 403):
        command = f"ultralab secrets set engines.external.{engine.which}"
        if engine.key:
            return _("The stored key is not accepted. Store the right one: {command}").format(command=command)
        return _("The server wants a key. Store it: {command}").format(command=command)
    if status:
        return _("Check the address: it must be that of an OpenAI-compatible server, with or without /v1 at its end.")
    return _("Start the server there, and check the address: ultralab config get engines.external")


def _chosen(wanted: str, served: Sequence[str], engine: External) -> str:
    if wanted in served:
        return wanted
    if not wanted and len(served) == 1:
        return served[0]
    near = difflib.get_close_matches(wanted, served, n=3, cutoff=0.4) if wanted else []
    listed = [printable(one, 80) for one in (near or served)[:_MOST_NAMES]]
    if not wanted:
        message = _("{name} serves {count} models: which one is meant must be said.").format(
            name=engine.which, count=len(served)
        )
    else:
        message = _("{name} does not serve {model!r}.").format(name=engine.which, model=wanted)
    hint = _("Did you mean {names}?") if near else _("It serves: {names}.")
    raise NotFound(
        message,
        hint=hint.format(names=", ".join(listed)) if listed else _("It serves no model: load one there first."),
        model=wanted,
        served=list(served[:_MOST_NAMES]),
    )


ENGINE: Final = External()
