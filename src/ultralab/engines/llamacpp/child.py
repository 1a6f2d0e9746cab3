"""The process that holds a llama.cpp model. Started by ``engines.host`` behind a guard; says ``engines.events``.

Small on purpose: what is imported here is part of every model's memory. Chosen options and why:

- one sequence, loopback only, a port that the system picks, an API key that came by the environment;
- weights are mapped from the file and not repacked (``no_extra_bufts``): on CPUs that would hold Q4_0 and MXFP4
  weights twice, and the memory plan would no longer follow from the header;
- no prompt cache in memory beyond the one sequence, no automatic fitting of options (the planner decides).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from ultralab.engines import events
from ultralab.machine.footprint import footprint
from ultralab.system import environ
from ultralab.system.parent import end_with_parent

REQUEST = "ULTRALAB_ENGINE_REQUEST"


def main() -> int:
    """Load, serve, wait to be ended."""
    end_with_parent()
    request = json.loads(environ.take(REQUEST))
    import xllamacpp

    events.emit(
        "started", pid=os.getpid(), version=f"xllamacpp {xllamacpp.__version__}", footprint=footprint(os.getpid())
    )
    try:
        server = xllamacpp.Server(_parameters(xllamacpp, request))
    except Exception as error:  # noqa: BLE001 - the library raises what it likes; the owner must hear of it
        events.emit("failed", reason=str(error))
        return 1
    events.emit("ready", url=server.listening_address)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    # Ending here, without the library's own farewell, is quick and cannot hang; the kernel takes the memory back.
    sys.stdout.flush()
    os._exit(0)


def _parameters(xllamacpp: Any, request: dict[str, Any]) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = request["model"]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [request["secret"]]
    parameters.ui = False
    parameters.n_ctx = request["options"]["context"]
    parameters.n_parallel = 1
    parameters.sampling.seed = request["options"]["seed"]
    if request["options"]["threads"]:
        parameters.cpuparams.n_threads = request["options"]["threads"]
        parameters.cpuparams_batch.n_threads = request["options"]["threads"]
    parameters.no_extra_bufts = True
    parameters.cache_ram_mib = 0
    parameters.fit_params = False
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    return parameters


if __name__ == "__main__":
    sys.exit(main())
