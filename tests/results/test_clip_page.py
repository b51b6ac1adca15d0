"""A clip's page: one file, bounded however long the clip, each number where it belongs."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mien.errors import VideoError
from mien.results.chart import HEIGHT, MAX_FACES, MAX_STEPS, SHOWN_FACES, FaceSeries, Timeline
from mien.results.draw import COLOURS
from mien.results.page import MAX_APEXES, MAX_EVENTS, ClipPage
from mien.types import Face, Frame
from mien.units import ACTION_UNITS, UNITS
from mien.video.events import EventFinder, EventOptions
from parsed_page import ParsedPage

POINTS = np.zeros((5, 2), np.float32)


def face(p, track=1, x=10):
    return Face((x, 10, 40, 40), POINTS, 0.9, track, smoothed=np.asarray(p, np.float32))


def shows(level, emotion=1):
    p = np.zeros(8)
    p[0], p[emotion] = 1 - level, level
    return p


def write(path, frames, *, pixels=lambda _: None, title="a clip.mp4"):
    """All frames and their events to a page; gives its text."""
    finder = EventFinder(EventOptions(units=True))
    with ClipPage(path, title) as page:
        for frame in frames:
            page.add(frame)
            for event in finder.push(frame, pixels(frame)):
                page.add_event(event)
        for event in finder.flush():
            page.add_event(event)
    return path.read_text("utf-8")


def clip(n=100, fps=25, tracks=1):
    levels = np.clip(np.sin(np.arange(n) / 12), 0.01, 0.95)
    return [
        Frame("a.mp4", i, i / fps, tuple(face(shows(level, 1 + t % 7), t + 1) for t in range(tracks)))
        for i, level in enumerate(levels)
    ]


def test_the_page_has_a_chart_marks_and_a_table_for_each_face(tmp_path):
    reader = ParsedPage(write(tmp_path / "p.html", clip(tracks=2)))
    assert [a["class"] for a in reader.all("svg") if "class" in a] == ["marks", "marks"]
    assert len(reader.all("svg")) == 4
    assert all(a["role"] == "img" and a["aria-label"] for a in reader.all("svg"))
    assert "Face 1: shows neutral most" in reader.text
    assert "events: surprise 2" in reader.text
    first, second = re.findall(r"</i>happiness</td><td>(.+?)</td></tr>", (tmp_path / "p.html").read_text())
    assert first.split("</td><td>")[:5] == ["0:00.2", "0:00.6", "0:01.4", "1.16", "95\u00a0%"]
    assert second.split("</td><td>")[-2:] == ["20", "end"]


def test_action_units_have_a_lane_each_apart_from_the_expressions(tmp_path):
    opened = np.array([0.8 * (unit in ACTION_UNITS["AU45"]) for unit in UNITS], np.float32)
    frames = [
        replace(frame, faces=(replace(frame.faces[0], movements=opened * (i % 20 < 4)),))
        for i, frame in enumerate(clip(tracks=1))
    ]
    reader = ParsedPage(write(tmp_path / "p.html", frames))
    assert [a.get("class") for a in reader.all("svg")] == [None, "marks", "marks"]
    assert [a["title"] for a in reader.all("span") if "title" in a] == ["AU45: 5"]
    assert "events: happiness 2" in reader.text
    assert "Face 1: 5 action unit events" in reader.text


def test_pictures_have_words_and_wide_tables_scroll_by_the_keyboard(tmp_path):
    grey = np.full((60, 80, 3), 120, np.uint8)
    reader = ParsedPage(write(tmp_path / "p.html", clip(), pixels=lambda _: grey))
    assert all(a["alt"] for a in reader.all("img"))
    assert [a["tabindex"] for a in reader.all("div") if a.get("class") == "scroll"] == ["0", "0"]
    assert "It is not a feeling" in reader.text


def test_names_cannot_break_the_file(tmp_path):
    evil = '<script>alert("1")</script>$title${x}&\udcff'
    frames = [Frame(f.source, f.index, f.time, f.faces, (evil,)) for f in clip()]
    text = write(tmp_path / "p.html", frames, title=evil)
    assert ParsedPage(text).text.count('<script>alert("1")</script>$title${x}&\\xff') == 3


def test_layers_have_the_areas_of_the_means():
    values = np.random.default_rng(3).dirichlet(np.ones(8), 40).astype(np.float32)
    values[10:15] = np.nan
    fills, paths = zip(*FaceSeries(1, np.arange(41.0), values).layers(), strict=True)
    assert fills == (*COLOURS.values(),)[::-1]
    under = [area(path) for path in paths[::-1]]  # each with all below it
    means = np.diff(under, prepend=0) / HEIGHT / 35
    np.testing.assert_allclose(means, np.nanmean(values, axis=0), atol=0.005)


def area(path):
    """Under the stairs of M, v, h and V."""
    total = 0
    for outline in path.removesuffix("z").split("z"):
        y = HEIGHT
        for command, number in re.findall(r"([vh])(-?\d+)", outline):
            y += int(number) if command == "v" else 0
            total += (HEIGHT - y) * int(number) if command == "h" else 0
    return total


def test_steps_merge_as_the_clip_grows_and_keep_the_means():
    rng, timeline = np.random.default_rng(0), Timeline()
    levels = rng.uniform(0, 1, 6000)
    for i, level in enumerate(levels):
        timeline.add(Frame("a", i, 3 + i / 32, (face(shows(level)),)))
    timeline.close()
    (track,), _ = timeline.series()
    assert MAX_STEPS / 2 < len(track.values) <= MAX_STEPS
    assert (track.edges[0], track.edges[-1]) == (3, 3 + 6000 / 32)
    assert timeline.seconds(1) == pytest.approx(6000 / 32)
    frames = int(timeline.step * 32)  # a step
    np.testing.assert_allclose(track.values[:, 1], levels.reshape(-1, frames).mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(track.values.sum(axis=1), 1, atol=1e-5)


def test_slow_clips_leave_no_holes_and_absent_faces_do():
    timeline = Timeline()
    for i in range(20):
        timeline.add(Frame("a", i, float(i), (face(shows(0.5)),) if i < 5 or i >= 10 else ()))
    timeline.close()
    (track,), _ = timeline.series()
    away = np.isnan(track.values[:, 0])
    middle = (track.edges[:-1] + track.edges[1:]) / 2
    np.testing.assert_array_equal(away, (middle > 5) & (middle < 10))


def test_a_crowd_is_cut_to_those_seen_longest():
    timeline = Timeline()
    for i in range(400):  # two stay, each other one is seen for a frame
        timeline.add(Frame("a", i, i / 25, (face(shows(0.1)), face(shows(0.2), 2), face(shows(0.3), 3 + i))))
        assert len(timeline._faces) <= MAX_FACES
    timeline.close()
    shown, more = timeline.series()
    assert [track.track for track in shown[:2]] == [1, 2]
    assert (len(shown), more) == (SHOWN_FACES, 402 - SHOWN_FACES)


def test_only_so_many_faces_have_a_chart(tmp_path):
    assert f"{20 - SHOWN_FACES} more faces" in write(tmp_path / "p.html", clip(tracks=20))


def test_each_expression_has_its_own_row_of_marks(tmp_path):
    shown = np.repeat([6, 1, 6], 20)  # fear, happiness, fear
    text = write(
        tmp_path / "p.html", [Frame("a", i, i / 25, (face(shows(0.9, k)),)) for i, k in enumerate(shown)]
    )
    assert re.findall(r'<rect x="[\d.]+" y="(\d+)"', text) == ["11", "1", "11"]


def test_the_face_at_each_apex_is_shown(tmp_path):
    """Every frame has its own gray: the picture must be that of the apex, cut from the face's box."""

    def pixels(frame):
        picture = np.zeros((60, 80, 3), np.uint8)
        picture[5:55, 5:55] = 60 + frame.index
        return picture

    text = write(tmp_path / "p.html", clip(150), pixels=pixels)
    shots = re.findall(r'alt="([^"]+)" src="data:image/jpeg;base64,([^"]+)"', text)
    assert [alt for alt, _ in shots] == ["Face 1 at the apex of happiness"] * 2
    grays = []
    for _, code in shots:
        with Image.open(io.BytesIO(base64.b64decode(code))) as image:
            assert max(image.size) <= 96
            grays.append(np.asarray(image)[12:-12, 12:-12].mean())
    levels = np.sin(np.arange(150) / 12)
    assert grays[0] == pytest.approx(60 + levels[:70].clip(max=0.95).argmax(), abs=1.5)
    assert grays[1] == pytest.approx(60 + 90, abs=5)


def test_pictures_and_events_are_bounded_to_the_strongest(tmp_path):
    rng = np.random.default_rng(0)
    peaks = rng.permutation(np.linspace(0.55, 0.99, 200))
    levels = np.concatenate([np.repeat([0.0, peak], [10, 10]) for peak in peaks])
    frames = [Frame("a", i, i / 25, (face(shows(p)),)) for i, p in enumerate(levels)]
    grey = np.full((60, 80, 3), 120, np.uint8)
    text = write(tmp_path / "p.html", frames, pixels=lambda _: grey)
    assert text.count("<img ") == MAX_APEXES
    assert f"Face 1: 200 events, the {MAX_EVENTS} strongest of them here" in text
    assert text.count("<rect ") == MAX_EVENTS
    kept = sorted(map(float, re.findall(r"happiness<br>(\d+)\u00a0% at", text)))
    assert kept == sorted(np.round(100 * np.sort(peaks)[-MAX_APEXES:]))
    assert not any("open" in a for a in ParsedPage(text).all("details"))


def test_runs_that_make_no_event_do_not_pile_up():
    finder, grey = EventFinder(), np.full((60, 80, 3), 120, np.uint8)
    for i in range(3000):
        level = 0.45 if i % 20 < 8 else 0.1
        frame = Frame("a", i, i / 25, (face(shows(level)), face(shows(level), 2 + i // 50)))
        assert not list(finder.push(frame, grey))
        assert sum(len(track.runs) for track in finder._tracks.values()) < 20


def test_a_face_outside_the_picture_has_no_thumb(tmp_path):
    frames = [Frame("a", i, i / 25, (face(shows(0.9), x=500),)) for i in range(20)]
    text = write(tmp_path / "p.html", frames, pixels=lambda _: np.zeros((60, 80, 3), np.uint8))
    assert "<img" not in text


def test_an_hour_of_three_faces_is_a_small_file(tmp_path):
    """A frame every eight seconds: the size is that of the steps, whatever their frames."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(8, 0.3), (450, 3)).astype(np.float32)
    noise = rng.integers(0, 255, (200, 200, 3), np.uint8)  # what a JPEG holds worst
    frames = [
        Frame("a", i, 8.0 * i, tuple(Face((20, 20, 120, 120), POINTS, 0.9, k + 1, p[i, k]) for k in range(3)))
        for i in range(450)
    ]
    text = write(tmp_path / "p.html", frames, pixels=lambda _: noise)
    assert len(text) < 2_000_000
    assert "1:00:00" in text or "60:00" in text


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [Frame("a", 0, 0.0, ())],
        [Frame("a", 0, 1.0, (face(shows(0.9)),))],
        [Frame("a", 0, None, (face(shows(0.9)),))],
        [Frame("a", i, 1.0, (face(shows(0.9)), face(shows(0.9), None))) for i in range(4)],
    ],
)
def test_a_clip_of_nearly_nothing_makes_a_file(tmp_path, frames):
    text = write(tmp_path / "p.html", frames)
    assert "No face was read" in text or "Face 1: shows happiness most" in text


@pytest.mark.parametrize(
    ("error", "kept"), [(ZeroDivisionError, False), (KeyboardInterrupt, True), (VideoError, True)]
)
def test_a_page_that_breaks_off_leaves_nothing_unless_it_was_asked_to_stop(tmp_path, error, kept):
    page = ClipPage(tmp_path / "p.html", "a")
    page.add(clip()[0])
    with pytest.raises(error), page:
        raise error("stop")
    assert (tmp_path / "p.html").exists() == kept
    assert len(list(tmp_path.iterdir())) == kept
