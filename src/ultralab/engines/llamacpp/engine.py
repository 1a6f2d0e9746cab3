"""llama.cpp: ``xllamacpp`` in a process of ours (``child``), or an installed ``llama-server`` (``server_child``)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ultralab.engines.llamacpp import architectures, program, progress, refusals
from ultralab.engines.options import CACHE_TYPES, LoadOptions, Takes, to_json
from ultralab.engines.types import Availability, Capability, Endpoint, Launch, ModelFile, Refusal
from ultralab.kernel.errors import ToolFailed, Unsupported
from ultralab.kernel.language import N_, _
from ultralab.planner import llamacpp_memory
from ultralab.planner.types import Demand, MemoryPlan, ModelShape
from ultralab.system import process

if TYPE_CHECKING:
    from ultralab.engines.base import Client
    from ultralab.settings.schema import EngineSettings

EMBEDDED: Final = "embedded"
_CHILD: Final = "ultralab.engines.llamacpp.child"
_SERVER_CHILD: Final = "ultralab.engines.llamacpp.server_child"
_VERSION_SECONDS: Final = 20


class LlamaCpp:
    """The llama.cpp engine. ``server``: the name or path of an installed llama-server, or ``embedded``."""

    name = "llamacpp"
    title = "llama.cpp"
    formats: frozenset[str] = frozenset({"gguf"})
    capabilities: frozenset[Capability] = frozenset({"chat", "completion", "scoring", "embeddings", "tools", "vision"})
    options: Mapping[str, Takes] = {
        "context": Takes(N_("rounded up to a multiple of 256, at most what the model was trained for")),
        "threads": Takes(N_("as given")),
        "seed": Takes(N_("as given")),
        "parallel": Takes(N_("each has a cache of its own, with the whole context")),
        "key_type": Takes(N_("as given"), CACHE_TYPES),
        "value_type": Takes(N_("quantized with flash attention only"), CACHE_TYPES),
        "flash": Takes(N_("as given")),
        "batch": Takes(N_("as given; for embeddings it is ubatch")),
        "ubatch": Takes(N_("as given; for embeddings also the longest text")),
        "draft": Takes(N_("a GGUF file with the same vocabulary")),
        "adapters": Takes(N_("GGUF files")),
        "prompt_cache": Takes(N_("slots are written to files")),
        "chat_template": Takes(N_("as given, in llama.cpp's own Jinja")),
        "projector": Takes(N_("a GGUF file (mmproj)")),
        "embeddings": Takes(N_("pooled as the model's header says, else by the mean")),
    }

    def __init__(self, server: str = EMBEDDED) -> None:
        self.server = server

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> LlamaCpp:
        """With the llama-server that the settings prefer, if they do."""
        return LlamaCpp(settings.llama_server or EMBEDDED)

    def availability(self) -> Availability:
        """Whether the package is installed, or the preferred llama-server answers ``--version``."""
        if self.server != EMBEDDED:
            return _of_program(self.server)
        if importlib.util.find_spec("xllamacpp") is None:
            return Availability("", _("the package xllamacpp is not installed"), _("Install it: pip install xllamacpp"))
        return Availability(f"xllamacpp {importlib.metadata.version('xllamacpp')}")

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        """What llama.cpp itself would refuse. Which architectures a foreign llama-server knows is not known."""
        knows = architectures.knows if self.server == EMBEDDED else _anything
        if problem := refusals.refusal(model, options, knows):
            return problem
        if self.server != EMBEDDED and any(set(",:") & set(str(one.path)) for one in options.adapters):
            return Refusal(_("llama-server takes no adapter whose path has a comma or a colon"))
        try:
            self.plan(model.shape, options)
        except Unsupported as error:
            return Refusal(error.message, error.hint)
        return None

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """See ``planner.llamacpp_memory``. The model alone: what ``draft`` and ``projector`` add, their headers tell
        (``llamacpp.beside``), and reading those is not pure.
        """
        demand = Demand(
            options.context,
            sequences=options.parallel,
            key_type=options.key_type,
            value_type=options.value_type,
            flash=options.flash,
            ubatch=min(options.ubatch, options.batch),
            outputs=options.parallel,
        )
        return llamacpp_memory(shape, demand)

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Launch:
        """The child takes its request from its environment: a secret must not stand on a command line."""
        embedded = self.server == EMBEDDED
        request = {"model": str(model.path), "options": json.loads(to_json(options)), "secret": secret}
        if not embedded:
            request["program"] = self.server
        return Launch(
            argv=(sys.executable, "-m", _CHILD if embedded else _SERVER_CHILD),
            environment={"ULTRALAB_ENGINE_REQUEST": json.dumps(request), **(progress.ENVIRONMENT if embedded else {})},
        )

    def connect(self, endpoint: Endpoint) -> Client:
        """llama.cpp's own server dialect."""
        from ultralab.engines.clients.llamaserver import LlamaServerClient

        return LlamaServerClient(endpoint)


def _anything(_architecture: str) -> bool:
    return True


def _of_program(server: str) -> Availability:
    """What an installed llama-server says of itself."""
    found = shutil.which(server)
    if found is None:
        return Availability(
            "",
            _("the program {name} is not there").format(name=server),
            _("Install llama.cpp, or set llama_server in [engines] to “embedded” or to the program's path."),
        )
    try:
        version = _version(found, os.stat(found).st_mtime_ns)  # noqa: PTH116 - a text is what identifies it
    except (ToolFailed, OSError) as error:
        return Availability("", str(error), _("Try it yourself: {program} --version").format(program=found))
    if not version:
        return Availability(
            "",
            _("{program} does not tell its version as llama-server does").format(program=found),
            _("Set llama_server in [engines] to “embedded” or to the path of a llama-server."),
        )
    return Availability(version)


@lru_cache(maxsize=8)
def _version(found: str, _modified: int) -> str:
    answer = process.run((found, "--version"), timeout=_VERSION_SECONDS)
    return program.version_in(answer.stderr + "\n" + answer.stdout)


ENGINE = LlamaCpp()
