"""The one door to environment variables. Each one that ultralab reads is listed here, for the reference."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from ultralab.kernel.language import N_

VARIABLES: Final = {
    "ULTRALAB_HOME": N_("The lab's folder. Default: ~/ultralab."),
    "ULTRALAB_LANG": N_("The language of messages and documents: en or zh_CN."),
    "ULTRALAB_STATE": N_("Where this machine's own state is kept (the memory ledger, shared by all labs)."),
    "ULTRALAB_DEBUG": N_("Set to 1 to see Python tracebacks behind error messages."),
    "ULTRALAB_PROGRESS": N_("A file to which a long command writes its progress as JSON, replaced whole."),
    "ULTRALAB_JOB": N_("Set for a job's processes: the mark that tells which attempt of which job they belong to."),
    "ULTRALAB_ATTEMPT": N_("Set for a job's processes: 1, 2, …; more than 1 means that the job runs again."),
    "ULTRALAB_RESERVATION": N_("Set for a job's processes: the reservation in the memory ledger that they live in."),
    "HF_ENDPOINT": N_("The address of the Hugging Face hub, or of a mirror of it."),
    "HF_HOME": N_("Where Hugging Face tools keep their cache (in it: hub/) and the token of “hf auth login”."),
    "HF_HUB_CACHE": N_("The cache of Hugging Face tools; default: hub/ in HF_HOME."),
    "HF_HUB_OFFLINE": N_("Set to 1 to keep the Hugging Face library from asking its hub."),
    "HF_TOKEN": N_("The token for the Hugging Face hub; it comes before every stored one."),
    "MODELSCOPE_API_TOKEN": N_("The token for ModelScope."),
    "GITHUB_TOKEN": N_("The token for GitHub; then GH_TOKEN."),
    "GH_TOKEN": N_("The token for GitHub, as its own command reads it."),
    "OLLAMA_MODELS": N_("Where Ollama keeps its models. Default: ~/.ollama/models."),
    "LLAMA_CACHE": N_("Where llama.cpp keeps what it downloads."),
    "LC_ALL": N_("The language, where no option, variable or setting of ultralab names one; then LC_MESSAGES, LANG."),
    "USER": N_("Whom documents name where the setting author is empty; then LOGNAME, the account's name."),
    "NO_COLOR": N_("Set to anything to switch colours off (https://no-color.org)."),
}

# What belongs to a terminal, a login or the service manager, and what one job must not hand to the next. Some of it
# names a socket that dies with the connection.
_NOT_FOR_JOBS: Final = re.compile(
    r"""SSH_\w+ | TERM_SESSION_ID | TERM_PROGRAM(_VERSION)? | COLORTERM | TMUX\w* | STY | WINDOWID | GPG_TTY
    | DISPLAY | WAYLAND_DISPLAY | DBUS_SESSION_BUS_ADDRESS | XDG_SESSION_\w+ | SHLVL | OLDPWD | _ | COLUMNS | LINES
    | ULTRALAB_(JOB|ATTEMPT|RESERVATION|PROGRESS)
    | LISTEN_\w+ | NOTIFY_SOCKET | WATCHDOG_(PID|USEC) | INVOCATION_ID | JOURNAL_STREAM | SYSTEMD_EXEC_PID
    | XPC_(SERVICE_NAME|FLAGS)""",
    re.VERBOSE,
)


def read(name: str) -> str | None:
    """One variable of :data:`VARIABLES`; None where it is unset or empty."""
    if name not in VARIABLES:
        raise KeyError(name)
    return os.environ.get(name) or None


def locale_variables() -> Mapping[str, str]:
    """The POSIX locale variables that are set."""
    return {name: os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)}


def user_name() -> str:
    """Who is working here, as the system says; ``unknown`` where it does not."""
    return os.environ.get("USER") or os.environ.get("LOGNAME") or _account_name()


def for_child(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process: this one's, plus ``extra``."""
    return {**os.environ, **(extra or {})}


def for_job() -> dict[str, str]:
    """The environment for a job: this process's, without what belongs to a terminal, a login, a service manager or another
    job. ``PATH``, ``LANG``, an activated environment and tokens stay. ``TERM`` is ``dumb``.
    """
    kept = {name: value for name, value in os.environ.items() if not _NOT_FOR_JOBS.fullmatch(name)}
    return {**kept, "TERM": "dumb"}


def set_default(name: str, value: str) -> None:
    """Set a variable that a third-party library reads at import, unless the user set it."""
    os.environ.setdefault(name, value)


def _account_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "unknown"


def take(name: str) -> str:
    """Read and remove a variable that one ultralab process set for another. Raises KeyError."""
    return os.environ.pop(name)


def choose_gettext_language(language: str) -> None:
    """Tell the standard library's gettext (which click asks) which language to look for."""
    os.environ["LANGUAGE"] = language
