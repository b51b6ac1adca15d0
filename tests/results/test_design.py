"""`mien summary` by person and condition: against sums made the plain way, with pandas and by hand."""

import io

import numpy as np
import pandas as pd
import pytest

from mien.errors import ConfigError, DataError
from mien.labels import EMOTIONS
from mien.results import rows, summarize
from mien.results.design import Design
from mien.results.summary import summary_columns, to_long, to_wide
from mien.results.table_reader import read_table
from mien.types import Face, Frame


def make_face(track, p, uncertain=False):
    return Face((1, 2, 3, 4), np.zeros((5, 2), np.float32), 0.9, track, np.float32(p), uncertain=uncertain)


def one_hot(emotion):
    return np.eye(8)[EMOTIONS.index(emotion)]


def clip(source, shown, step=0.1):
    """Rows of a clip; `shown` has for each frame what each track shows, as {track: emotion or (8,)}."""
    return [
        row
        for i, frame in enumerate(shown)
        for row in rows(Frame(source, i, i * step, tuple(
            make_face(track, one_hot(what) if isinstance(what, str) else what)
            for track, what in frame.items())))
    ]  # fmt: skip


def write_design(path, text):
    path.write_text(text)
    return Design(path)


@pytest.fixture
def study():
    """Rows of six clips of two persons in two conditions, faces missing here and there."""
    draw = np.random.default_rng(3)
    table = []
    for name in ("p1_rest_1", "p1_film_1", "p1_film_2", "p2_rest_1", "p2_film_1", "p2_film_2"):
        shown = []
        for _ in range(40):
            faces = {1: draw.dirichlet(np.ones(8))} if draw.random() < 0.8 else {}
            if faces and draw.random() < 0.2:
                faces[2] = draw.dirichlet(np.ones(8))
            shown.append(faces)
        table += clip(f"/clips/{name}.mp4", shown, step=draw.choice([0.04, 0.1]))
    return table


def test_persons_and_conditions_of_names_are_summed_up_as_pandas_does(study):
    design = Design(pattern="{person}_{condition}_*")
    got = pd.DataFrame(summarize(study, ("person", "condition"), design=design)).set_index(
        ["person", "condition"]
    )
    table = pd.DataFrame(study)
    table[["person", "condition"]] = table["source"].str.extract(r"/(\w+?)_(\w+?)_\d\.mp4")
    steps = table.groupby("source")["time"].agg(lambda times: np.diff(times.unique()).mean())
    table["step"] = table["source"].map(steps)
    for key, part in table.groupby(["person", "condition"]):
        seen, pictures = part[part["success"] == 1], part.drop_duplicates(["source", "frame"])
        row, missing = got.loc[key], pictures[pictures["success"] == 0]
        assert row["seconds"] == pytest.approx(seen["step"].sum(), abs=1e-6)
        assert row["clip_seconds"] == pytest.approx(pictures["step"].sum(), abs=1e-6)
        assert row["missing_seconds"] == pytest.approx(missing["step"].sum(), abs=1e-6)
        assert (row["clip_frames"], row["missing_frames"]) == (len(pictures), len(missing))
        for emotion in EMOTIONS:
            mean = np.average(seen[emotion].astype(float), weights=seen["step"])
            share = np.average(seen["emotion"] == emotion, weights=seen["step"])
            assert (row[f"mean_{emotion}"], row[f"share_{emotion}"]) == pytest.approx((mean, share))
    assert len(got) == 4
    assert design.finish() == []


def test_doubtful_time_has_a_column():
    frames = [Frame("a.mp4", i, i / 10, (make_face(1, one_hot("fear"), uncertain=i < 3),)) for i in range(10)]
    (row,) = summarize(row for frame in frames for row in rows(frame))
    assert (row["uncertain_seconds"], row["seconds"]) == pytest.approx((0.3, 1.0))


def test_missing_values_of_r_are_empty_and_a_person_may_be_called_so(tmp_path):
    design = write_design(tmp_path / "design.csv", "source,track,start,end,person\na.mp4,NA,NA,1,NA\n")
    (row, rest) = summarize(clip("a.mp4", [{1: "fear"}] * 20), ("person",), design=design)
    assert (row["person"], row["seconds"], rest["person"]) == ("NA", 1.0, None)
    for word in ("", "NA", "NaN"):
        pd.DataFrame(clip("a.mp4", [{1: "fear"}, {}])).to_csv(tmp_path / "t.csv", index=False, na_rep=word)
        assert [row["track"] for row in read_table(tmp_path / "t.csv")] == [1, None]


def test_stretches_and_faces_of_a_design_and_those_that_are_not_found(tmp_path):
    design = write_design(tmp_path / "design.csv", (
        "source,track,start,end,person,condition\n"
        "a.mp4,1,,,ann,\na.mp4,2,,,bob,\na.mp4,3,,,cho,\n"
        "a.mp4,,0,1,,rest\na.mp4,,1,,,film\n"))  # fmt: skip
    shown = [{1: "neutral"} if i < 10 else {1: "fear", 2: "anger"} for i in range(30)]
    got = {
        (row["person"], row["condition"]): row
        for row in summarize(clip("x/a.mp4", shown), ("person", "condition"), design=design)
    }
    figures = ("seconds", "clip_seconds", "missing_seconds", "share_fear", "share_anger")
    table = {key: tuple(None if row[name] is None else round(row[name], 6) for name in figures)
             for key, row in got.items()}  # fmt: skip
    assert table == {
        ("ann", "rest"): (1.0, 1.0, 0.0, 0.0, 0.0),
        ("ann", "film"): (2.0, 2.0, 0.0, 1.0, 0.0),
        ("bob", "rest"): (0.0, 1.0, 1.0, None, None),
        ("bob", "film"): (2.0, 2.0, 0.0, 0.0, 1.0),
        ("cho", "rest"): (0.0, 1.0, 1.0, None, None),
        ("cho", "film"): (0.0, 2.0, 2.0, None, None),
    }
    assert (got["ann", "film"]["events_fear"], got["bob", "rest"]["events_anger"]) == (1, 0)


def test_windows_part_the_time_and_leave_none_out(study):
    keys = ("source", "track")
    whole = pd.DataFrame(summarize(study, keys))
    parts = pd.DataFrame(summarize(study, keys, window=0.5))
    added = ["frames", "seconds", "clip_frames", "clip_seconds", "missing_frames", "missing_seconds"]
    added += [name for name in whole if name.startswith("event")]
    sums = parts.groupby(list(keys), dropna=False, sort=False)[added].sum()
    np.testing.assert_allclose(sums, whole[added].astype(float), atol=1e-6)
    for _, part in parts.groupby(list(keys), dropna=False):
        assert list(part["window"]) == [0.5 * i for i in range(len(part))]
        assert (part["clip_seconds"] <= 0.5 + 0.1).all()


def test_a_baseline_is_taken_off_what_follows_in_each_clip_of_a_face():
    quiet, loud = 0.1, 0.3

    def p(fear):
        return [1 - fear, *([0] * 5), fear, 0]

    a = clip("a.mp4", [{1: p(quiet)}] * 10 + [{1: p(0.5)}] * 20)
    b = clip("b.mp4", [{7: p(loud)}] * 10 + [{}] * 5 + [{8: p(0.6)}] * 5)  # came back with another number
    c = clip("c.mp4", [{}] * 10 + [{1: p(0.9)}] * 10)  # not seen at rest
    design = Design(pattern="{clip_name}")
    one = {
        row["clip_name"]: row for row in summarize(a + b + c, ("clip_name",), design=design, baseline=(0, 1))
    }
    assert one["a"]["change_fear"] == pytest.approx(0.4)
    assert one["b"]["change_fear"] == pytest.approx(0.3)
    assert (one["b"]["baseline_fear"], one["b"]["baseline_seconds"]) == pytest.approx((0.3, 1.0))
    assert (one["c"]["change_fear"], one["c"]["baseline_seconds"]) == (None, 0)
    assert (one["c"]["mean_fear"], one["c"]["clip_seconds"]) == pytest.approx((0.9, 1.0))
    (both,) = summarize([row | {"lab": 1} for row in a + b + c], ("lab",), baseline=(0, 1))
    assert both["change_fear"] == pytest.approx((20 * 0.4 + 5 * 0.3) / 25)
    assert both["mean_fear"] == pytest.approx((20 * 0.5 + 5 * 0.6 + 10 * 0.9) / 35)
    assert both["clip_frames"] == 40
    assert both["missing_frames"] == 5


def test_offsets_bring_cameras_to_one_clock(tmp_path):
    late = clip("right.mp4", [{1: "fear"}] * 10)
    design = Design(offsets={"right.mp4": 2.5})
    (row,) = summarize(late, design=design)
    assert (row["first"], row["last"]) == pytest.approx((2.5, 3.5))
    assert {r["window"] for r in summarize(late, design=design, window=1)} == {2.0, 3.0}
    early = Design(offsets={"right.mp4": 0.1})  # 0.7 + 0.1 is less than 0.8 in floating point
    (row,) = summarize(late, design=early, baseline=(0, 0.8))
    assert (row["baseline_seconds"], row["first"]) == (0.7, 0.8)
    design = write_design(tmp_path / "d.csv", "source,offset,camera\nright.mp4,2.5,2\nleft.mp4,,1\n")
    both = clip("left.mp4", [{1: "anger"}] * 40) + late
    left, right = summarize(both, ("camera",), design=design, baseline=(2.5, 3))
    assert (left["camera"], left["clip_frames"]) == ("1", 35)
    assert (right["camera"], right["clip_frames"], right["first"]) == ("2", 5, pytest.approx(3.0))


def test_long_and_wide_hold_the_same_figures(study):
    by = ("person", "condition")
    table = summarize(study, by, design=Design(pattern="{person}_{condition}_*"), baseline=(0, 0.4))
    assert all(tuple(row) != () and set(row) == set(summary_columns(by, baseline=True)) for row in table)
    long = {(row["person"], row["condition"], row["emotion"]): row for row in to_long(table)}
    wide = {row["person"]: row for row in to_wide(table, "condition", by)}
    assert (len(long), len(wide)) == (4 * 8, 2)
    for row in table:
        beside = wide[row["person"]]
        assert beside[f"missing_seconds.{row['condition']}"] == row["missing_seconds"]
        for emotion in EMOTIONS:
            below = long[row["person"], row["condition"], emotion]
            assert below["mean"] == row[f"mean_{emotion}"] == beside[f"mean_{emotion}.{row['condition']}"]
            assert below["change"] == row[f"change_{emotion}"]
            assert below["events"] == row.get(f"events_{emotion}")
            assert below["missing_seconds"] == row["missing_seconds"]
    (faces,) = to_wide(
        [{"source": "a", "face": n, "frames": n} for n in (0, None)], "face", ("source", "face")
    )
    assert faces == {"source": "a", "frames.0": 0, "frames.none": None}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("person\nann\n", "source"),
        ("source,start,end,c\na,2,1,x\n", "line 2"),
        ("source,track,c\na,one,x\n", "line 2"),
        ("source,c\na,x\na,y\n", "line 3"),
        ("source,c\n,x\n", "line 2"),
    ],
)
def test_a_wrong_design_is_an_error_that_names_the_place(tmp_path, text, line):
    with pytest.raises(DataError, match=line):
        write_design(tmp_path / "design.csv", text)


@pytest.mark.parametrize("pattern", ["p_*", "{}", "{a}_{a}", "{a b}", "{a", "{emotion}"])
def test_a_wrong_pattern_is_an_error(pattern):
    with pytest.raises(ConfigError, match=r"pattern|design"):
        Design(pattern=pattern)


def test_rows_that_contradict_each_other_are_an_error(tmp_path):
    design = write_design(tmp_path / "d.csv", "source,start,end,c\na.mp4,0,1,x\na.mp4,0.5,2,y\n")
    with pytest.raises(DataError, match="'x' and 'y'"):
        summarize(clip("a.mp4", [{1: "fear"}] * 10), ("c",), design=design)


def test_what_fits_nothing_is_named(tmp_path):
    table = clip("p1_film.mp4", [{1: "fear"}]) + clip("holiday.mp4", [{1: "fear"}])
    design = Design(pattern="{person}_{condition}")
    assert [row["person"] for row in summarize(table, ("source", "person"), design=design)] == ["p1", None]
    (note,) = design.finish()
    assert "holiday.mp4" in note
    design = write_design(tmp_path / "d.csv", "source,c\nholiday.mp4,x\np1_film.mp4,y\ngone.mp4,x\n")
    summarize(table, ("c",), design=design)
    (note,) = design.finish()
    assert "gone.mp4" in note
    for design in (Design(pattern="{a}-{b}"), Design(offsets={"other.mp4": 1})):
        summarize(table, design=design)
        with pytest.raises(ConfigError, match="expected"):
            design.finish()
    with pytest.raises(ConfigError, match="'person'"):
        summarize(table, ("person",))


def test_folders_may_be_part_of_a_pattern():
    design = Design(pattern="{condition}/{person}.*")
    (row,) = summarize(clip("study/film/ann.mp4", [{1: "fear"}]), ("person", "condition"), design=design)
    assert (row["person"], row["condition"]) == ("ann", "film")


def test_the_command_writes_all_of_it(mien, tmp_path, drawn_clip, tiny_model):
    (tmp_path / "p1_film.mp4").write_bytes(drawn_clip.read_bytes())
    (tmp_path / "p1_rest.mp4").write_bytes(drawn_clip.read_bytes())
    clips = sorted(tmp_path.glob("*.mp4"))
    assert mien("analyze", *clips, "-o", tmp_path / "t.csv", "--model", tiny_model, "--every", 2).code == 0
    start = ("summary", tmp_path / "t.csv", "--pattern", "{person}_{condition}")

    def read(*more):
        ran = mien(*start, *more)
        assert ran.code == 0, ran.err
        return pd.read_csv(io.BytesIO(ran.out))

    assert list(read()["condition"]) == ["film", "rest"]
    long = read("--by", "person,condition", "--long", "--baseline", "0-0:00.3", "--offset", "p1_rest.mp4=0.1")
    assert len(long) == 16
    before = read("--by", "condition", "--baseline", "-0.3-0", "--offset", "p1_rest.mp4=-0.3")
    assert (before["baseline_seconds"] > 0).tolist() == [False, True]
    assert {"share", "mean", "change", "baseline_seconds", "missing_seconds"} <= set(long)
    wide = read("--by", "person,condition", "--wide", "condition", "--window", "0.5")
    assert {"mean_fear.film", "mean_fear.rest", "window"} <= set(wide)
    out = tmp_path / "out.parquet"
    assert mien(*start, "--wide", "condition", "-o", out).code == 0
    assert str(pd.read_parquet(out).dtypes["mean_fear.film"]) == "float32"
    for wrong in (["--wide", "colour"], ["--long", "--wide", "person"], ["--baseline", "2"],
                  ["--baseline", "2-1"], ["--offset", "x"], ["--offset", "x.mp4=1"], ["--by", "colour"],
                  ["--window", "0"]):  # fmt: skip
        ran = mien(*start, *wrong)
        assert (ran.code, ran.out) == (2, b""), wrong
