"""Files appear whole or not at all."""

import os

import pytest

from mien.errors import DataError, OutputError
from mien.files import WholeFile, write_whole


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    with WholeFile(path, overwrite=False) as file:
        assert file.partial.name == f".a.txt.{os.getpid()}.part"
        file.partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert left(tmp_path) == ["a.txt"]


def test_what_another_run_wrote_meanwhile_stays(tmp_path):
    path = tmp_path / "a.txt"
    file = WholeFile(path, overwrite=False)
    file.partial.write_text("mine")
    path.write_text("theirs")
    with pytest.raises(OutputError, match=r"another run.*kept in .*\.part"):
        file.finish()
    assert (path.read_text(), file.partial.read_text()) == ("theirs", "mine")


def break_off(path, error, **options):
    with WholeFile(path, **options) as file:
        file.partial.write_text("half")
        raise error


FULL = OSError(28, "full")


@pytest.mark.parametrize(("error", "raised"), [(DataError("bad"), DataError), (FULL, OutputError)])
def test_what_breaks_off_leaves_the_old_file(tmp_path, error, raised):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(raised):
        break_off(path, error, overwrite=True)
    with pytest.raises(raised):
        write_whole(path, lambda _file: (_ for _ in ()).throw(error))
    assert path.read_text() == "old"
    assert left(tmp_path) == ["a.txt"]


def test_who_asks_keeps_what_was_written(tmp_path):
    with pytest.raises(OutputError, match=r"full.*kept in .*a\.txt"):
        break_off(tmp_path / "a.txt", FULL, overwrite=False, keep=True)
    assert (tmp_path / f".a.txt.{os.getpid()}.part").read_text() == "half"


def test_a_place_that_cannot_be_written_to_is_refused_first(tmp_path):
    (tmp_path / "a").write_text("there")
    (tmp_path / "folder").mkdir()
    for path, word in (
        (tmp_path / "a", "exists"),
        (tmp_path / "no" / "b", "cannot"),
        (tmp_path / "a/b", "cannot"),
    ):
        with pytest.raises(OutputError, match=word):
            WholeFile(path, overwrite=False)
    with pytest.raises(OutputError, match="folder"):
        WholeFile(tmp_path / "folder", overwrite=True)


def test_write_whole_makes_the_folder_and_takes_text_bytes_or_a_function(tmp_path):
    for content in ("é", "é".encode(), lambda file: file.write("é".encode())):
        write_whole(tmp_path / "new" / "a.txt", content)
        assert (tmp_path / "new" / "a.txt").read_bytes() == "é".encode()
    with pytest.raises(OutputError, match="cannot be made"):
        write_whole(tmp_path / "new" / "a.txt" / "b", "text")
