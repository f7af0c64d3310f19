"""The release script on a scratch clone: version, changelog, commit, tag; and what it refuses."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)

GIT = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C"]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository with the two files that a release changes, and the script."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    for name in (script.VERSION_FILE, "tools/release.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / script.CHANGELOG).write_text("# Changelog\n\n## Unreleased\n\n- News.\n")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "All"]):
        subprocess.run([*GIT, str(tmp_path), *words], check=True)
    return tmp_path


def test_a_release_is_one_commit_with_a_tag(clone):
    script.release(clone, "9.8.7", "2030-01-02", build=False)
    assert script.git(clone, "status", "--porcelain") == ""
    assert script.git(clone, "log", "-1", "--format=%s") == "Release 9.8.7"
    assert script.git(clone, "describe", "--exact-match") == "v9.8.7"
    assert '\n__version__ = "9.8.7"\n' in (clone / script.VERSION_FILE).read_text()
    changelog = (clone / script.CHANGELOG).read_text()
    assert changelog == "# Changelog\n\n## Unreleased\n\n## 9.8.7, 2030-01-02\n\n- News.\n"


def test_a_second_release_of_one_version_is_refused(clone):
    script.release(clone, "9.8.7", "2030-01-02", build=False)
    with pytest.raises(script.ReleaseError, match=r"the tag v9\.8\.7 exists"):
        script.release(clone, "9.8.7", "2030-01-02", build=False)
    with pytest.raises(script.ReleaseError, match="nothing is in the unreleased section"):
        script.release(clone, "9.8.8", "2030-01-02", build=False)


def test_uncommitted_changes_are_refused(clone):
    (clone / "new.txt").write_text("new")
    with pytest.raises(script.ReleaseError, match="uncommitted changes"):
        script.release(clone, "9.8.7", "2030-01-02", build=False)


@pytest.mark.parametrize(
    ("version", "message"),
    [("1.0", "three integers"), ("1.0.0rc1", "three integers"), ("0.0.1", "is below it")],
)
def test_versions_that_are_refused(clone, version, message):
    with pytest.raises(script.ReleaseError, match=message):
        script.release(clone, version, "2030-01-02", build=False)
    assert script.git(clone, "tag") == ""


def test_the_command_prints_one_line_for_an_error(clone):
    command = ["python3", str(clone / "tools" / "release.py"), "1", "--no-build"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: a version is three integers such as 0.2.0, got '1'\n"


def test_the_project_can_be_released():
    """Its two files have what the script looks for."""
    package, changelog = ((ROOT / n).read_text() for n in (script.VERSION_FILE, script.CHANGELOG))
    assert script.with_version(package, "99.0.0") != package
    assert "## 99.0.0, 2030-01-02" in script.with_section(changelog, "99.0.0", "2030-01-02")
