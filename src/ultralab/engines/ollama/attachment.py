"""A model in a running Ollama: made there under a name of ours, loaded, and taken away again."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultralab.engines.clients import answers
from ultralab.engines.clients.ollama import capabilities_of
from ultralab.engines.ollama import api, naming, store
from ultralab.engines.options import DEFAULTS, LoadOptions
from ultralab.engines.types import Advance, Endpoint, ModelFile
from ultralab.kernel.errors import EngineFailed, NotFound, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.system import addresses, clock

if TYPE_CHECKING:
    import httpx


class Stay:
    """A model's time in an Ollama. Implements ``engines.base.Attachment``.

    Ollama holds one copy of the same bytes in memory, whatever names they have. One that was there before, and that our
    options did not push out, stays with the time that it had left; one that we brought goes.
    """

    def __init__(
        self, address: str, model: ModelFile, options: LoadOptions, places: tuple[Path, ...] | None = None
    ) -> None:
        self._address = address
        self._places = places
        self._model = model
        self._options = options
        self._http: httpx.Client | None = None
        self._version = ""
        self._name = ""
        self._before: tuple[api.Running, ...] = ()

    def models(self) -> tuple[str, ...]:
        """Ollama's own models, without those that we made of others. Raises EngineFailed."""
        with answers.client(self._address) as client:
            require_version(client)
            return tuple(one for one in api.names(client) if not naming.is_ours(one))

    def open(self, advance: Advance) -> Endpoint:
        """Give Ollama the file (or take its own model of that title), and load it.

        Raises EngineFailed (Ollama does not answer, is too old, cannot take the file without a copy, cannot load it),
        NotFound (no such model there, no such file).
        """
        client = self._http = answers.client(self._address)
        self._version = require_version(client)
        self._sweep(client)
        source, shared = self._source(client)
        self._before = tuple(one for one in api.running(client) if shared(one.name))
        name = naming.fresh(self._model.title)
        self._name = name  # from here on it is taken away at the end, whatever happens
        api.create(client, name, source, parameters_of(self._options))
        told = capabilities_of(api.show(client, name))
        api.load(client, name, embeddings=self._options.embeddings or "completion" not in told)
        advance(1.0)
        return Endpoint(self._address, "", name)

    def footprint(self) -> int:
        """Bytes that Ollama says it holds for the model, on the GPU or not."""
        if self._http is None:
            return 0
        mine = {self._name, *(one.name for one in self._before)}
        return next((one.size for one in api.running(self._http) if one.name in mine), 0)

    def version(self) -> str:
        """Ollama's."""
        return f"Ollama {self._version}"

    def close(self) -> None:
        """Unload what we brought, take its name away."""
        client, self._http = self._http, None
        if client is None:
            return
        try:
            if self._name:
                self._let_go(client)
        except UltralabError:  # it is gone, or does not answer: the model goes by itself after its time
            return
        finally:
            client.close()

    def _let_go(self, client: httpx.Client) -> None:
        here = {one.name for one in api.running(client)}
        kept = [one for one in self._before if one.name in here]
        for one in kept:
            api.keep(client, one.name, max(1.0, one.expires - clock.timestamp()))
        if not kept:
            try:
                api.keep(client, self._name, 0)
            except EngineFailed as error:
                if "status" not in error.data:
                    raise
        api.delete(client, self._name)

    def _sweep(self, client: httpx.Client) -> None:
        """Take away what owners that were killed left in this machine's Ollama."""
        if addresses.is_loopback(self._address):
            for name in filter(naming.is_left, api.names(client)):
                if name in {one.name for one in api.running(client)}:
                    api.keep(client, name, 0)
                api.delete(client, name)

    def _source(self, client: httpx.Client) -> tuple[Mapping[str, Any], Callable[[str], bool]]:
        """What Ollama makes the model of, and whether a model of a name is the same bytes."""
        if self._model.path == Path():
            title = self._model.title
            found = _existing(client, title)
            return {"from": found}, lambda name: name == found
        digest = store.digest_of(self._model.path)
        if not api.has_blob(client, digest):
            store.lend(self._model.path, digest, self._address, lambda: api.has_blob(client, digest), self._places)
        return (
            {"files": {"model.gguf": f"sha256:{digest}"}},
            lambda name: digest in str(api.show(client, name).get("modelfile")),
        )


def require_version(client: httpx.Client) -> str:
    """Ollama's version. Raises EngineFailed: it does not answer, is not Ollama, is too old."""
    try:
        found = api.version(client)
    except EngineFailed as error:
        raise EngineFailed(error.message, hint=how_to_start(), **error.data) from error
    if api.is_too_old(found):
        raise EngineFailed(too_old(found), hint=_("Update Ollama."), version=found)
    return found


def how_to_start() -> str:
    """What to do where no Ollama answers."""
    return _("Start Ollama (the app, or: ollama serve), or set its address: ultralab config set engines.ollama ADDRESS")


def too_old(found: str) -> str:
    """What is wrong with a version."""
    return _("Ollama {version} is too old: {oldest} is needed.").format(
        version=found, oldest=".".join(str(one) for one in api.OLDEST)
    )


def parameters_of(options: LoadOptions) -> dict[str, int]:
    """How Ollama is to load a model (its Modelfile's ``PARAMETER``); what is not asked for is left to Ollama.

    ``num_batch`` is llama.cpp's batch and micro-batch in one (``llm/llama_server.go``).
    """
    found = {"num_ctx": options.context, "seed": options.seed}
    if options.threads:
        found["num_thread"] = options.threads
    if options.ubatch != DEFAULTS.ubatch:
        found["num_batch"] = options.ubatch
    return found


def _existing(client: httpx.Client, title: str) -> str:
    known = api.names(client)
    for name in (title, f"{title}:latest"):
        if name in known:
            return name
    near = difflib.get_close_matches(title, known, n=3, cutoff=0.4)
    names = ", ".join(printable(one, 80) for one in near or known[:20])
    raise NotFound(
        _("Ollama has no model {title!r}.").format(title=title),
        hint=_("It has: {names}.").format(names=names) if names else _("It has none yet: ollama pull gets one."),
        model=title,
    )
