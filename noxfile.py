"""The tests on each supported Python: `nox`, or `nox --session tests-3.12`; their coverage.

A Python that is not installed is skipped with a warning. `.ci/run` uses one Python; run this
before a release. Words after `--` are passed to pytest: `nox -s tests-3.12 -- -m "not slow"`.
"""

import nox

nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests"]


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """The test command of README, doctests included."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def checks(session: nox.Session) -> None:
    """Lint, format, types, import contracts."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python="3.11")
def coverage(session: nox.Session) -> None:
    """The lines and branches of src/ that the tests reach; an error below 95 %."""
    session.install("-e", ".[dev]")
    report = ["--cov-report=term-missing:skip-covered", "--cov-fail-under=95"]
    session.run("python", "-m", "pytest", "--cov", *report, *session.posargs)
