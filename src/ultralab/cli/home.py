"""Which lab an invocation is about."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab.cli.frame import Request
from ultralab.kernel.errors import FileAccess, InvalidSpec
from ultralab.kernel.language import _
from ultralab.system import environ

if TYPE_CHECKING:
    from ultralab.app import Lab

DEMO_HOME: Final = Path("demo-lab")
_MARK: Final = "lab.toml"


def default_home() -> Path:
    """``$ULTRALAB_HOME``, else the lab that the current folder lies in, else ``~/ultralab``."""
    if chosen := environ.read("ULTRALAB_HOME"):
        return Path(chosen).expanduser()
    here = Path.cwd()
    around = next((folder for folder in (here, *here.parents) if (folder / _MARK).is_file()), None)
    return around or Path("~/ultralab").expanduser()


def home_of(request: Request) -> Path:
    """The lab that an invocation is about."""
    return (request.home.expanduser() if request.home else default_home()).absolute()


def opened(request: Request, *, anyway: bool = False) -> Lab:
    """That lab, opened; ``--lang`` holds for its documents too. Raises NotFound, InvalidSpec.

    ``anyway``: settings that cannot be read are told on standard error, and the defaults hold: for what looks at work or
    ends it, which a slip in a file must not keep anybody from.
    """
    from ultralab.app import Lab, open_lab

    home, language = home_of(request), request.lang or ""
    try:
        return open_lab(home, language)
    except (InvalidSpec, FileAccess) as error:
        if not anyway:
            raise
        from ultralab.settings import Settings

        warning = _("Warning: the default settings are used: {message}").format(message=error.message)
        print(warning, file=sys.stderr)
        return Lab(home, Settings(), language)


def lab_or_none(request: Request) -> Lab:
    """That lab, or the default settings where there is none: for questions that need no lab to be answered."""
    from ultralab.app import Lab
    from ultralab.settings import Settings, is_lab

    home = home_of(request)
    return opened(request, anyway=True) if is_lab(home) else Lab(home, Settings(), request.lang or "")


def program() -> str:
    """How this program is called from here: its name where the shell would find it, else its path."""
    name = Path(sys.argv[0]).name
    found = shutil.which(name)
    if found and Path(found).resolve() == Path(sys.argv[0]).resolve():
        return name
    return typed(Path(sys.argv[0]))


def typed(path: Path) -> str:
    """A path as one would type it here: relative where that is shorter, quoted where a shell needs it."""
    relative = os.path.relpath(path)
    return shlex.quote(relative if len(relative) < len(str(path)) else str(path))
