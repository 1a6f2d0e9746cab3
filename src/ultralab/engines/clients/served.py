"""A client for our own server (``engines.serving``): llama.cpp's dialect, and scores in one request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ultralab.engines.clients import answers, failures
from ultralab.engines.clients.forcing import finite
from ultralab.engines.clients.llamaserver import LlamaServerClient
from ultralab.engines.types import Capability, Health, TokenScore, capabilities
from ultralab.system import http


class ServedClient(LlamaServerClient):
    """Talks to the process of a Python framework. Implements ``engines.base.Client``."""

    def health(self, timeout: float) -> Health:
        """What the server's scheduler says; it answers while the model computes."""
        with (
            answers.explained("/health"),
            http.server_client(self._endpoint.base_url, self._endpoint.secret, timeout=timeout) as asking,
        ):
            found = answers.object_of(asking.get("/health"))
            return Health(int(found["busy"]), float(found["stalled"]))

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        """One request; the scores come as the model makes them."""
        if len(tokens) < 2:
            return
        came = 0
        with (
            answers.explained("/score"),
            self._http.stream("POST", "/score", json={"tokens": list(tokens)}) as answer,
        ):
            answers.require_success(answer)
            for line in answers.lines(answer):
                found = json.loads(line)
                if reason := answers.reason_in(found):
                    raise failures.broke_off(reason)
                came += 1
                yield TokenScore(int(found["token"]), finite(found["logprob"]), int(found["favourite"]))
        if came != len(tokens) - 1:
            raise failures.cut_off()

    def keep(self, name: str) -> int:
        """Write the newest cached prompt to ``name``; its tokens, 0 where there is none."""
        return self._slot(0, "save", name, "n_saved")

    def _able(self, props: Mapping[str, Any]) -> frozenset[Capability]:
        return capabilities(str(one) for one in props["capabilities"])
