"""PyTorch: transformers' models, served from a child process by ``engines.serving``.

The interpreter may be another one than ours (``engines.torch_python``): PyTorch is large, and lives well in an environment
of its own. That one needs ``torch`` and ``transformers``; of ultralab it is lent the modules, which import nothing else.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import ultralab
from ultralab.engines.options import LoadOptions, Takes
from ultralab.engines.serving.launch import launch
from ultralab.engines.torch import footprint, refusals
from ultralab.engines.torch.interpreter import NEEDED, OLDEST, look, own
from ultralab.engines.types import Availability, Capability, Endpoint, Launch, ModelFile, Refusal
from ultralab.kernel.language import N_, _

if TYPE_CHECKING:
    from ultralab.engines.base import Client
    from ultralab.planner.types import MemoryPlan, ModelShape
    from ultralab.settings.schema import EngineSettings

LOAD: Final = "ultralab.engines.torch.model:load"

_ENVIRONMENT: Final[Mapping[str, str]] = {
    "HF_HUB_OFFLINE": "1",  # a model lies here whole; whatever a library would still fetch was not chosen
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",  # an operation that Metal lacks runs on the CPU instead of failing
    "TOKENIZERS_PARALLELISM": "false",
}

# Another interpreter gets this package without our other packages, which may be built for another Python.
_BORROW: Final = """
import importlib.util, runpy, sys
place = sys.argv.pop(1)
spec = importlib.util.spec_from_file_location("ultralab", place + "/__init__.py", submodule_search_locations=[place])
sys.modules["ultralab"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
runpy.run_module("ultralab.engines.serving.child", run_name="__main__")
"""


class Torch:
    """The PyTorch engine. ``python``: the interpreter that has PyTorch, empty for ours."""

    name = "torch"
    title = "PyTorch"
    formats: frozenset[str] = frozenset({"safetensors", "gptq", "awq"})
    capabilities: frozenset[Capability] = frozenset({"chat", "completion", "scoring", "embeddings", "tools"})
    options: Mapping[str, Takes] = {
        "context": Takes(N_("the most tokens of prompt and answer together; the cache grows as they come")),
        "threads": Takes(N_("of the CPU; has no effect on the work of the GPU")),
        "seed": Takes(N_("as given")),
        "parallel": Takes(N_("requests take turns, token by token; each has a cache of its own")),
        "flash": Takes(N_("PyTorch's scaled_dot_product_attention; off: transformers' eager attention")),
        "batch": Takes(N_("has no effect: prompts are read in pieces of ubatch")),
        "ubatch": Takes(N_("as given")),
        "adapters": Takes(N_("folders as peft writes them, with SafeTensors; needs the package peft")),
        "prompt_cache": Takes(N_("as given")),
        "chat_template": Takes(N_("as given")),
        "embeddings": Takes(N_("the mean of the last layer's hidden states")),
        "weight_bits": Takes(N_("through bitsandbytes: 8 is LLM.int8(), 4 is NF4")),
    }

    def __init__(self, python: str = "") -> None:
        self.python = python

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> Torch:
        """With the interpreter that the settings name; nothing is named by ``which``."""
        return Torch(settings.torch_python)

    def availability(self) -> Availability:
        """Whether the interpreter has PyTorch and transformers; another one than ours is started to ask it."""
        found = look(self.python)
        if found.trouble:
            return Availability("", found.trouble, _("The setting engines.torch_python names the interpreter."))
        if found.python < OLDEST:
            return Availability(
                "",
                _("{python} is Python {version}, and {oldest} is needed").format(
                    python=self.python, version=_dotted(found.python), oldest=_dotted(OLDEST)
                ),
                _("The setting engines.torch_python names the interpreter."),
            )
        if missing := found.missing(NEEDED):
            return Availability(
                "",
                _("not installed: {packages}").format(packages=", ".join(missing)),
                _(
                    "Install it: pip install 'ultralab[torch]'. Or let the setting engines.torch_python name a Python that"
                    " has it."
                ),
            )
        return Availability(f"torch {found.packages['torch']}, transformers {found.packages['transformers']}")

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        """See ``engines.torch.refusals``."""
        return refusals.refusal(model.path, options, look(self.python))

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """See ``engines.torch.footprint``."""
        return footprint.plan(shape, options)

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Launch:
        """Serve it from the interpreter that has PyTorch."""
        python = self.python or sys.executable
        made = launch(LOAD, model.path, options, secret, python=python, environment=_ENVIRONMENT)
        if own(self.python):
            return made
        return dataclasses.replace(made, argv=(python, "-c", _BORROW, str(Path(ultralab.__file__).parent)))

    def connect(self, endpoint: Endpoint) -> Client:
        """The dialect of ``engines.serving``."""
        from ultralab.engines.clients.served import ServedClient

        return ServedClient(endpoint)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


ENGINE = Torch()
