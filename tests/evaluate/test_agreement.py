"""How far raters agree: statistics against a kept library, counting and worked examples; who is matched."""

import tempfile
from itertools import combinations, pairwise
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mien import write
from mien.errors import ConfigError, DataError
from mien.evaluate.agreement import ROWS, agree, alpha, icc, kappa, kappa_max, one_against_rest, pair_events
from mien.evaluate.codes import CODES, Code, write_codes
from mien.evaluate.ratings import LABELS, AgreeOptions
from mien.labels import EMOTIONS
from mien.types import Face, Frame

STEP = 0.1


def close(value):
    return pytest.approx(value, abs=1e-9, nan_ok=True)


def moments(source, coder, said, start=0, track=None):
    """A code for each moment; None: not coded."""
    return [
        Code(source, track, coder, (start + i) * STEP, (start + i + 1) * STEP, code)
        for i, code in enumerate(said)
        if code is not None
    ]


def table(path, clips, uncertain=None):
    """A table of frames, one a moment: source to frames, each the emotions of its faces (None: no face)."""
    frames = []
    for source, shows in clips.items():
        for index, shown in enumerate(shows):
            words = shown if isinstance(shown, tuple) else (shown,)
            faces = tuple(
                face(word, track, bool(uncertain and uncertain(index)))
                for track, word in enumerate(words, 1)
                if word is not None
            )
            frames.append(Frame(source, index, None if source.endswith(".jpg") else index * STEP, faces))
    write(frames, path)
    return path


def face(word, track, uncertain=False):
    p = np.full(8, 0.04, np.float32)
    p[EMOTIONS.index(word)] = 0.72
    return Face((0, 0, 9 - track, 9), np.zeros((5, 2), np.float32), 0.9, track, p, uncertain=uncertain)


# --- statistics


said = some.lists(
    some.lists(some.sampled_from(CODES[:4] + CODES[-2:]), min_size=3, max_size=3), min_size=4, max_size=30
)


@given(some.lists(said, min_size=1, max_size=3))
def test_kappa_alpha_and_percent_are_those_of_a_kept_library_and_of_counting(clips):
    codes = [
        code
        for n, rows in enumerate(clips)
        for r, name in enumerate("abc")
        for code in moments(f"{n}.mp4", name, [row[r] for row in rows])
    ]
    found = agree_codes(codes, draws=2)
    values = np.array(
        [[CODES.index(word) for word in row] for rows in clips for row in rows], float
    ).T  # (3, N)
    values[values == CODES.index("cannot tell")] = np.nan
    for pair, (a, b) in zip(found.pairs, combinations(range(3), 2), strict=True):
        both = values[[a, b]][:, ~np.isnan(values[[a, b]]).any(axis=0)].astype(int)
        assert pair.moments == both.shape[1]
        check_pair(pair, both)
        assert pair.figures["alpha"].value[0] == close(alpha_of(both.astype(float)))
    (group,) = found.groups
    assert group.alpha.value[0] == close(alpha_of(values))
    for k in range(len(LABELS)):
        of_label = np.where(np.isnan(values), np.nan, values == k)
        assert group.alpha.value[1 + k] == close(alpha_of(of_label))


def check_pair(pair, both):
    if not both.size:
        assert np.isnan(pair.figures["kappa"].value).all()
        return
    for row in range(len(ROWS)):
        first, second = both if row == 0 else both == row - 1
        assert pair.figures["percent"].value[row] == close((first == second).mean())
        assert pair.figures["kappa"].value[row] == close(kappa_of(first, second))
        if row:
            assert pair.rates[:, row] == close([first.mean(), second.mean()])


def kappa_of(first, second):
    """Cohen's kappa, counted; nan where both say the same one word always."""
    by_chance = sum((first == k).mean() * (second == k).mean() for k in {*first, *second})
    return ((first == second).mean() - by_chance) / (1 - by_chance) if by_chance < 1 else np.nan


def agree_codes(codes, **options):
    """What people say, compared without a table."""
    with tempfile.TemporaryDirectory() as folder:
        write_codes(codes, Path(folder) / "codes.csv")
        return agree(Path(folder) / "codes.csv", [], AgreeOptions(**options))


def alpha_of(values):
    """By the library, nan where all pairable values are the same."""
    values = values[:, (~np.isnan(values)).sum(axis=0) > 1]
    if len(np.unique(values[~np.isnan(values)])) < 2:
        return np.nan
    return krippendorff.alpha(reliability_data=values, level_of_measurement="nominal")


def test_alpha_of_the_textbook():
    """Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, C: four observers, alpha .743."""
    x = np.nan
    values = np.array([
        [1, 2, 3, 3, 2, 1, 4, 1, 2, x, x, x],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, x, 3],
        [x, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, x],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, x],
    ])  # fmt: skip
    words = [[None if np.isnan(v) else EMOTIONS[int(v)] for v in row] for row in values]
    found = agree_codes(
        [c for name, row in zip("abcd", words, strict=True) for c in moments("a.mp4", name, row)]
    )
    assert found.groups[0].alpha.value[0] == pytest.approx(0.743, abs=5e-4)
    assert found.groups[0].alpha.value[0] == close(alpha_of(values))


def test_kappa_of_cohens_own_example():
    """Cohen 1960, table 1, in proportions: kappa .492; the greatest that its margins allow is .831 or so."""
    counts = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]], float)
    first, second = (np.repeat(rows.ravel(), counts.ravel().astype(int)) for rows in np.indices(counts.shape))
    assert kappa(counts) == close(kappa_of(first, second))
    assert kappa(counts) == pytest.approx(0.4915, abs=5e-5)
    # margins .6 .3 .1 and .5 .3 .2: 0.9 could agree, 0.41 would by chance
    assert kappa_max(counts) == close((0.9 - 0.41) / (1 - 0.41))
    assert one_against_rest(counts)[0].tolist() == [[88, 32], [12, 68]]


def icc_of(values):
    """Of (N targets, R raters)."""
    sums = [len(values), *values.sum(axis=0), (values**2).sum(), (values.sum(axis=1) ** 2).sum()]
    return [float(one) for one in icc(np.array(sums, float), values.shape[1])]


def test_icc_of_the_textbook_and_of_a_library():
    """Shrout and Fleiss 1979, table 2: .29 and .71; the digits are those of pingouin 0.7.0."""
    four = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
    )
    assert icc_of(four) == close([0.28976377952755916, 0.7148407148407154])
    draw = np.random.default_rng(1)
    two = (draw.random((40, 1)) + draw.normal(0, 0.3, (40, 2))).round(2)
    assert icc_of(two) == close([0.514243223027907, 0.5084001920890424])
    assert np.isnan(icc_of(np.ones((1, 2)))).all()


def test_figures_of_nothing_are_not_numbers():
    nothing = np.zeros((9, 9))
    assert np.isnan([kappa(nothing), alpha(nothing), kappa_max(nothing)]).all()
    assert np.isnan(icc_of(np.empty((0, 2)))).all()


spans = some.lists(some.integers(0, 60), min_size=0, max_size=8, unique=True).map(
    lambda ends: [(a / 10, b / 10) for a, b in zip(*[iter(sorted(ends))] * 2, strict=False)]
)


@settings(max_examples=40)
@given(spans, spans, some.sampled_from([0.0, 0.5]))
def test_events_are_paired_as_well_as_can_be(first, second, tolerance):
    def worth(i, j):
        (a, b), (c, d) = first[i], second[j]
        apart = max(a, c) - min(b, d)
        return 0 if apart > tolerance else 1 + max(0, -apart) / (max(b, d) - min(a, c))

    def best(i, j):
        if i == len(first) or j == len(second):
            return 0
        return max(best(i + 1, j), best(i, j + 1), (worth(i, j) and worth(i, j) + best(i + 1, j + 1)))

    pairs = pair_events(first, second, tolerance)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))
    assert all(worth(i, j) for i, j in pairs)
    assert sum(worth(i, j) for i, j in pairs) == close(best(0, 0))


def test_intervals_come_from_clips_not_from_moments():
    draw = np.random.default_rng(3)
    words = {f"{n}.mp4": draw.choice(EMOTIONS[:3], (2, 6)).tolist() for n in range(12)}

    def found(times):
        return agree_codes([
            code
            for source, both in words.items()
            for name, row in zip("ab", both, strict=True)
            for code in moments(source, name, [word for word in row for _ in range(times)])
        ]).pairs[0]  # fmt: skip

    short, long = found(1), found(20)
    assert long.moments == 20 * short.moments
    for name in ("percent", "kappa"):
        a, b = short.figures[name], long.figures[name]
        assert (a.value[0], a.low[0], a.high[0]) == close((b.value[0], b.low[0], b.high[0]))
        assert a.low[0] < a.value[0] < a.high[0]
    # percent agreement is a mean over equal clips: its error is that of their means
    shares = np.array([np.mean(np.array(a) == b) for a, b in words.values()])
    error = shares.std() / np.sqrt(len(shares))
    figure = short.figures["percent"]
    assert figure.high[0] - figure.low[0] == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_one_clip_has_no_interval():
    pair = agree_codes(
        [*moments("a.mp4", "a", ["fear"] * 9), *moments("a.mp4", "b", ["fear", "anger"] * 4)]
    ).pairs[0]
    assert pair.figures["percent"].value[0] == 0.5
    assert np.isnan([pair.figures["percent"].low, pair.figures["percent"].high]).all()


# --- Mien and people


def test_a_coder_without_numbers_is_compared_with_the_largest_face(tmp_path):
    shows = [("fear", "anger"), ("fear", "anger"), (None, "anger"), (None, None), ("sadness", "anger")]
    path = table(tmp_path / "t.csv", {"films/a.mp4": shows})
    codes = moments("a.mp4", "x", ["fear", "neutral", "anger", "anger", "sadness"])
    found = agree(path, codes)
    pair = found.pairs[0]
    assert (pair.first, pair.second, pair.moments) == ("Mien", "x", 4)
    assert pair.counts.trace() == 3
    assert pair.seconds == pytest.approx(0.4)
    assert any("1 moments that people coded have no face" in note for note in found.notes)
    second = agree(path, moments("a.mp4", "x", ["anger"] * 5, track=2)).pairs[0]
    assert (second.moments, second.counts.trace()) == (4, 4)


def test_what_has_no_counterpart_is_named(tmp_path):
    clips = {
        "films/a.mp4": [("fear", "anger")] * 4,
        "b.mp4": ["fear"] * 4,
        "x/c.mp4": ["fear"] * 2,
        "y/c.mp4": ["fear"] * 2,
    }
    codes = [
        *moments(r"D:\lab\A.avi".replace("A", "a"), "x", ["fear"] * 4, track=1),
        *moments("a.mp4", "x", ["fear"], track=7),
        *moments("c.mp4", "x", ["fear"]),
        *moments("away.mp4", "x", ["fear"]),
    ]
    found = agree(table(tmp_path / "t.csv", clips), codes)
    assert found.left_out == {
        "not in the table: people are compared among themselves alone": ["c.mp4", "away.mp4"],
        "in the table, coded by nobody": ["b.mp4", "x/c.mp4", "y/c.mp4"],
        "faces that people coded and the table does not have": ["films/a.mp4: 7"],
        "faces of the table that nobody coded": ["films/a.mp4: 2"],
    }
    assert found.pairs[0].moments == 4


def test_gaps_count_as_asked_where_a_face_is_seen(tmp_path):
    path = table(tmp_path / "t.csv", {"a.mp4": ["neutral", "fear", "fear", "anger", None, "neutral"]})
    codes = moments("a.mp4", "x", [None, "fear", "cannot tell", None, None, None])
    missing, neutral, none = (
        agree(path, codes, AgreeOptions(gaps=gaps)) for gaps in ("missing", "neutral", "none")
    )
    assert [one.pairs[0].moments for one in (missing, neutral, none)] == [1, 4, 4]
    assert neutral.pairs[0].counts.trace() == 3
    assert none.pairs[0].counts[:, LABELS.index("none")].sum() == 3
    assert any("--gaps neutral" in note for note in missing.notes)
    assert not any("--gaps" in note for note in neutral.notes)


def test_a_moment_coded_twice_is_missing_and_said(tmp_path):
    path = table(tmp_path / "t.csv", {"a.mp4": ["fear"] * 4})
    codes = [*moments("a.mp4", "x", ["fear"] * 4), *moments("a.mp4", "x", ["anger"])]
    found = agree(path, codes)
    assert found.pairs[0].moments == 3
    assert any("1 moments are coded twice" in note for note in found.notes)


def test_doubtful_moments_are_counted_apart(tmp_path):
    path = table(tmp_path / "t.csv", {"a.mp4": ["fear"] * 10}, uncertain=lambda i: i < 4)
    codes = moments("a.mp4", "x", ["anger"] * 3 + ["fear"] * 6 + ["anger"])
    assert agree(path, codes).pairs[0].doubtful == (4, pytest.approx(1 / 4), pytest.approx(5 / 6))


def test_agreement_at_the_coders_rate_of_use(tmp_path):
    draw = np.random.default_rng(2)
    p = draw.dirichlet(np.ones(8), 60).astype(np.float32)
    faces = [Face((0, 0, 9, 9), np.zeros((5, 2), np.float32), 0.9, 1, row) for row in p]
    write([Frame("a.mp4", i, i * STEP, (one,)) for i, one in enumerate(faces)], tmp_path / "t.csv")
    words = [EMOTIONS[k] for k in (p + draw.random((60, 8)) / 3).argmax(axis=1)]
    pair = agree(tmp_path / "t.csv", moments("a.mp4", "x", words)).pairs[0]
    for k, emotion in enumerate(EMOTIONS):
        coded = np.array([word == emotion for word in words])
        shown = np.zeros(60, bool)
        shown[np.argsort(-p[:, k])[: coded.sum()]] = True
        wanted = kappa_of(shown, coded) if coded.any() else np.nan
        assert pair.figures["kappa_at_rate"].value[1 + k] == close(wanted)


def test_intensities_are_compared_with_probabilities(tmp_path):
    shows = ["fear", "fear", "anger", "neutral", "fear", "anger"]
    path = table(tmp_path / "t.csv", {"a.mp4": shows})
    given = [4, 2, None, 0, 5, 1]
    codes = [
        Code("a.mp4", 1, "x", i * STEP, (i + 1) * STEP, word, level)
        for i, (word, level) in enumerate(zip(shows, given, strict=True))
    ]
    with pytest.raises(DataError, match="intensities from 0 to 1, got 4"):
        agree(path, codes)
    pair = agree(path, codes, AgreeOptions(intensity_max=5)).pairs[0]
    p = np.where(np.array(shows) == "fear", np.float32(0.72), np.float32(0.04)).astype(float)
    coded = np.array([0.8, 0.4, 0, 0, 1, 0])
    for measure, wanted in zip(("icc_2_1", "icc_3_1"), icc_of(np.stack([p, coded], axis=1)), strict=True):
        assert pair.figures[measure].value[ROWS.index("fear")] == close(wanted)
    more = [*codes, Code("a.mp4", 1, "x", 0.1, 0.4, "fear", 3), Code("a.mp4", 1, "x", 0.0, 0.1, "fear", 4)]
    kept = [0, 4, 5]  # the second is coded twice, 2 and 3; the next two with another expression as well
    wanted = icc_of(np.stack([p, coded], axis=1)[kept])[0]
    for order in (more, more[::-1]):
        pair = agree(path, order, AgreeOptions(intensity_max=5)).pairs[0]
        assert pair.figures["icc_2_1"].value[ROWS.index("fear")] == close(wanted)
    without = agree(path, moments("a.mp4", "x", shows)).pairs[0]
    assert np.isnan(without.figures["icc_2_1"].value).all()


def test_events_are_compared_by_onset_offset_and_overlap(tmp_path):
    shows = ["neutral"] * 10 + ["fear"] * 10 + ["neutral"] * 20 + ["anger"] * 10 + ["neutral"] * 10
    path = table(tmp_path / "t.csv", {"a.mp4": shows})
    codes = [
        Code("a.mp4", None, "x", 0, 1.2, "neutral"),
        Code("a.mp4", None, "x", 1.2, 1.5, "fear"),  # these touch: one event
        Code("a.mp4", None, "x", 1.5, 1.7, "fear"),
        Code("a.mp4", None, "x", 1.7, 2.1, "fear"),
        Code("a.mp4", None, "x", 2.1, 3.0, "neutral"),
        Code("a.mp4", None, "x", 3.0, 3.5, "surprise"),
        Code("a.mp4", None, "x", 3.5, 4.0, "neutral"),
    ]  # the anger lies where nothing is coded
    pair = agree(path, codes, AgreeOptions(tolerance=0.25)).pairs[0]
    of = {name: pair.events[ROWS.index(name)].tolist() for name in ("in all", "fear", "surprise", "anger")}
    assert of == {
        "in all": [1, 2, 1, 1],
        "fear": [1, 1, 1, 1],
        "surprise": [0, 1, 0, 0],
        "anger": [0, 0, 0, 0],
    }
    assert pair.uncovered == (1, 0)
    assert pair.event_medians[ROWS.index("fear")] == pytest.approx([0.2, 0.1, 0.8 / 1.1])
    assert pair.figures["events_paired"].value[0] == close(2 / 3)
    again = agree(path, [codes[i] for i in (1, 3, 6, 4, 0, 2, 5)], AgreeOptions(tolerance=0.25)).pairs[0]
    np.testing.assert_array_equal(again.events, pair.events)  # in whatever order they were coded
    strict = agree(path, codes, AgreeOptions(tolerance=0.15)).pairs[0]
    assert strict.events[0].tolist() == [1, 2, 1, 0]


def test_a_table_of_events_is_neutral_between_them(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("source,track,emotion,onset,offset\nfilms/a.mp4,1,fear,0.1,0.3\n")
    found = agree(path, moments("a.mp4", "x", ["neutral", "fear", "fear", "fear", "neutral"]))
    assert found.mien == "events"
    assert (found.pairs[0].moments, found.pairs[0].counts.trace()) == (5, 4)
    assert found.pairs[0].events[0].tolist() == [1, 1, 1, 1]
    assert any("neutral between them" in note for note in found.notes)
    with pytest.raises(DataError, match="coder called Mien"):
        agree(path, [path])


def test_photos_are_a_clip_each(tmp_path):
    clips = {f"{n}.jpg": [("fear", "anger")] if n % 2 else ["anger"] for n in range(6)}
    path = table(tmp_path / "t.csv", clips)
    codes = [Code(f"photos/{n}.jpg", None, "x", None, None, "fear") for n in range(6)]
    found = agree(path, [*codes, Code("1.jpg", 1, "x", None, None, "anger")])
    pair = found.pairs[0]
    assert (pair.clips, pair.moments, pair.seconds, pair.counts.trace()) == (6, 7, 0, 4)
    assert pair.figures["percent"].low[0] < 4 / 7 < pair.figures["percent"].high[0]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (
            moments("a.mp4", "x", ["fear"], start=90),
            r"ends at 0\.400 s in the table, got 1 later.*by x from 9\.0 s",
        ),
        (
            moments("other.mp4", "x", ["fear"]),
            r"expected codes of what is in .*\(a\.mp4, b\.jpg\), got.* other\.mp4",
        ),
        ([Code("a.mp4", None, "x", None, None, "fear")], "a clip, got one by x without times"),
        (moments("b.jpg", "x", ["fear"]), "a photo, got one by x with times"),
        ([], "expected two raters at least, got Mien alone"),
    ],
)
def test_codes_that_do_not_fit_are_refused(codes, message, tmp_path):
    path = table(tmp_path / "t.csv", {"a.mp4": ["fear"] * 4, "b.jpg": ["fear"]})
    with pytest.raises(DataError, match=message):
        agree(path, codes)


def test_options_that_make_no_sense_are_refused():
    for bad in ({"step": 0}, {"tolerance": -1}, {"gaps": "zero"}, {"intensity_max": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            AgreeOptions(**bad)


def test_a_name_before_a_path_is_the_coders(tmp_path):
    write_codes(moments("a.mp4", "same", ["fear"]), tmp_path / "1.csv")
    write_codes(moments("a.mp4", "same", ["anger"]), tmp_path / "2.csv")
    found = agree(tmp_path / "1.csv", [f"second={tmp_path / '2.csv'}"])
    assert found.raters == ("same", "second")
    assert found.pairs[0].counts.trace() == 0
