"""The lab's tree: whole in both languages, completed but never overwritten, in git, in any folder."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from ultralab.kernel.checks import Finding
from ultralab.kernel.errors import FileAccess, InvalidSpec, RequestError, UnknownChoice
from ultralab.pages import parts_of
from ultralab.settings import load, set_value
from ultralab.setup.tree import Created, create_lab, doctor_checks, documents

LANGUAGES = ("en", "zh_CN")
COMMANDS = {
    "init",
    "machine",
    "models",
    "experiments",
    "run",
    "demo",
    "doctor",
    "selftest",
    "config",
    "plugins",
    "plan",
}
VERBS = {
    "models": {"inspect", "pull", "adopt", "list", "show", "tag", "prune"},
    "experiments": {"run", "list", "show", "report"},
    "config": {"list"},
    "plan": {"show", "fits", "limits"},
}
TREE = {
    "README.md", "prd.md", "architecture.md", "setup_guide.md", "maintenance.md", "docs_changelog.md",
    "environments/README.md", "environments/templates/README.md", "models/README.md", "models/catalog.md",
    "models/large_models.md", "experiments/README.md", "experiments/templates/README.md", "tools/README.md",
    "scripts/README.md", "vibe_coding/README.md", "vibe_coding/cursor_rules.md", "vibe_coding/code_snippets.md",
    *(f"knowledge_base/{name}.md" for name in (
        "README", "troubleshooting", "best_practices", "lessons_learned", "performance", "memory_management",
        "model_loading", "mps_issues", "remote_access", "io_operations",
    )),
}  # fmt: skip
EXAMPLES = {"experiments/templates/quantization_tradeoff.yaml", "experiments/templates/the_quiet_machine.txt"}


@pytest.fixture(autouse=True)
def _own_git(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose git knows no name, whatever machine the tests run on."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)


def git(home: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(home), *arguments], check=True, capture_output=True, text=True).stdout


def contents(home: Path) -> dict[str, bytes]:
    files = (path for path in sorted(home.rglob("*")) if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(params=LANGUAGES)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    home = tmp_path / "lab"
    create_lab(home, language=request.param, author="Ada")
    return home


def test_a_new_lab_is_whole_and_committed(tmp_path: Path) -> None:
    home = tmp_path / "实验 室 🙂"
    done = create_lab(home, language="zh_CN", author="王 小明\n")
    assert set(documents("en")) == set(documents("zh_CN")) == TREE
    assert done == Created(
        home, new=True, files=tuple(sorted({*TREE, *EXAMPLES, "lab.toml", ".gitignore"})), git="created"
    )
    assert {item.name for item in home.iterdir() if item.is_dir()} >= {"store", "state", "models", ".git"}
    assert (home / "models" / "metadata").is_dir()
    assert (load(home).language, load(home).author) == ("zh_CN", "王 小明")
    assert git(home, "status", "--porcelain") == ""
    assert git(home, "log", "--format=%an|%s") == "王 小明|Start the lab\n"
    tracked = git(home, "ls-files", "-z").split("\0")[:-1]
    assert set(tracked) == {*TREE, *EXAMPLES, "lab.toml", ".gitignore"}
    assert (home / "README.md").read_text().startswith("# 实验室：实验 室 🙂\n")


def test_completing_a_lab_changes_nothing_that_is_there(made: Path) -> None:
    before = contents(made)
    assert create_lab(made) == Created(made, new=False, files=(), git="present")
    assert contents(made) == before
    assert git(made, "rev-list", "--count", "HEAD") == "1\n"


def test_the_owners_text_stays_and_what_is_missing_comes_back(made: Path) -> None:
    prd, guide = made / "prd.md", made / "setup_guide.md"
    original = guide.read_text()
    prd.write_text(prd.read_text().replace("## ", "## My ") + "\r\nmine")
    catalog = made / "models" / "catalog.md"
    table = re.sub(r"(begin catalog -->\n).*\n", r"\1a table\n", catalog.read_text())
    catalog.write_text(table)
    (made / "tools" / "README.md").unlink()
    guide.write_text(original.replace("```bash\n   ultralab init PATH", "```bash\n   old text") + "note\n")
    (made / "mine.txt").write_text("untracked")
    git(made, "add", "mine.txt")
    done = create_lab(made)
    assert done == Created(made, new=False, files=("prd.md", "setup_guide.md", "tools/README.md"), git="present")
    assert guide.read_text() == original + "note\n"
    assert prd.read_bytes().endswith(b"\r\nmine")
    assert "## My " in prd.read_text()
    assert catalog.read_text() == table
    # What the owner had not committed is still the owner's to commit, file by file.
    assert git(made, "status", "--porcelain").split() == [
        "A", "mine.txt", "M", "models/catalog.md", "M", "prd.md", "M", "setup_guide.md",
    ]  # fmt: skip


def test_an_interrupted_making_is_completed(tmp_path: Path) -> None:
    whole = tmp_path / "whole" / "lab"
    create_lab(whole, language="en", author="Ada")
    home = tmp_path / "half" / "lab"
    home.mkdir(parents=True)
    git(home, "init", "-q")
    (home / "lab.toml").write_bytes((whole / "lab.toml").read_bytes())
    (home / "README.md").write_bytes((whole / "README.md").read_bytes())
    done = create_lab(home)
    assert (done.new, done.git, done.warning, len(done.files)) == (False, "present", "", len(TREE | EXAMPLES))
    assert contents(home) == contents(whole)
    assert git(home, "ls-files") == git(whole, "ls-files")
    assert git(home, "status", "--porcelain") == ""


def test_a_folder_that_holds_only_leftovers_counts_as_empty(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".lab.toml.x1.part").write_text("lang")  # killed while the very first file was written
    (tmp_path / ".DS_Store").write_text("")
    assert create_lab(tmp_path, language="en", author="Ada").new
    assert git(tmp_path, "status", "--porcelain") == "?? .lab.toml.x1.part\n"


def test_a_lab_inside_another_repository_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert create_lab(tmp_path / "lab", language="en", author="Ada").git == "created"
    monkeypatch.delenv("GIT_DIR")
    assert git(tmp_path / "lab", "rev-parse", "--show-toplevel").strip() == str((tmp_path / "lab").resolve())
    assert git(tmp_path / "lab", "config", "--get-all", "core.bare") == "false\n"
    assert git(tmp_path, "status", "--porcelain") == "?? lab/\n"


def test_the_users_own_git_identity_is_used(tmp_path: Path) -> None:
    subprocess.run(["git", "config", "--global", "user.name", "Grace"], check=True)
    subprocess.run(["git", "config", "--global", "user.email", "grace@example.org"], check=True)
    create_lab(tmp_path / "lab", language="en", author="Ada")
    assert git(tmp_path / "lab", "log", "--format=%an %ae") == "Grace grace@example.org\n"


def test_without_git_the_lab_is_whole_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = create_lab(tmp_path / "lab", language="en", author="Ada")
    assert (done.new, done.git, len(done.files)) == (True, "unavailable", len(TREE | EXAMPLES) + 2)
    assert done.warning.startswith("The program 'git' is not installed. Install git")


def test_a_refusal_of_git_is_a_warning(tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\necho no ticket >&2\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    subprocess.run(["git", "config", "--global", "core.hooksPath", str(hooks)], check=True)
    done = create_lab(tmp_path / "lab", language="en", author="Ada")
    assert done.git == "present"
    assert "failed with status 1: no ticket" in done.warning


def test_auto_commit_off_leaves_commits_to_the_owner(made: Path) -> None:
    set_value(made, "git.auto_commit", "false")
    (made / "prd.md").unlink()
    assert create_lab(made).files == ("prd.md",)
    assert git(made, "status", "--porcelain") == " M lab.toml\n"  # prd.md is back as it was
    assert git(made, "rev-list", "--count", "HEAD") == "1\n"


def test_the_owners_gitignore_is_added_to(tmp_path: Path) -> None:
    home = tmp_path / "lab"
    create_lab(home, language="en", author="Ada")
    (home / ".gitignore").write_text("*.log\nstore/")
    assert create_lab(home).files == (".gitignore",)
    assert (home / ".gitignore").read_text() == "*.log\nstore/\n/state\n.DS_Store\n"


def test_places_where_no_lab_can_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(RequestError) as is_file:
        create_lab(file)
    assert is_file.value.message == f"{file} is a file, not a folder."
    with pytest.raises(RequestError) as full:
        create_lab(tmp_path)
    assert full.value.message == f"{tmp_path} is not empty and is not a lab (it has no lab.toml)."
    assert full.value.hint == "Name a new or empty folder: ultralab init PATH."
    with pytest.raises(FileAccess):
        create_lab(file / "lab")
    with pytest.raises(UnknownChoice):
        create_lab(tmp_path / "lab", language="de")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "lab.toml").write_text("language = 1\n")
    with pytest.raises(InvalidSpec):
        create_lab(tmp_path / "broken")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["broken", "file"]
    assert sorted(item.name for item in (tmp_path / "broken").iterdir()) == ["lab.toml"]


def test_a_parent_that_cannot_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        parent = Path(folder)
        parent.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # permissions do not bind root
        try:
            with pytest.raises(FileAccess) as refused:
                create_lab(parent / "lab", language="en", author="Ada")
        finally:
            os.seteuid(user)
            parent.chmod(0o755)
    assert refused.value.message == f"{parent / 'lab' / 'lab.toml'}: Permission denied"
    assert refused.value.hint == "Check the path and its permissions."


def test_a_store_on_a_disk_that_is_not_there(made: Path) -> None:
    (made / "store").rmdir()
    (made / "store").symlink_to(made.parent / "disk" / "store")
    with pytest.raises(FileAccess) as refused:
        create_lab(made)
    assert refused.value.message == f"{made / 'store'} points to {made.parent}/disk/store, which is not there."
    (made.parent / "disk" / "store").mkdir(parents=True)
    assert create_lab(made).files == ()
    assert git(made, "status", "--porcelain") == ""


def test_doctor_names_what_is_missing(made: Path) -> None:
    (check,) = doctor_checks(made)
    assert check.run() == Finding("pass", "33 of 33")
    (made / "prd.md").unlink()
    assert check.run() == Finding("warn", "missing: prd.md", f"Complete the lab with: ultralab init {made}")


def test_every_document_is_sound(made: Path) -> None:
    markdown = MarkdownIt("commonmark").enable("table")
    for name in documents():
        text = (made / name).read_text()
        tokens = markdown.parse(text)
        headings = [token.tag for token in tokens if token.type == "heading_open"]
        assert headings[0] == "h1", name
        assert headings.count("h1") == 1, name
        assert {"metadata", "guide"} <= set(parts_of(text)), name
        assert re.search(
            r"^- \*\*\w+\*\*: \d{4}-\d{2}-\d{2}\n- \*\*\w+\*\*: Ada\n- \*\*\w+\*\*: 1\.0$", text, re.MULTILINE
        ), name
        assert not re.search(r"TODO|\[\]|\]\(\)|\{\{|\}\}|\{%", text), name
        assert all(token.info for token in tokens if token.type == "fence"), f"{name}: a code block names no language"
        for token in tokens:
            for child in token.children or ():
                if child.type == "link_open":
                    target = (made / name).parent / str(child.attrs["href"])
                    assert target.exists(), f"{name} -> {child.attrs['href']}"


def test_documents_name_only_commands_that_exist(made: Path) -> None:
    seen = set()
    for name in documents():
        tokens = MarkdownIt().parse((made / name).read_text())
        code = [token.content for token in tokens if token.type == "fence" and token.info == "bash"]
        code += [c.content for token in tokens for c in token.children or () if c.type == "code_inline"]
        for words in re.findall(r"^ *ultralab ((?:[a-z]+ ?)+)", "\n".join(code), re.MULTILINE):
            command, *rest = words.split()
            assert command in COMMANDS, f"{name}: {words}"
            assert not (rest and command in VERBS) or rest[0] in VERBS[command], f"{name}: {words}"
            seen.add(command)
    assert seen == COMMANDS


def test_code_in_documents_is_valid_python(made: Path) -> None:
    code = [
        token.content
        for token in MarkdownIt().parse((made / "vibe_coding" / "code_snippets.md").read_text())
        if token.type == "fence" and token.info == "python"
    ]
    assert [[item.name for item in ast.parse(text).body if isinstance(item, ast.FunctionDef)] for text in code] == [
        ["write_whole"], ["sha256_of"], ["ask"],
    ]  # fmt: skip
    names: dict[str, object] = {}
    exec(code[0], names)
    writer = names["write_whole"]
    assert callable(writer)
    writer(made / "a" / "b.txt", "中文")
    assert (made / "a" / "b.txt").read_text() == "中文"


def test_both_languages_say_the_same(tmp_path: Path) -> None:
    for language in LANGUAGES:
        create_lab(tmp_path / language, language=language, author="Ada")
    for name in documents():
        shapes = []
        for language in LANGUAGES:
            tokens = MarkdownIt("commonmark").enable("table").parse((tmp_path / language / name).read_text())
            links = [c.attrs["href"] for t in tokens for c in t.children or () if c.type == "link_open"]
            shapes.append(([t.type for t in tokens if t.type != "text"], sorted(map(str, links))))
        assert shapes[0] == shapes[1], name


def test_the_example_in_the_templates_is_a_valid_experiment(made: Path) -> None:
    from ultralab.experiments.spec import load_spec

    folder = made / "experiments" / "templates"
    tokens = MarkdownIt().parse((folder / "README.md").read_text())
    (text,) = (token.content for token in tokens if token.type == "fence" and token.info == "yaml")
    (folder / "text.txt").write_text("words\n")
    (folder / "e.yaml").write_text(text)
    spec = load_spec(folder / "e.yaml", engines=["llamacpp"], quantizations=["Q8_0", "Q5_1", "Q4_0"]).spec
    assert (spec.experiment, spec.variants) == ("quantization_tradeoff", ("Q8_0", "Q5_1", "Q4_0"))
