"""Whose token a hub is given: the environment's, then the secret store's, then the one of the hub's own login."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import _
from ultralab.secrets.verbs import Secrets, read
from ultralab.system import environ

VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "hf": ("HF_TOKEN",),
    "modelscope": ("MODELSCOPE_API_TOKEN",),
    "github": ("GITHUB_TOKEN", "GH_TOKEN"),
}
"""Which variables hold a realm's token, first first."""


def token_for(secrets: Secrets, realm: str) -> str:
    """The token of a realm (``hf``, ``modelscope``, ``github``, …), empty where the user has none.

    Raises FileAccess where the secrets' file can be read by others, ToolFailed where the keychain is the choice and locked,
    RequestError for what no header can carry: an error about that header, made elsewhere, would spell the token out.
    """
    for variable in VARIABLES.get(realm, ()):
        if found := (environ.read(variable) or "").strip():
            return _sendable(found, variable)
    if found := read(secrets, realm):
        return _sendable(found, f"ultralab secrets, {realm}")
    return _sendable(_hugging_face_login().strip(), "hf auth login") if realm == "hf" else ""


def _sendable(token: str, where: str) -> str:
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    raise RequestError(
        _("The token in {where} holds spaces, line breaks or letters that no token has.").format(where=where),
        hint=_("Set it again, copied whole and alone."),
        where=where,
    )


def _hugging_face_login() -> str:
    """The token of ``hf auth login``. Whatever the library meets on its way to it is no reason to fail."""
    environ.set_default("HF_HUB_DISABLE_TELEMETRY", "1")  # read when it is first imported, which may be here
    try:
        from huggingface_hub import get_token

        return get_token() or ""
    except Exception:  # noqa: BLE001 - a login that cannot be read is none
        return ""
