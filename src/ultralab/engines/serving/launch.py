"""How an engine's process is started: ``python -m ultralab.engines.serving.child``, its request in the environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ultralab.engines.options import LoadOptions, to_json
from ultralab.engines.types import Launch

REQUEST: Final = "ULTRALAB_ENGINE_REQUEST"
"""The variable that carries the request: a secret must not stand on a command line, which everybody may read."""


def launch(
    load: str,
    model: Path,
    options: LoadOptions,
    secret: str,
    *,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Launch:
    """A process that loads ``model`` with a framework and serves it. Pure.

    ``load``: ``MODULE:NAME`` of a function ``serving.types.Load``. ``python``: the interpreter, which must find this
    package and the framework. ``environment``: variables for it.
    """
    request = {"load": load, "model": str(model), "options": json.loads(to_json(options)), "secret": secret}
    return Launch(
        argv=(python, "-m", "ultralab.engines.serving.child"),
        environment={**(environment or {}), REQUEST: json.dumps(request)},
    )
