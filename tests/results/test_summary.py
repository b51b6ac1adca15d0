"""`mien summary`: one row per clip and track, against sums made the plain way."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mien.image import write_image
from mien.labels import EMOTIONS
from mien.results import failure_row, rows, summarize
from mien.results.rows import MEANS, SHARES
from mien.results.summary import FIGURES
from mien.types import Face, Frame
from mien.video.events import EXPRESSIONS, find_events
from written_table import shares


@some.composite
def clips(draw):
    """Frames of some clips, uneven in time, with up to three tracks; some are not read, some smoothed."""
    found = []
    for source in draw(some.lists(some.sampled_from("abc"), min_size=1, max_size=3, unique=True)):
        time = draw(some.floats(0, 100))
        for index in range(draw(some.integers(1, 12))):
            tracks = draw(some.sets(some.integers(1, 3)))
            found.append(Frame(source, index, time, tuple(draw(faces(track)) for track in sorted(tracks))))
            time += draw(some.sampled_from([0.04, 0.1, 0.25, 1.0]))
    return found


@some.composite
def faces(draw, track):
    p, smoothed = (draw(some.none() | shares) for _ in range(2))
    uncertain = draw(some.sampled_from([None, False, True]))
    return Face((1, 2, 3, 4), np.zeros((5, 2), np.float32), 0.9, track, p, None, None, uncertain, smoothed)


def lengths(frames):
    """Each frame of a clip with how long it lasts."""
    times = [frame.time for frame in frames]
    steps = [b - a for a, b in pairwise(times)]
    return list(zip(frames, [*steps, steps[-1] if steps else 0.0], strict=True))


@given(clips())
def test_each_track_is_summed_up(frames):
    got = {(row["source"], row["track"]): row for row in summarize(r for f in frames for r in rows(f))}
    wanted = set()
    for source in {frame.source for frame in frames}:
        clip = lengths([frame for frame in frames if frame.source == source])
        seen = defaultdict(list)
        for frame, seconds in clip:
            for face in frame.faces:
                seen[face.track].append((frame.time, seconds, face))
        wanted |= {(source, track) for track in seen} or {(source, None)}
        events = list(find_events(frame for frame, _ in clip))
        for track, parts in seen.items():
            row = got[source, track]
            assert row["frames"] == len(parts)
            assert row["seconds"] == pytest.approx(sum(seconds for _, seconds, _ in parts), abs=1e-6)
            assert row["clip_seconds"] == pytest.approx(sum(seconds for _, seconds in clip), abs=1e-6)
            assert row["first"] == pytest.approx(parts[0][0], abs=1e-6)
            assert row["last"] == pytest.approx(parts[-1][0] + parts[-1][1], abs=1e-6)
            check_shares(row, parts)
            for emotion in EXPRESSIONS:
                mine = [e.duration for e in events if (e.track, e.emotion) == (track, emotion)]
                assert row[f"events_{emotion}"] == len(mine)
                assert row[f"event_seconds_{emotion}"] == pytest.approx(sum(mine), abs=1e-6)
    assert set(got) == wanted


def check_shares(row, parts):
    read = [(seconds, face) for _, seconds, face in parts if face.probabilities is not None]
    if not read:
        assert {row[name] for name in (*SHARES, *MEANS)} == {None}
        return
    weights = [seconds for seconds, _ in read] if any(seconds for seconds, _ in read) else [1] * len(read)
    for i, emotion in enumerate(EMOTIONS):
        shown = np.average([face.emotion == emotion for _, face in read], weights=weights)
        mean = np.average([face.probabilities[i] for _, face in read], weights=weights)
        assert (row[f"share_{emotion}"], row[f"mean_{emotion}"]) == pytest.approx((shown, mean))
    told = all(face.uncertain is not None for _, face in read)  # otherwise nobody knows
    doubt = np.average([bool(face.uncertain) for _, face in read], weights=weights) if told else None
    assert row["share_uncertain"] == (doubt if doubt is None else pytest.approx(doubt))


def make_face(track, emotion):
    p = np.float32(np.eye(8)[EMOTIONS.index(emotion)])
    return Face((1, 2, 3, 4), np.zeros((5, 2), np.float32), 0.9, track, p)


def test_inputs_without_a_face_photos_and_broken_clips_have_a_row():
    frames = [
        Frame("empty.mp4", 0, 0.0, ()),
        Frame("empty.mp4", 1, 0.5, ()),
        Frame("photo.jpg", 0, None, (make_face(None, "fear"), make_face(None, "anger"))),
    ]
    broken = [*rows(Frame("half.mp4", 0, 1.0, (make_face(1, "fear"),))), failure_row("half.mp4")]
    table = [*(row for frame in frames for row in rows(frame)), failure_row("bad.mp4"), *broken]
    got = {row["source"]: row for row in summarize(table)}
    figures = ("track", "frames", "seconds", "clip_seconds", "share_fear", "events_fear")
    assert {source: tuple(row[name] for name in figures) for source, row in got.items()} == {
        "empty.mp4": (None, 0, 0.0, 1.0, None, 0),
        "photo.jpg": (None, 2, None, None, 0.5, None),
        "bad.mp4": (None, 0, None, None, None, None),
        "half.mp4": (1, 1, 0.0, 0.0, 1.0, 0),
    }
    assert all(set(row) == {"source", "track", *FIGURES} for row in got.values())


def test_what_a_table_does_not_tell_is_empty_and_not_0():
    """As py-feat's: without times, contempt and doubt; frames without a face are missing all the same."""
    table = [
        row for i in range(3) for row in rows(Frame("a.mp4", i, None, (make_face(1, "fear"),) * (i < 2)))
    ]
    (row,) = summarize([row | {"contempt": None, "uncertain": None} for row in table])
    names = ("mean_fear", "share_fear", "mean_contempt", "share_uncertain", "clip_frames", "missing_frames")
    assert [row[name] for name in names] == [1.0, 1.0, None, None, 3, 1]
    timed = [row | {"time": i / 10, "contempt": None, "uncertain": None} for i, row in enumerate(table)]
    (row,) = summarize(timed, baseline=(0, 0.1))
    names = ("uncertain_seconds", "mean_contempt", "baseline_contempt", "change_contempt", "change_fear")
    assert [row[name] for name in names] == [None, None, None, None, 0.0]


def test_analyze_and_summary_say_the_same(mien, tmp_path, drawn_clip, two_faces, tiny_model):
    write_image(tmp_path / "two.png", two_faces)
    inputs = (drawn_clip, tmp_path / "two.png", "--model", tiny_model)
    ran = mien("analyze", *inputs, "-o", tmp_path / "t.csv", "--summary", tmp_path / "a.csv")
    assert ran.code == 0
    ran = mien("summary", tmp_path / "t.csv", "-o", tmp_path / "b.csv", "--excel")
    assert ran.code == 0
    assert (tmp_path / "b.csv").read_bytes() == b"\xef\xbb\xbf" + (tmp_path / "a.csv").read_bytes()
    ran = mien("summary", tmp_path / "t.csv")
    assert ran.out == (tmp_path / "a.csv").read_bytes()
    got = pd.read_csv(tmp_path / "a.csv")
    assert list(got.columns) == ["source", "track", *FIGURES]
    assert list(got["track"].fillna(0)) == [1, 0]
