"""Make a release: set the version, date the changelog's section, commit, tag, and build.

    python tools/release.py 0.2.0 [--date 2026-12-01] [--no-build]

Run it in a clean clone, with the development requirements installed. It changes two files, in
one commit: `src/talweg/__init__.py`, the only place of the version, and `CHANGELOG.md`, whose
unreleased section gets the version and the date. It then tags the commit `v0.2.0` and builds
the source archive and the wheel into `dist/`. It pushes and uploads nothing.

Start reading at `release`.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

VERSION_FILE = "src/talweg/__init__.py"
CHANGELOG = "CHANGELOG.md"
UNRELEASED = re.compile(r"^## Unreleased.*$", re.MULTILINE)
VERSION = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)


class ReleaseError(Exception):
    """A release cannot be made; the message says why and what to do."""


def release(folder: Path, version: str, date: str, build: bool = True) -> None:
    """Make a release of the clone in a folder.

    Args:
        folder: a clone of the repository without uncommitted changes.
        version: the version, three integers: "0.2.0".
        date: year-month-day.
        build: whether to build the source archive and the wheel.

    Raises:
        ReleaseError: if the version is not a new one, or the clone is not clean.
    """
    if git(folder, "status", "--porcelain"):
        raise ReleaseError("there are uncommitted changes; commit or remove them first")
    if git(folder, "tag", "--list", f"v{version}"):
        raise ReleaseError(f"the tag v{version} exists; choose another version")
    for name, change in ((VERSION_FILE, with_version), (CHANGELOG, with_section)):
        path = folder / name
        path.write_text(change(path.read_text("utf-8"), version, date), "utf-8")
    git(folder, "commit", "--quiet", "--message", f"Release {version}", VERSION_FILE, CHANGELOG)
    git(folder, "tag", "--annotate", "--message", f"talweg {version}", f"v{version}")
    if build:
        command = [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(folder)]
        subprocess.run(command, check=True)


def with_version(text: str, version: str, date: str = "") -> str:
    """The package's first file with another version.

    Raises:
        ReleaseError: if the version is not three integers, or not above the current one.

    >>> with_version('__version__ = "0.1.0"', "0.2.0")
    '__version__ = "0.2.0"'
    """
    found = VERSION.search(text)
    if found is None:
        raise ReleaseError(f'{VERSION_FILE} has no line __version__ = "..."')
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ReleaseError(f"a version is three integers such as 0.2.0, got {version!r}")
    if numbers(version) < numbers(found[1]):
        raise ReleaseError(f"the version is {found[1]}; {version} is below it")
    return VERSION.sub(f'__version__ = "{version}"', text)


def with_section(text: str, version: str, date: str) -> str:
    r"""The changelog with its unreleased section dated, and an empty one above it.

    Raises:
        ReleaseError: if there is no unreleased section, or nothing is in it.

    >>> print(with_section("# Changelog\n\n## Unreleased\n\n- New.\n", "0.2.0", "2026-12-01"))
    # Changelog
    <BLANKLINE>
    ## Unreleased
    <BLANKLINE>
    ## 0.2.0, 2026-12-01
    <BLANKLINE>
    - New.
    <BLANKLINE>
    """
    found = UNRELEASED.search(text)
    if found is None:
        raise ReleaseError(f'{CHANGELOG} has no section "## Unreleased"')
    section, *_ = re.split(r"^## ", text[found.end() :], maxsplit=1, flags=re.MULTILINE)
    if not section.strip():
        raise ReleaseError(f"nothing is in the unreleased section of {CHANGELOG}")
    head = f"## Unreleased\n\n## {version}, {date}"
    return text[: found.start()] + head + text[found.end() :]


def numbers(version: str) -> list[int]:
    """The parts of a version, to be compared.

    >>> numbers("0.10.0") > numbers("0.9.1")
    True
    """
    return [int(part) for part in version.split(".")]


def git(folder: Path, *words: str) -> str:
    """What a git command prints."""
    done = subprocess.run(
        ["git", "-C", str(folder), *words], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ReleaseError(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def main(words: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    parser = argparse.ArgumentParser(description="Make a release of talweg in this clone.")
    parser.add_argument("version", help="three integers, for example 0.2.0")
    parser.add_argument("--date", default=today, help="year-month-day (default: today)")
    parser.add_argument("--no-build", action="store_true", help="only commit and tag")
    options = parser.parse_args(words)
    folder = Path(__file__).resolve().parents[1]
    try:
        release(folder, options.version, options.date, build=not options.no_build)
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"talweg {options.version} is committed and tagged. Next: git push --follow-tags")
    return 0


if __name__ == "__main__":
    sys.exit(main())
