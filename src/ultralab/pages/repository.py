"""The lab's own git repository: readable text is kept in it, large and volatile things are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ultralab.kernel.errors import ToolFailed
from ultralab.kernel.ids import slug
from ultralab.system import process


@dataclass(frozen=True)
class Repository:
    """The repository of the lab at ``home``, even inside another one's work tree. Every method may raise ToolFailed."""

    home: Path
    author: str

    def exists(self) -> bool:
        """Whether it was made."""
        return (self.home / ".git").exists()

    def make(self) -> None:
        """Make it. Idempotent."""
        self._git("init", "-q", str(self.home), work_tree=False)

    def has_commit(self) -> bool:
        """Whether anything was committed yet."""
        return self._git("rev-parse", "-q", "--verify", "HEAD", check=False).status == 0

    def touched(self) -> frozenset[str]:
        """Files with changes that nobody committed yet, relative to ``home``: a commit of ours leaves them alone."""
        if not self.exists() or not self.has_commit():
            return frozenset()
        answer = self._git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
        return frozenset(entry[3:] for entry in answer.stdout.split("\0") if entry)

    def commit(self, names: Iterable[str], message: str) -> bool:
        """Commit exactly these files, nothing else that may be staged; whether there was anything to commit."""
        chosen = sorted(names)
        if not chosen:
            return False
        self._git("add", "--", *chosen)
        if not self._git("status", "--porcelain", "--", *chosen).stdout.strip():
            return False
        # A signature would ask for a passphrase on a terminal that we do not own.
        self._git(*self._identity(), "commit", "-q", "--no-gpg-sign", "-m", message, "--", *chosen)
        return True

    def head(self) -> tuple[str, bool]:
        """The commit that is checked out and whether tracked files differ from it; empty where there is none."""
        if not self.exists() or not self.has_commit():
            return "", False
        commit = self._git("rev-parse", "HEAD").stdout.strip()
        changes = self._git("status", "--porcelain", "--untracked-files=no").stdout.strip()
        return commit, bool(changes)

    def _identity(self) -> tuple[str, ...]:
        """Options that name the author, only as far as the user's own git configuration does not."""
        given = {"user.name": self.author, "user.email": f"{slug(self.author, 'lab')}@localhost"}
        missing = [key for key in given if not self._git("config", key, check=False).stdout.strip()]
        return tuple(word for key in missing for word in ("-c", f"{key}={given[key]}"))

    def _git(self, *arguments: str, check: bool = True, work_tree: bool = True) -> process.Answer:
        """Run git on this repository and no other, whatever folder or GIT_DIR surrounds it."""
        where = (f"--git-dir={self.home / '.git'}", *((f"--work-tree={self.home}",) if work_tree else ()))
        return process.run(("git", *where, *arguments), cwd=self.home, check=check)


def committed(repository: Repository, paths: Iterable[Path], message: str) -> str:
    """Commit ``paths`` (absolute, below ``home``) where there is a repository; git's refusal as a sentence, or ""."""
    try:
        if repository.exists():
            repository.commit((str(path.relative_to(repository.home)) for path in paths), message)
    except ToolFailed as error:
        return error.message
    return ""
