"""Whose token a hub is given: the environment's, then the secret store's, then the one of the hub's own login."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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

    Raises FileAccess where the secrets' file can be read by others, ToolFailed where the keychain is the choice and locked.
    """
    for variable in VARIABLES.get(realm, ()):
        if found := (environ.read(variable) or "").strip():
            return found
    return read(secrets, realm) or (_hugging_face_login() if realm == "hf" else "")


def _hugging_face_login() -> str:
    """The token of ``hf auth login``. Whatever the library meets on its way to it is no reason to fail."""
    try:
        from huggingface_hub import get_token

        return get_token() or ""
    except Exception:  # noqa: BLE001 - a login that cannot be read is none
        return ""
