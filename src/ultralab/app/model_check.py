"""selftest of what only the machine itself can show about models: how equal bytes are shared, whether tokens are kept."""

from __future__ import annotations

import os
import secrets as random
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from ultralab.app.lab import Lab
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import ToolFailed
from ultralab.kernel.language import N_, _
from ultralab.system import files

_SIZE: Final = 4 * 1024 * 1024
_NAME: Final = "ultralab-selftest"


def model_checks(lab: Lab | None) -> tuple[Check, ...]:
    """Are equal files shared on the disk of the store, and does the keychain give back what it was given?"""
    shares = Check("models.sharing", N_("Equal bytes are shared on the lab's disk"), partial(_sharing, lab))
    keeps = Check("secrets.keychain", N_("The keychain keeps a token"), partial(_keychain, lab))
    return shares, keeps


def _sharing(lab: Lab | None) -> Finding:
    from ultralab.system import links

    place = lab.library.partial if lab is not None else Path(tempfile.gettempdir())
    with files.explained(place):
        place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        one, other = Path(folder) / "one", Path(folder) / "other"
        content = os.urandom(_SIZE)
        for path in (one, other):
            files.write(path, content)
        way = links.share(one, other)
        same = links.same_bytes(one, other)
        whole = one.read_bytes() == other.read_bytes() == content
    detail = _("by {way}").format(way=way or "-")
    if not whole:
        return Finding("fail", _("{detail}; the bytes are not what they were").format(detail=detail))
    if way is None or not same:
        return Finding("fail", _("{detail}; they do not share their bytes").format(detail=detail))
    cloned = way in ("clone", "reflink") or sys.platform != "darwin"
    hint = "" if cloned else _("APFS would clone: is the lab on a disk of another kind?")
    return Finding("pass" if cloned else "warn", detail, hint)


def _keychain(lab: Lab | None) -> Finding:
    from ultralab.secrets import Secrets

    keychain = (lab.secrets if lab is not None else Secrets()).keychain
    if keychain is None:
        return Finding("skip", _("this system has no keychain that can be asked; tokens are kept in a file"))
    value = random.token_hex(8)
    try:
        keychain.write(_NAME, value)
        found = keychain.read(_NAME)
        keychain.forget(_NAME)
    except ToolFailed as error:
        return Finding("warn", error.message, error.hint)
    if found != value:
        return Finding("fail", _("it gave back something else than it was given"))
    return Finding("pass", _("written, read and removed"))
