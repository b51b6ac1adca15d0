"""What is shown while clips are read, and the further tables and pages of `mien analyze`."""

import csv
import io

import numpy as np
from rich.console import Console

from mien.results import preview
from mien.results.preview import Terminal, choose_preview
from mien.types import Face, Frame
from mien.video.ahead import Latency


def test_without_a_display_the_terminal_shows_it(monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    chosen = choose_preview()
    try:
        assert isinstance(chosen, Terminal)
        assert "no window (" in capsys.readouterr().err
    finally:
        chosen.close()


def test_the_terminal_has_a_line_for_each_of_the_likeliest_emotions():
    values = np.array([0.1, 0.7, 0.2, 0, 0, 0, 0, 0], np.float32)
    face = Face((0, 0, 9, 9), np.zeros((5, 2), np.float32), 0.9, 4, values)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(preview._table(Frame("c", 3, 0.1, (face,)), "frame 3, 25 frames/s"))
    title, _, first, second, third = console.export_text().splitlines()[:5]
    assert title.strip() == "frame 3, 25 frames/s"
    assert first.split()[:2] == ["4", "happiness"]
    assert first.count("\u2588") == round(preview.BAR_LENGTH * 0.7)
    assert ("surprise" in second, "neutral" in third) == (True, True)


def test_latency_is_told_in_milliseconds():
    assert str(Latency(0.0312, 0.0487, 9)) == "31 ms (median), 49 ms (95 %)"


def test_clips_are_shown_as_they_are_read_and_whoever_watches_can_end_it(
    mien, drawn_clip, tmp_path, monkeypatch
):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(Terminal, "__call__", lambda _self, frame, _pixels, _late: frame.index < 4)
    ran = mien("analyze", drawn_clip, "--show", "-o", tmp_path / "a.csv")
    assert ran.code == 0, ran.err
    with (tmp_path / "a.csv").open() as file:
        assert [row["frame"] for row in csv.DictReader(file)] == ["0", "1", "2", "3", "4"]


def test_events_and_pages_are_written_beside_the_table(mien, drawn_clip, tmp_path):
    events, pages = tmp_path / "events.parquet", tmp_path / "pages"
    ran = mien("analyze", drawn_clip, "-o", tmp_path / "a.csv", "--events", events, "--pages", pages)
    assert ran.code == 0, ran.err
    assert events.stat().st_size > 0
    assert sorted(path.name for path in pages.iterdir()) == ["drawn.mp4.html"]
    again = mien("analyze", drawn_clip, "-o", tmp_path / "b.csv", "--pages", pages)
    assert again.code == 1
    assert "exists" in again.err
    assert not (tmp_path / "b.csv").exists()
