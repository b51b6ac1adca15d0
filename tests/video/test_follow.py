"""Frames of a clip to tracked faces, several at a time."""

import threading
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

import mien
from mien.errors import VideoError
from mien.types import Face
from mien.video.ahead import read_ahead
from mien.video.follow import BATCH, Follower, KeyFrame, carry_box, settle
from mien.video.frames import Video, VideoFrame

LANDMARKS = np.array([[3, 4], [7, 4], [5, 6], [4, 8], [6, 8]], np.float32)


def face(x, track=None, side=40.0):
    return Face((x, 10.0, side, side), LANDMARKS + np.float32(x), 0.9, track)


def video_frames(places):
    """A frame for each list of x positions; the pixels hold the frame's number."""
    for i in range(len(places)):
        yield VideoFrame(np.full((60, 200, 3), i, np.uint8), i, i / 10)


def follower(places, asked=None, **options):
    """A follower whose detector knows where the faces are, and notes which frames it was asked for."""

    def detect(pixels):
        number = int(pixels[0, 0, 0])
        if asked is not None:
            asked.append(number)
        time.sleep(0.002 * (number % 3))  # threads finish in another order
        return [face(float(x)) for x in places[number]]

    def follow(pixels, faces):
        here = places[int(pixels[0, 0, 0])]
        moved = [min(here, key=lambda x: abs(x - one.landmarks[0, 0] + 3), default=None) for one in faces]
        if len(here) < len(faces):
            return None
        return [replace(one, landmarks=face(float(x)).landmarks) for one, x in zip(faces, moved, strict=True)]

    return Follower(detect, lambda _pixels, faces: [list(some) for some in faces], follow=follow, **options)


def run(places, **options):
    return [
        frame
        for batch in follower(places, **options).batches(video_frames(places), "clip")
        for frame, _ in batch.frames
    ]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("detect_every", [1, 3, 5, 100])
def test_every_frame_comes_once_in_order_with_its_faces(threads, detect_every):
    places = [[10 + 2 * i, 120 - i] if 7 <= i < 22 else [10 + 2 * i] for i in range(41)]
    found = run(places, threads=threads, detect_every=detect_every)
    assert [one.index for one in found] == list(range(41))
    if detect_every < 100:  # with 100 the first and the last frame alone are looked at
        assert [[f.box[0] for f in one.faces] for one in found] == [
            pytest.approx([float(x) for x in xs]) for xs in places
        ]


def test_faces_that_stay_are_looked_for_in_each_nth_frame_alone():
    places, asked = [[10 + 2 * i] for i in range(24)], []
    run(places, asked=asked, detect_every=5, threads=1)
    assert sorted(asked) == [0, 5, 10, 15, 20, 23], "and in the last one"


def test_where_a_face_comes_or_goes_every_frame_is_looked_at():
    places = [[10] if i < 13 else [] for i in range(26)]
    asked = []
    found = run(places, asked=asked, detect_every=5, threads=1)
    assert set(range(10, 16)) <= set(asked)
    assert [len(one.faces) for one in found] == [len(xs) for xs in places]


@pytest.mark.parametrize("threads", [1, 4])
def test_followed_faces_keep_their_numbers_when_they_are_found_in_another_order(threads):
    places = [[10 + 2 * i, 120 - i][:: -1 if i // 5 % 2 else 1] for i in range(31)]
    asked = []
    for i, one in enumerate(run(places, asked=asked, detect_every=5, threads=threads)):
        assert {f.track: f.box[0] for f in one.faces} == pytest.approx({1: 10 + 2 * i, 2: 120 - i})
    assert sorted(asked) == [0, 5, 10, 15, 20, 25, 30], "nobody came or went"


def test_faces_are_followed_while_the_caller_is_busy():
    places, asked, here = [[10]] * 40, [], threading.get_ident()
    subject = follower(places, detect_every=10, threads=1)
    follow = subject._follow
    subject._follow = lambda pixels, faces: (asked.append(threading.get_ident()), follow(pixels, faces))[1]
    assert sum(len(batch.frames) for batch in subject.batches(video_frames(places), "clip")) == 40
    assert len(asked) >= 30
    assert here not in asked


def test_one_that_goes_on_gives_what_an_uninterrupted_one_gives():
    places = [[10 + 2 * i, 120 - i] if 7 <= i < 22 else [10 + 2 * i] for i in range(41)]
    for detect_every in (1, 4):
        whole = run(places, detect_every=detect_every)
        first = follower(places, detect_every=detect_every)
        batches = first.batches(video_frames(places), "clip")
        begun = next(batches)
        assert len(begun.frames) >= BATCH
        batches.close()
        second = follower(places, detect_every=detect_every, state=begun.state)
        rest = [frame for frame in video_frames(places) if frame.index > begun.frames[-1][0].index]
        frames = begun.frames + [pair for batch in second.batches(rest, "clip") for pair in batch.frames]
        assert [[(f.track, f.box) for f in one.faces] for one, _ in frames] == [
            [(f.track, f.box) for f in one.faces] for one in whole
        ]


def test_frames_before_a_failure_come_before_it():
    def broken():
        yield from video_frames([[10]] * 11)
        raise VideoError("the rest is gone")

    batches, found = follower([[10]] * 11).batches(broken(), "clip"), []
    with pytest.raises(VideoError, match="the rest is gone"):
        found.extend(iter(lambda: next(batches), None))
    assert sum(len(batch.frames) for batch in found) == 11


def test_a_followed_box_moves_with_the_landmarks_from_one_that_was_found_to_the_next():
    before, after = KeyFrame(1.0, (face(10, 1), face(90, 2))), KeyFrame(2.0, (face(80, 2), face(20, 1, 48.0)))
    followed = [replace(face(0, 2), landmarks=LANDMARKS + 84), replace(face(0, 1), landmarks=LANDMARKS + 14)]
    faces = settle(before, after, 1.25, followed)
    assert [(f.track, f.box[0]) for f in faces] == [(2, 84), (1, pytest.approx(14))]
    assert faces[1].box[2] == pytest.approx(42), "a quarter of the way from 40 to 48"
    assert np.array_equal(faces[1].landmarks, LANDMARKS + 14)


@pytest.mark.parametrize("turn", [0, 30, 90])
def test_a_box_is_carried_with_its_landmarks(turn):
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    moved = (2 * LANDMARKS @ np.array([[c, s], [-s, c]]) + [30, 5]).astype(np.float32)
    box = carry_box(face(0), moved)
    middle = 2 * np.array([[c, -s], [s, c]]) @ [20, 30] + [30, 5]
    assert box[2:] == pytest.approx([80, 80], rel=1e-5)
    assert box[:2] + box[2:] / 2 == pytest.approx(middle, rel=1e-5)


def test_a_clip_gives_the_same_numbers_with_any_threads_and_detections_between(drawn_clip):
    analyzer = mien.load()
    runs = []
    for options in ({"threads": 1}, {"threads": 2}):
        with Video(drawn_clip) as video:
            follower = analyzer.follower(**options)
            runs.append([frame for frame, _ in analyzer.follow(video, source="c", follower=follower)])
    for one, two in zip(*runs, strict=True):
        assert (one.index, one.time, len(one.faces)) == (two.index, two.time, len(two.faces))
        for a, b in zip(one.faces, two.faces, strict=True):
            assert (a.box, a.track) == (b.box, b.track)
            assert np.array_equal(a.probabilities, b.probabilities)
    few = list(analyzer.video(drawn_clip, detect_every=4))
    assert [(f.index, len(f.faces)) for f in few] == [(f.index, len(f.faces)) for f in runs[0]]


def test_a_video_may_be_closed_while_another_thread_reads(drawn_clip):
    video = Video(drawn_clip)
    with closing(read_ahead(video, 1)) as frames:
        next(frames)
        video.close()
        assert len(list(frames)) <= 12


def test_reading_ahead_stops_with_its_reader():
    threads = threading.active_count()
    frames = read_ahead(iter(range(1000)), 2)
    assert [next(frames), next(frames)] == [0, 1]
    frames.close()
    assert threading.active_count() == threads


#: First and last frame with a face, as seen by eye in single frames; there is one face at most.
SEEN = {"face_noface.mov": (0, 71), "noface_face.mov": (96, 167), "no_face.mp4": None}


@pytest.mark.parametrize("detect_every", [pytest.param(1, marks=pytest.mark.slow), 5])
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("face_noface.mov", "noface_face.mov")]
    + ["no_face.mp4"],
)
def test_a_face_comes_and_goes_when_the_eye_says_so(media, name, detect_every):
    frames = list(mien.load().video(media / name, detect_every=detect_every))
    found = [frame.index for frame in frames if frame.faces]
    assert {face.track for frame in frames for face in frame.faces} <= {1}
    if SEEN[name] is None:
        assert found == []
        return
    first, last = SEEN[name]
    assert abs(found[0] - first) <= 3
    assert abs(found[-1] - last) <= 3
    assert len(found) == found[-1] - found[0] + 1, "seen all the time between"


def test_frames_far_apart_are_all_looked_at_and_so_is_a_shot_between(draw_scene):
    face, nobody = draw_scene((60, 40, 160)), draw_scene()
    analyzer = mien.load()
    seen = [len(frame) for frame in analyzer.video([nobody] * 2 + [face] * 7 + [nobody] * 2, rate=1)]
    assert seen == [0] * 2 + [1] * 7 + [0] * 2
    other = np.random.default_rng(0).integers(0, 256, face.shape, np.uint8)
    seen = [len(frame) for frame in analyzer.video([face] * 4 + [other] * 3 + [face] * 6, rate=25)]
    assert seen == [1] * 4 + [0] * 3 + [1] * 6


def test_pictures_that_are_faces_stay_whole_through_a_clip(draw_scene):
    head = draw_scene((60, 40, 160))[40:200, 60:220]
    frames = list(mien.load(crops=True).video([head] * 12, rate=25))
    assert {frame.faces[0].box for frame in frames} == {(0.0, 0.0, 160.0, 160.0)}
