"""What is to be coded of a table, and the file of codes."""

import subprocess
import sys

import numpy as np
import pytest

from mien.errors import ConfigError, DataError, OutputError
from mien.evaluate.codes import read_codes
from mien.evaluate.review import CodeBook, ReviewTable, draw_items, most_doubtful_first
from mien.results.tables import write
from mien.types import Face, Frame

LANDMARKS = np.zeros((5, 2), np.float32)


def face(emotion=0, confidence=0.9, track=None, x=0.0, quality=None):
    p = np.full(8, (1 - confidence) / 7, np.float32)
    p[emotion] = confidence
    return Face((x, 10, 40, 50), LANDMARKS, 0.99, track=track, probabilities=p, quality=quality)


@pytest.fixture
def table(tmp_path):
    """A photo of two faces, one that failed, and 6 s of a clip, 10 a second: the face is gone from 3 to 4."""
    frames = [
        Frame("two.png", 0, None, (face(1, 0.5, x=5, quality=0.5), face(4))),
        Frame("gone.png", 0, None, ()),
    ]
    for i in range(60):
        seen = (face(2 if i < 20 else 1, track=7, x=i),) if not 30 <= i < 40 else ()
        frames.append(Frame("clip.mp4", i, i / 10, seen))
    write(frames, tmp_path / "faces.csv")
    return ReviewTable(tmp_path / "faces.csv")


def test_photos_are_taken_face_by_face_with_their_doubt(table):
    first, second = table.photos()
    assert (first.source, first.track, first.start, first.end) == ("two.png", 0, None, None)
    assert first.doubt == pytest.approx(1 - 0.5 * 0.5)
    assert (second.track, second.emotion, second.doubt) == (1, "anger", pytest.approx(0.1))
    assert most_doubtful_first([second, first]) == [first, second]


def test_stretches_hold_the_whole_time_in_sight_and_end_where_the_face_is_gone(table):
    found = [(item.start, item.end, item.emotion) for item in table.stretches(1.5)]
    assert found == [(0, 1.5, "surprise"), (1.5, 3, "happiness"), (4, 6, "happiness")]
    assert {item.key[:2] for item in table.stretches()} == {("clip.mp4", 7)}


def test_boxes_are_those_of_the_stretch_and_around_it(table):
    first = table.stretches(1.5)[1]
    boxes = table.boxes(first, 0.2)
    np.testing.assert_allclose(boxes[[0, -1], :2], [[1.3, 13], [2.9, 29]])
    np.testing.assert_allclose(table.boxes(table.photos()[0], 0.2)[0, 1:], [5, 10, 40, 50])


def test_events_are_taken_as_they_are(table, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        "source,track,emotion,onset,offset\nclip.mp4,7,AU45,0.1,0.2\nclip.mp4,7,surprise,0.2,1.8004\n"
    )
    (event,) = table.events(path)
    assert event.key == ("clip.mp4", 7, 0.2, 1.8)
    assert event.emotion == "surprise"
    path.write_text("source,track,emotion,onset,offset\nother.mp4,7,surprise,0.2,1.8\n")
    with pytest.raises(DataError, match=r"other\.mp4"):
        table.events(path)


def test_a_sample_is_the_same_for_a_seed_and_no_larger_than_what_there_is(table):
    items = table.stretches(0.5)
    assert draw_items(items, 4, 1) == draw_items(items, 4, 1) != draw_items(items, 4, 2)
    assert len(set(draw_items(items, len(items), 0))) == len(items)
    with pytest.raises(ConfigError, match="--random"):
        draw_items(items, len(items) + 1, 0)


def test_files_are_found_beside_the_table_or_where_they_were_moved_to(table, tmp_path):
    assert table.find_files() == {}
    (tmp_path / "clip.mp4").touch()
    assert table.find_files() == {"clip.mp4": tmp_path / "clip.mp4"}
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "clip.mp4").touch()
    assert table.find_files(moved) == {"clip.mp4": moved / "clip.mp4"}


def test_a_table_without_faces_is_told(tmp_path):
    write([Frame("a.png", 0, None, ())], tmp_path / "none.csv")
    with pytest.raises(DataError, match="faces"):
        ReviewTable(tmp_path / "none.csv")


def test_codes_are_kept_replaced_taken_back_and_read_again(table, tmp_path):
    path = tmp_path / "codes.csv"
    photo, stretch = table.photos()[0], table.stretches()[0]
    book = CodeBook(path)
    book.set("anna", photo, "fear")
    book.set("ben", photo, "none")
    book.set("anna", stretch, "cannot tell")
    book.set("anna", photo, "anger")
    assert [code.code for code in read_codes(path)] == ["none", "cannot tell", "anger"]
    book.close()
    again = CodeBook(path)
    assert [code.code for code in again.of("anna")] == ["cannot tell", "anger"]  # the last one last: to undo
    again.set("anna", stretch, None)
    again.set("anna", photo, None)
    again.set("ben", photo, None)
    assert not path.exists()
    again.close()
    CodeBook(path).close()


def test_codes_of_other_items_stay(table, tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("source,track,coder,start,end,code\nelse.mp4,3,anna,1,2,fear\n")
    book = CodeBook(path)
    book.set("anna", table.photos()[0], "anger")
    book.close()
    assert [code.source for code in read_codes(path)] == ["else.mp4", "two.png"]


def test_two_never_write_the_same_file(table, tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "codes.csv"
    book = CodeBook(path)
    code = (
        f"from pathlib import Path; from mien.evaluate.review import CodeBook; CodeBook(Path({str(path)!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another `mien review`" in ran.stderr
    book.close()
    CodeBook(path).close()


def test_what_is_no_file_of_codes_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError):
        CodeBook(path)
    assert path.read_text() == "a,b\n1,2\n"
    for bad in (tmp_path / "no" / "codes.csv", tmp_path):
        with pytest.raises((OutputError, ConfigError)):
            CodeBook(bad)
