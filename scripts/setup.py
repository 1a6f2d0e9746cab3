"""Make the project's own environment: ``.venv`` with locked dependencies and the command ``ultralab``.

    python3 scripts/setup.py          what the product needs
    python3 scripts/setup.py --dev    and what its tests and checks need

Standard library only, and runs on Python 3.6. Doing it again costs nothing where nothing changed.
"""

import sys

if sys.version_info < (3, 6):  # noqa: UP036 - a machine's `python3` may be older than the project's
    sys.exit("This Python is too old even to set up another one: 3.6 or newer is needed here.")

import argparse
import hashlib
import json
import os
import platform
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "ultralab-setup.json"
REQUIREMENTS = ROOT / "requirements"
LOCALE = ROOT / "src" / "ultralab" / "locale"

OLDEST, NEWEST = (3, 11), (3, 14)  # every locked wheel exists for these
FETCHED = ">=3.11,<3.15"
NAMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3")
FACTS = (
    "import sys, platform; print(sys.executable, *sys.version_info[:2], platform.machine(), sys.implementation.name)"
)

NO_PYTHON = """No Python {oldest} to {newest} is on the PATH, and uv could not fetch one. Install one, then try again:
  macOS:           brew install python@3.13
  Debian 12+:      sudo apt install python3
  Ubuntu:          sudo apt install python3.12
  conda:           conda create -n py python=3.13 && conda activate py"""


def main() -> int:
    """Set up what is missing; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dev", action="store_true", help="install what tests and checks need, too")
    wanted = "dev" if parser.parse_args().dev else "runtime"
    done = read_stamp()
    if not is_current(done, wanted):
        from installer import SetupError

        try:
            install(wanted)
        except SetupError as failure:
            sys.stderr.write(f"\nSet-up stopped: {failure}\n")
            return 1
        except KeyboardInterrupt:
            sys.stderr.write("\nInterrupted. Run it again: what was fetched is kept.\n")
            return 130
    elif done.get("translations") != translations_digest():
        compile_translations()
    return 0


def install(wanted: str) -> None:
    """Create ``.venv`` if need be and install the locked packages and the project. Raises SetupError."""
    from installer import find_uv, run_uv, say

    if VENV.exists() and not is_usable():
        remove_venv()
    uv = find_uv()
    if not VENV.exists():
        make_venv(uv)
    save_stamp({"root": str(ROOT)})  # from here until the end, the stamp promises nothing
    files = ["dev.txt"] if wanted == "dev" else ["runtime.txt", "build.txt"]
    say("Installing the locked packages into .venv ...")
    arguments = [part for name in files for part in ("-r", str(REQUIREMENTS / name))]
    target = ("--python", str(PYTHON))
    run_uv(uv, "pip", "install", *target, "--require-hashes", "--only-binary", ":all:", *arguments)
    run_uv(uv, "pip", "install", *target, "--offline", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    write_stamp(wanted)
    say("Ready: .venv/bin/ultralab")


def make_venv(uv: str) -> None:
    """Create ``.venv`` from a Python that is there, else from one that uv fetches. Raises SetupError."""
    from installer import SetupError, run_uv, say

    found = find_python()
    if found is None:
        say(f"No Python {shown(OLDEST)} to {shown(NEWEST)} is on the PATH: uv will fetch one ...")
    try:
        run_uv(uv, "venv", "--quiet", "--no-project", "--prompt", "ultralab", "--python", found or FETCHED, str(VENV))
    except SetupError as failure:
        if found is not None:
            raise
        advice = NO_PYTHON.format(oldest=shown(OLDEST), newest=shown(NEWEST))
        raise SetupError(f"{failure}\n\n{advice}") from failure


def find_python() -> "str | None":
    """The first of :data:`NAMES` that fits, as an absolute path; None where none does."""
    from installer import ask

    for name in NAMES:
        path = shutil.which(name)
        facts = (ask([path, "-c", FACTS]) or "").rsplit(None, 4) if path else []
        if len(facts) == 5 and fits(*facts[1:]):
            return facts[0]
    return None


def fits(major: str, minor: str, machine: str, implementation: str) -> bool:
    """Whether such an interpreter can run the locked wheels.

    An Intel build under Rosetta on Apple silicon is refused: it would get engines without Metal.
    """
    if not OLDEST <= (int(major), int(minor)) <= NEWEST or implementation != "cpython":
        return False
    return not (platform.system() == "Darwin" and machine == "x86_64" and is_apple_silicon())


def is_apple_silicon() -> bool:
    """Whether the hardware is Apple silicon, also when asked from a translated process."""
    from installer import ask

    return ask(["sysctl", "-n", "hw.optional.arm64"]) == "1"


def is_usable() -> bool:
    """Whether ``.venv`` was made here, by a Python that is still there and fits."""
    from installer import ask

    made_at = read_stamp().get("root", str(ROOT))
    facts = (ask([str(PYTHON), "-c", FACTS]) or "").rsplit(None, 4)
    return made_at == str(ROOT) and len(facts) == 5 and fits(*facts[1:])


def remove_venv() -> None:
    """Remove ``.venv``, if it is an environment at all. Raises SetupError."""
    from installer import SetupError, say

    if not (VENV / "pyvenv.cfg").is_file():
        raise SetupError(f"{VENV} exists and is no Python environment: move it away, then try again.")
    say("Removing .venv: it was made in another place or by a Python that is gone.")
    shutil.rmtree(str(VENV))


def is_current(done: "dict[str, str]", wanted: str) -> bool:
    """Whether the stamp proves that ``wanted`` is installed; the development set holds the runtime's."""
    here = done.get("root") == str(ROOT) and PYTHON.exists() and (VENV / "bin" / "ultralab").exists()
    kinds = ("dev",) if wanted == "dev" else ("runtime", "dev")
    return here and any(done.get(kind) == digest(kind) for kind in kinds)


def digest(kind: str) -> str:
    """SHA-256 over everything that decides what is installed."""
    files = [REQUIREMENTS / f"{kind}.txt", REQUIREMENTS / "build.txt", ROOT / "pyproject.toml"]
    return digest_of([*files, ROOT / "src" / "ultralab" / "__init__.py"])


def translations_digest() -> str:
    """SHA-256 over the message catalogues, and over which of them are compiled."""
    sources = sorted(LOCALE.glob("*/LC_MESSAGES/*.po"))
    compiled = [path.name for path in sources if path.with_suffix(".mo").exists()]
    return digest_of(sources) + f"-{len(compiled)}"


def digest_of(files: "list[Path]") -> str:
    """SHA-256 over the contents of files."""
    total = hashlib.sha256()
    for path in files:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def compile_translations() -> None:
    """Compile the message catalogues; the stamp learns it."""
    from installer import ask

    if ask([str(PYTHON), str(ROOT / "scripts" / "build_translations.py")]) is None:
        sys.stderr.write("The message catalogues could not be compiled: see scripts/translations.py check\n")
        return
    save_stamp({**read_stamp(), "translations": translations_digest()})


def read_stamp() -> "dict[str, str]":
    """What was installed the last time; empty where nothing is known."""
    try:
        content = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_stamp(wanted: str) -> None:
    """Record what is installed now."""
    save_stamp({"root": str(ROOT), wanted: digest(wanted), "translations": translations_digest()})


def save_stamp(content: "dict[str, str]") -> None:
    """Write the stamp; atomically, since two targets of one make may set up at once."""
    fresh = STAMP.with_name(f"{STAMP.name}.{os.getpid()}")
    fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    fresh.replace(STAMP)


def shown(version: "tuple[int, int]") -> str:
    """``(3, 11)`` as ``3.11``."""
    return ".".join(str(part) for part in version)


if __name__ == "__main__":
    sys.exit(main())
