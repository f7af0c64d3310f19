"""Files are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from talweg._util.atomic_files import write_new, write_whole


def entries(folder):
    return sorted(os.listdir(folder))  # noqa: PTH208 - names with a leading dot as well


def test_text_bytes_and_paths(tmp_path):
    assert write_whole(tmp_path / "a.txt", "Größe\n") == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_bytes() == "Größe\n".encode()
    write_whole(str(tmp_path / "b"), b"\x00\xff\r\n")
    assert (tmp_path / "b").read_bytes() == b"\x00\xff\r\n"
    assert entries(tmp_path) == ["a.txt", "b"]


@pytest.mark.parametrize(
    ("owner", "name"),
    [(os, "fsync"), (Path, "replace"), (os, "fsync-interrupt")],
)
def test_a_crash_leaves_the_old_file_unchanged(tmp_path, monkeypatch, owner, name):
    target = tmp_path / "model"
    target.write_text("old")
    error = KeyboardInterrupt if name.endswith("interrupt") else OSError(28, "No space left")

    def fail(*_):
        raise error

    monkeypatch.setattr(owner, name.removesuffix("-interrupt"), fail)
    with pytest.raises(type(error) if isinstance(error, OSError) else error) as caught:
        write_whole(target, "new")
    monkeypatch.undo()
    assert target.read_text() == "old"
    assert entries(tmp_path) == ["model"]
    if isinstance(error, OSError):
        assert str(target) in str(caught.value)  # the user's file, not the temporary one


def test_the_old_file_exists_until_the_new_one_is_complete(tmp_path, monkeypatch):
    target = tmp_path / "model"
    target.write_text("old")
    replace = Path.replace

    def look_first(self, other):
        assert target.read_text() == "old"
        assert self.read_text() == "new"
        assert self.parent == target.parent  # a rename between file systems is not one step
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", look_first)
    write_whole(target, "new")
    assert target.read_text() == "new"


def test_a_folder_that_is_missing_is_named(tmp_path):
    target = tmp_path / "missing" / "a.csv"
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(target, "x")
    assert str(caught.value) == f"[Errno 2] No such file or directory: '{target}'"
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        write_whole(tmp_path / "file" / "a.csv", "x")
    assert entries(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="permissions, links and pipes of POSIX")
def test_permissions_links_and_devices_stay_what_they_are(tmp_path):
    private = tmp_path / "private"
    private.write_text("old")
    private.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(private)
    write_whole(link, "new")
    assert link.is_symlink()
    assert private.read_text() == "new"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600

    mask = os.umask(0o027)
    try:
        write_whole(tmp_path / "fresh", "x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_none(tmp_path, monkeypatch, links):
    def not_here(self, target):
        raise OSError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", not_here)
    assert write_new(tmp_path / "a", "mine") == tmp_path / "a"
    with pytest.raises(FileExistsError, match=r"a'$"):
        write_new(tmp_path / "a", "yours")
    assert (tmp_path / "a").read_text() == "mine"
    assert entries(tmp_path) == ["a"]
