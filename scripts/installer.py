"""Get ``uv``, tell it what pip already knows about the network, run it, and explain its failures.

Standard library only, and runs on Python 3.6: this is what a fresh machine starts with.
"""
# ruff: noqa: UP022 - the newer spelling does not exist on Python 3.6

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OWN_UV = ROOT / ".setup" / "uv" / "bin" / "uv"
OLDEST_UV = (0, 8)
OLDEST_PIP = (19, 3)

# Where any of these is set, uv was configured on purpose and pip's settings stay out of its way.
UV_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
# These would aim uv at another environment than the project's own.
AIMED_ELSEWHERE = ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH", "PYTHONHOME")

NO_PIP = """This Python has no pip: {python}
  Debian, Ubuntu:  sudo apt install python3-pip
  Fedora:          sudo dnf install python3-pip
  macOS:           xcode-select --install   (or: brew install uv)
  anywhere:        put `uv` on the PATH; then pip is not needed"""

NO_NETWORK = (
    "dns error|failed to lookup|name resolution|connection refused|connection reset|network is unreachable|"
    "no route to host|timed out|tcp connect|error sending request|failed to fetch|max retries|newconnectionerror"
)
CAUSES = (
    (r"no space left on device|os error 28|errno 28", "The disk is full. Free about 2 GB here or in {cache}."),
    (r"hash mismatch|do not match the hashes|doesn't match", (
        "A download is not what the lock file promises: a proxy or a mirror changed it, or it was cut short. "
        "Run the command again; if it stays, ask who runs the mirror.")),
    (r"certificate|unknownissuer|tls handshake", (
        "A certificate was not accepted. Behind a company's proxy: "
        "set SSL_CERT_FILE to the file with its root certificate.")),
    (NO_NETWORK, (
        "The Python package index (or, for Python itself, GitHub) was not reached. "
        "Check the network; behind a proxy set HTTPS_PROXY; "
        "for a mirror set PIP_INDEX_URL or UV_DEFAULT_INDEX. What was fetched so far is kept.")),
    (r"permission denied|read-only file system", "The folder cannot be written: {root} (or {cache})."),
    (r"no matching distribution|has no wheels with a matching", (
        "There is no build for this system in the index that was asked: see README, what has been seen working.")),
)  # fmt: skip
# What uv tells about each package when all goes well; the sizes of large downloads stay.
QUIET = re.compile(r" [+~-] \S|\s*(Resolved|Downloaded|Prepared|Installed|Uninstalled|Audited|Building|Built) ")


class SetupError(Exception):
    """Set-up cannot go on; the text says why and what to do."""


def run(command: "list[str]", environment: "dict[str, str] | None" = None) -> "tuple[int, str]":
    """Run a program, pass its output on as it comes (without uv's lists); status and output."""
    process = subprocess.Popen(
        command, cwd=str(ROOT), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = []
    if process.stdout is not None:
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace")
            lines.append(line)
            if not QUIET.match(line):
                sys.stderr.write("  " + line)
                sys.stderr.flush()
    return process.wait(), "".join(lines)


def ask(command: "list[str]") -> "str | None":
    """What a program answers on standard output; None where it is missing or fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def find_uv() -> str:
    """The uv that is there and recent enough, else one that pip puts into ``.setup/``. Raises SetupError."""
    for candidate in (shutil.which("uv"), str(OWN_UV)):
        if candidate and version_in(ask([candidate, "--version"])) >= OLDEST_UV:
            return candidate
    say("Getting uv, the installer, into .setup/ (about 20 MB) ...")
    # uv is one native program: the Python that runs pip may be older than the one its metadata asks for.
    pip_install("uv.txt", OWN_UV.parents[1], capable_pip(), "--ignore-requires-python")
    if ask([str(OWN_UV), "--version"]) is None:
        raise SetupError(f"uv was installed and does not run: {OWN_UV}")
    return str(OWN_UV)


def capable_pip() -> "dict[str, str]":
    """The environment in which ``python -m pip`` knows today's wheels; raises SetupError where there is no pip."""
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    answer = ask([sys.executable, "-m", "pip", "--version"])
    if answer is None:
        raise SetupError(NO_PIP.format(python=sys.executable))
    if version_in(answer) < OLDEST_PIP:
        newer = ROOT / ".setup" / "pip"
        pip_install("old_pip.txt", newer, environment)
        environment["PYTHONPATH"] = str(newer)
    return environment


def pip_install(lock: str, target: Path, environment: "dict[str, str]", *options: str) -> None:
    """Install a lock file into a folder of its own. Raises SetupError.

    ``--target`` is not stopped by systems whose Python is "externally managed".
    """
    shutil.rmtree(str(target), ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", *options]
    where = ["--require-hashes", "--target", str(target), "-r", str(ROOT / "requirements" / lock)]
    status, output = run([*command, *where], environment)
    if status != 0:
        raise SetupError(explain(f"pip could not install {lock[:-4]}.", output))


def run_uv(uv: str, *arguments: str) -> None:
    """Run uv with pip's own index settings where uv has none. Raises SetupError with the cause.

    pip's *extra* indexes are only tried second: uv fails where one of them is out of reach, pip does not.
    """
    pip = pip_settings()
    status, output = run([uv, *arguments], uv_environment(dict(os.environ), pip))
    more = extra_indexes(dict(os.environ), pip) if arguments[0] == "pip" else {}
    if status != 0 and more and "No space left" not in output:
        say("Trying again with pip's extra indexes ...")
        status, output = run([uv, *arguments], {**uv_environment(dict(os.environ), pip), **more})
    if status != 0:
        raise SetupError(explain("`uv {}` failed.".format(" ".join(arguments[:2])), output))


def pip_settings() -> "dict[str, str]":
    """The settings that pip follows, by bare name (``index-url``), from its files and its environment variables."""
    settings = {}
    listed = ask([sys.executable, "-m", "pip", "config", "list"]) or ""
    for line in listed.splitlines():
        name, _equals, value = line.partition("=")
        section, _dot, key = name.rpartition(".")
        if section in ("global", "install"):
            settings[key] = str(ast.literal_eval(value))
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            settings[name[4:].lower().replace("_", "-")] = value
    return settings


def uv_environment(environment: "dict[str, str]", pip: "dict[str, str]") -> "dict[str, str]":
    """The environment for uv: pip's index, certificate and proxy where uv has none of its own."""
    result = {name: value for name, value in environment.items() if name not in AIMED_ELSEWHERE}
    if "index-url" in pip and not _uv_has_index(environment):
        result["UV_DEFAULT_INDEX"] = pip["index-url"]
        if "trusted-host" in pip:
            result.setdefault("UV_INSECURE_HOST", pip["trusted-host"])
    if "cert" in pip:
        result.setdefault("SSL_CERT_FILE", pip["cert"])
    if "proxy" in pip and not ({"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} & set(result)):
        result["ALL_PROXY"] = pip["proxy"]
    result.setdefault("UV_HTTP_TIMEOUT", pip.get("timeout", pip.get("default-timeout", "120")))
    return result


def extra_indexes(environment: "dict[str, str]", pip: "dict[str, str]") -> "dict[str, str]":
    """Extra indexes and link folders of pip, as variables for uv; empty where there are none or uv has its own."""
    if _uv_has_index(environment):
        return {}
    result = {}
    if "extra-index-url" in pip:
        result["UV_INDEX"] = " ".join(pip["extra-index-url"].split())
        # Safe here, and only here: every file must have a hash that the lock file names.
        result["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if "find-links" in pip:
        result["UV_FIND_LINKS"] = ",".join(pip["find-links"].split())
    return result


def explain(what: str, output: str) -> str:
    """``what`` failed, with the most likely cause read off the program's output."""
    cache = os.environ.get("UV_CACHE_DIR", "~/.cache/uv")
    for pattern, cause in CAUSES:
        if re.search(pattern, output, re.IGNORECASE):
            return f"{what}\n{cause.format(root=ROOT, cache=cache, python=sys.executable)}"
    return f"{what}\nThe lines above say why."


def say(text: str) -> None:
    """A line for the person who waits."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _uv_has_index(environment: "dict[str, str]") -> bool:
    if any(environment.get(name) for name in UV_INDEX_VARIABLES):
        return True
    configuration = Path(environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config"))
    named = environment.get("UV_CONFIG_FILE")
    files = [Path(named)] if named else [configuration / "uv" / "uv.toml", Path("/etc/uv/uv.toml")]
    return any(path.is_file() and "index" in path.read_text(encoding="utf-8") for path in files)


def version_in(answer: "str | None") -> "tuple[int, int]":
    """The first two numbers in what a program says of itself; zeros where there are none."""
    found = re.search(r"(\d+)\.(\d+)", answer or "")
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)
