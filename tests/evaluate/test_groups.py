"""Groups beside each other: against naive counting and a naive bootstrap."""

import json
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from math import sqrt

import numpy as np
import pytest

from mien.card import ModelCard
from mien.data.corpus import Corpus, draw
from mien.errors import ConfigError, MissingExtra
from mien.evaluate.group_tables import check_plot, make_group_record, plot_groups, render_groups
from mien.evaluate.groups import GroupOptions, compare_groups, find_gaps, parse_attributes
from mien.evaluate.judge import Predictions
from mien.evaluate.metrics import wilson
from mien.labels import EMOTIONS
from mien.types import Sample

AGES = ("0-2", "3-9", "10-19", "more than 70")


def drawn(tags, *, faceless=0, labelled=False, seed=3, persons=None):
    """Random predictions of samples with these tags, the last `faceless` of them without a face."""
    rng = np.random.default_rng(seed)
    n = len(tags) - faceless
    truth = rng.integers(0, 8, len(tags))
    votes = [tuple(int(k == t) for k in range(8)) if labelled else () for t in truth]
    person = persons or [None] * len(tags)
    samples = tuple(
        Sample(f"{i}.png", votes=v, tags=t, person=p)
        for i, (v, t, p) in enumerate(zip(votes, tags, person, strict=True))
    )
    probabilities = rng.dirichlet(np.full(8, 0.3), n).astype(np.float32)
    predictions = Predictions(samples[:n], probabilities, faceless=tuple(s.name for s in samples[n:]))
    return Corpus("drawn", samples, lambda _: None), predictions


def some_tags(n=300, seed=1):
    rng = np.random.default_rng(seed)
    return [{"age": AGES[rng.integers(4)], "gender": "MF"[rng.integers(2)]} for _ in range(n)]


def compare(tags, attribute="g", *, faceless=0, labelled=False, persons=None, **options):
    """The report of random predictions, and its one table."""
    corpus, predictions = drawn(tags, faceless=faceless, labelled=labelled, persons=persons)
    report = compare_groups(corpus, predictions, (attribute,), **options)
    (table,) = report.tables
    return report, table


def row(table, name):
    (found,) = [r for r in table.rows if r.name == name]
    return found


def test_every_figure_is_what_counting_one_by_one_gives():
    tags = some_tags()
    corpus, predictions = drawn(tags, faceless=20, labelled=True)
    report = compare_groups(corpus, predictions, ("age",), protocols=["argmax"], detected=True)
    (table,) = report.tables
    assert table.groups == AGES  # in the order of the years, not of the letters
    assert (report.labelled, report.detected) == (True, True)
    probabilities = predictions.probabilities
    for g, age in enumerate(table.groups):
        mine = [i for i in range(280) if tags[i]["age"] == age]
        reads = [EMOTIONS[probabilities[i].argmax()] for i in mine]
        sure = np.array([probabilities[i].max() for i in mine], float)
        for emotion in EMOTIONS:
            cells = row(table, emotion)
            share = pytest.approx(reads.count(emotion) / len(mine))
            assert (cells.n[1 + g], cells.value[1 + g]) == (len(mine), share)
            interval = wilson(reads.count(emotion), len(mine))
            assert (cells.low[1 + g], cells.high[1 + g]) == pytest.approx(interval)
            right = [
                r == emotion
                for i, r in zip(mine, reads, strict=True)
                if corpus.samples[i].votes[EMOTIONS.index(emotion)]
            ]
            recall = row(table, f"recall {emotion}")
            assert (recall.n[1 + g], recall.value[1 + g]) == (len(right), pytest.approx(np.mean(right)))
        assert row(table, "unsure").value[1 + g] == pytest.approx((sure < 0.5).mean())
        confidence = row(table, "confidence")
        assert confidence.value[1 + g] == pytest.approx(sure.mean())
        half = 1.959964 * sure.std(ddof=1) / sqrt(len(sure))
        assert confidence.high[1 + g] - confidence.low[1 + g] == pytest.approx(2 * half, rel=1e-5)
        looked = [t["age"] for t in tags].count(age)
        found = row(table, "face found")
        assert (found.n[1 + g], found.value[1 + g]) == (looked, pytest.approx(len(mine) / looked))
    assert row(table, "face found").value[0] == pytest.approx(280 / 300)


def test_the_largest_gap_is_between_the_highest_and_the_lowest():
    _, table = compare(some_tags(), "age")
    for one in table.rows:
        gap = one.gaps.largest
        assert gap.difference == pytest.approx(one.value[1:].max() - one.value[1:].min())
        assert gap.high == table.groups[one.value[1:].argmax()]
        assert gap.low == table.groups[one.value[1:].argmin()]
        assert gap.interval_95[0] < gap.difference < gap.interval_95[1]
        assert one.gaps.clearest.p <= gap.p
    assert table.comparisons == 6 * 10  # pairs of four groups, ten measures


def naive(codes, values, groups, *, draws, seed):
    """Of shares alone: the largest t of each draw and the observed t of each pair, picture by picture."""
    rng = np.random.default_rng(seed)

    def centre(rows, m):
        seen = [v for v in rows[:, m] if not np.isnan(v)]
        return (sum(seen) + 1) / (len(seen) + 2), len(seen) + 2

    whole = [values[codes == g] for g in range(groups)]
    pairs = [(i, j, m) for i, j in combinations(range(groups), 2) for m in range(values.shape[1])]
    at = {(g, m): centre(whole[g], m) for g in range(groups) for m in range(values.shape[1])}
    error = {(i, j, m): sqrt(sum(c * (1 - c) / n for c, n in (at[i, m], at[j, m]))) for i, j, m in pairs}
    most = []
    for _ in range(draws):
        again = [rows[rng.integers(len(rows), size=len(rows))] for rows in whole]
        new = {(g, m): centre(again[g], m) for g in range(groups) for m in range(values.shape[1])}
        ts = []
        for i, j, m in pairs:
            own = sqrt(sum(c * (1 - c) / n for c, n in (new[i, m], new[j, m])))
            ts.append(abs(new[i, m][0] - at[i, m][0] - new[j, m][0] + at[j, m][0]) / own)
        most.append(max(ts))
    return np.array(most), {p: (at[p[0], p[2]][0] - at[p[1], p[2]][0], error[p]) for p in pairs}


def test_interval_and_p_are_those_of_a_naive_bootstrap():
    rng = np.random.default_rng(8)
    codes = np.repeat([0, 1, 2], [40, 60, 90])
    values = (rng.random((190, 3)) < np.array([0.2, 0.3, 0.5])[codes][:, None]).astype(float)
    values[rng.random(190) < 0.3, 1] = np.nan
    names = ["a", "b", "c"]
    gaps, comparisons = gaps_of(codes, values, shares=[True] * 3, groups=names, smallest=20, draws=4000)
    most, observed = naive(codes, values, 3, draws=800, seed=5)
    assert comparisons == 9
    for m, gap in ((m, gap) for m, two in enumerate(gaps) for gap in (two.largest, two.clearest)):
        i, j = sorted((names.index(gap.high), names.index(gap.low)))
        between, error = (abs(v) for v in observed[i, j, m])
        half = np.quantile(most, 0.95) * error
        assert gap.interval_95 == pytest.approx((between - half, between + half), abs=0.02)
        assert gap.p == pytest.approx((most >= between / error).mean(), abs=0.03)


def test_two_groups_and_one_measure_give_the_interval_of_agresti_and_caffo():
    values = np.repeat([1.0, 0, 1, 0], [120, 280, 200, 200])[:, None]
    codes = np.repeat([0, 1], 400)
    (two,), one = gaps_of(codes, values, shares=[True], groups="xy", draws=20_000)
    a, b = 121 / 402, 201 / 402
    gap = two.largest
    assert two.clearest == gap
    half = 1.96 * sqrt(a * (1 - a) / 402 + b * (1 - b) / 402)
    assert (one, gap.high, gap.difference) == (1, "y", pytest.approx(0.2))
    assert gap.interval_95 == pytest.approx((b - a - half, b - a + half), abs=0.003)
    assert sum(gap.interval_95) / 2 == pytest.approx(b - a, abs=1e-12)
    assert gap.p == pytest.approx(1 / 20_001)


def test_two_groups_and_a_mean_give_the_normal_interval():
    rng = np.random.default_rng(6)
    codes = np.repeat([0, 1], 400)
    values = (5 + rng.random(800) + 0.1 * codes)[:, None]
    (two,), _ = gaps_of(codes, values, shares=[False], draws=20_000)
    first, second = values[:400], values[400:]
    half = 1.96 * sqrt(first.var(ddof=1) / 400 + second.var(ddof=1) / 400)
    between = second.mean() - first.mean()
    assert two.largest.interval_95 == pytest.approx((between - half, between + half), abs=half / 15)


def two_groups(sizes=(30, 40), measures=2):
    rng = np.random.default_rng(4)
    codes = np.repeat([0, 1], sizes)
    values = (rng.random((len(codes), measures)) < 0.3 + 0.3 * codes[:, None]).astype(float)
    values[:, -1] += rng.random(len(codes)) / 10
    return codes, values


def gaps_of(codes, values, *, shares=None, groups="abcde", **options):
    """`find_gaps` of shares, or of the last measure as a mean."""
    shares = np.arange(values.shape[1]) < values.shape[1] - 1 if shares is None else np.array(shares)
    return find_gaps(
        codes, values, shares=shares, groups=list(groups)[: codes.max() + 1], options=GroupOptions(**options)
    )


def test_groups_that_are_all_alike_have_an_interval_that_holds_their_gap():
    values = np.repeat([1.0, 0.0], 50)[:, None]
    (gap,), _ = gaps_of(np.repeat([0, 1], 50), values, shares=[True], draws=50)
    assert gap.largest.difference == 1
    assert gap.largest.interval_95[0] < 0.95
    assert gap.largest.interval_95[1] == 1
    assert gaps_of(np.repeat([0, 1], 40), np.ones((80, 2)))[0] == [None, None]  # all the same: no gap


def test_a_group_of_just_enough_pictures_is_compared_as_any_other():
    few, enough, more = (gaps_of(*two_groups(), smallest=n, draws=300) for n in (29, 30, 31))
    assert few == enough
    assert enough[1] == 2
    assert more == ([None, None], 0)
    alone = gaps_of(*two_groups((1, 40)), smallest=1, draws=10)
    assert alone == ([None, None], 0)  # one picture is never compared, whatever is asked


def test_draws_in_several_parts_are_the_same_draws(monkeypatch):
    whole = gaps_of(*two_groups(), draws=101)
    monkeypatch.setattr("mien.evaluate.groups.WEIGHTS_AT_ONCE", 1200)
    assert gaps_of(*two_groups(), draws=101) == whole
    assert gaps_of(*two_groups(), draws=101, seed=1) != whole


def test_what_all_of_one_group_and_nobody_of_another_shows_has_a_width():
    codes = np.repeat([0, 1], 40)
    values = np.column_stack([codes, np.random.default_rng(0).random(80) < 0.5]).astype(float)
    (two, _), _ = gaps_of(codes, values, shares=[True, True], draws=200)
    assert (two.largest.difference, two.largest.high) == (1, "b")
    assert two.largest.interval_95[0] < 40 / 42 - 0.04  # twice the error of 41 of 42 and of 1 of 42


def test_an_interval_ends_where_no_difference_can_be():
    values = np.array([[0.9], [1.0], [0.0], [0.1]])
    codes = np.array([0, 0, 1, 1])
    (two,), _ = gaps_of(codes, values, shares=[False], smallest=2, draws=200)
    assert two.largest.interval_95 == (-1, 1)  # two pictures drawn alike have no spread: nothing is known


def test_groups_that_do_not_differ_are_seldom_found_to():
    """Five groups, nine measures, some rare: 5 % of tables may show a gap, not 5 % of 90 comparisons."""
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(5), [40, 60, 100, 200, 400])
    found = 0
    for k in range(100):
        read = rng.choice(8, p=[0.45, 0.35, 0.05, 0.05, 0.04, 0.03, 0.02, 0.01], size=800)
        values = np.column_stack([read[:, None] == np.arange(8), rng.beta(6, 3, 800)])
        gaps, _ = gaps_of(codes, values, draws=300, seed=k)
        found += any(two is not None and two.clearest.p <= 0.05 for two in gaps)
    assert found <= 7  # 5 % and two standard errors


def test_a_clear_gap_is_named_below_a_larger_one_that_may_be_chance():
    corpus, predictions = drawn([{"g": "a"}] * 2000 + [{"g": "b"}] * 2000 + [{"g": "few"}] * 30)
    rng = np.random.default_rng(0)
    happy = np.concatenate([rng.random(2000) < 0.3, rng.random(2000) < 0.5, np.arange(30) < 17])
    probabilities = np.where(happy[:, None], np.eye(8)[1], np.eye(8)[0]).astype(np.float32)
    report = compare_groups(corpus, Predictions(predictions.samples, probabilities), ("g",))
    gaps = row(report.tables[0], "happiness").gaps
    assert (gaps.largest.high, gaps.largest.low, gaps.clearest.high) == ("few", "a", "b")
    assert gaps.clearest.p < 0.001
    assert ("  the clearest" in render_groups(report)) == (gaps.largest.p > 0.05)


def test_small_groups_are_shown_and_not_compared():
    report, table = compare([{"g": "big"}] * 100 + [{"g": "also"}] * 100 + [{"g": "tiny"}] * 5)
    assert table.comparisons == 10
    assert all({r.gaps.largest.high, r.gaps.largest.low} == {"big", "also"} for r in table.rows if r.gaps)
    assert any(line.split()[:2] == ["tiny", "5*"] for line in render_groups(report).splitlines())


def test_one_picture_a_group():
    report, table = compare([{"g": name} for name in "abc"])
    assert table.comparisons == 0
    assert all(r.gaps is None for r in table.rows)
    assert np.isnan(row(table, "confidence").low[1:]).all()  # one number has no spread
    assert "(-)" in render_groups(report)
    json.dumps(make_group_record(report), allow_nan=False)


def test_a_group_without_a_face_has_no_rates_but_a_detection_rate():
    report, table = compare([{"g": "a"}] * 40 + [{"g": "b"}] * 3, faceless=3, detected=True)
    assert np.isnan(row(table, "neutral").value[2])
    assert row(table, "face found").value[1:].tolist() == [1, 0]
    record = make_group_record(report)["by"]["g"]["rows"]["neutral"]["groups"]["b"]
    assert record == {"n": 0, "value": None, "interval_95": [None, None]}


def test_groups_without_a_number_stand_before_those_with_one():
    _, table = compare([{"g": "0-2"}, {"g": "young"}, {"g": "a child"}])
    assert table.groups == ("a child", "young", "0-2")


def test_pictures_without_the_tag_are_left_out_and_counted():
    report, table = compare([{"g": "a"}] * 30 + [{}] * 4 + [{"g": ""}] * 2 + [{"g": "b"}] * 30)
    assert (table.groups, table.untagged) == (("a", "b"), 6)
    assert row(table, "neutral").n[0] == 60
    assert "by g; 6 pictures without it are left out" in render_groups(report)


def test_crossed_attributes():
    _, table = compare(some_tags(), "age+gender")
    assert table.groups == tuple(f"{age} + {g}" for age in AGES for g in "FM")
    assert sum(row(table, "neutral").n[1:]) == 300


TAGGED = {"age": "1", "gender": "F"}


@pytest.mark.parametrize(
    ("text", "tags", "said"),
    [
        ("race", TAGGED, "tags out of age, gender, got 'race'"),
        ("age,", TAGGED, "got ''"),
        ("age+x", TAGGED, "got 'x'"),
        ("", TAGGED, "got ''"),
        ("age", {}, "samples carry tags, got 'age' and none do"),
    ],
)
def test_unknown_tags_list_those_there_are(text, tags, said):
    with pytest.raises(ConfigError, match=said):
        parse_attributes(text, [Sample("a", tags=tags)])


def test_a_tag_named_twice_is_one():
    samples = [Sample("x", tags=TAGGED)]
    assert parse_attributes("gender, age,gender", samples) == ("gender", "age")
    assert parse_attributes("age+gender", samples) == ("age+gender",)


def test_what_a_policy_chose_is_what_is_counted():
    corpus, predictions = drawn([{"g": "a"}] * 60, labelled=True)
    report = compare_groups(corpus, predictions, ("g",), protocols=["argmax"], guess=np.full(60, 6))
    (table,) = report.tables
    assert row(table, "fear").value[1] == row(table, "recall fear").value[1] == 1
    assert row(table, "confidence").value[1] == pytest.approx(
        predictions.probabilities[:, 6].mean(dtype=float)
    )


def test_the_cards_own_threshold_is_taken():
    assert GroupOptions.of_card(ModelCard("m")).unsure_below == 0.5
    report, _ = compare([{"g": "a"}] * 50, options=GroupOptions.of_card(ModelCard("m", uncertain=0.62)))
    assert "confidence under 0.62 (the model card)" in render_groups(report).replace("\n", " ")


def test_a_reading_that_just_reaches_the_threshold_is_not_unsure():
    corpus, predictions = drawn([{"g": "a"}] * 4)
    first = np.array([0.5, 0.5, 0.75, 1.0], np.float32)
    p = np.column_stack([first, 1 - first, np.zeros((4, 6), np.float32)])
    predictions = Predictions(predictions.samples, p)
    for below, unsure in ((0.5, 0), (0.75, 0.5), (1.0, 0.75)):
        report = compare_groups(corpus, predictions, ("g",), options=GroupOptions(below))
        assert row(report.tables[0], "unsure").value[0] == unsure


def test_persons_are_repeated_where_two_pictures_are_of_one():
    for persons, repeated in ((["a", "b", None], False), (["a", "b", "a"], True), ([None] * 3, False)):
        assert compare([{"g": "x"}] * 3, persons=persons)[0].repeated is repeated


def test_the_text_says_what_it_cannot_show():
    for protocols, said in (([], "Without labels nobody knows"), (["majority", "argmax"], "same label")):
        report, _ = compare(some_tags(), "age", labelled=True, persons=["one"] * 300, protocols=protocols)
        text = render_groups(report).replace("\n", " ")
        assert said in text
        assert ("recall fear (majority)" in text) == bool(protocols)
        assert "--detect gives it" in text
        assert "Several pictures show one person" in text


def test_a_draw_is_part_of_a_larger_and_keeps_the_order():
    corpus, _ = drawn([{}] * 50)
    few, more = (draw(corpus, n).samples for n in (10, 30))
    assert {s.name for s in few} < {s.name for s in more}
    assert [int(s.name[:-4]) for s in few] == sorted(int(s.name[:-4]) for s in few)
    assert draw(corpus, 99).samples == corpus.samples
    assert draw(corpus, 10, seed=1).samples != few


def test_the_picture_is_the_same_each_time_and_has_a_plot_a_measure():
    report, _ = compare([{"g": "a"}] * 40 + [{"g": "nobody"}] * 3, faceless=3, detected=True)
    text = plot_groups(report)
    assert plot_groups(report) == text
    axes = [e for e in ET.fromstring(text).iter() if e.get("id", "").startswith("axes_")]  # noqa: S314 - our own
    assert len(axes) == 12  # eleven measures, two rows of six


def test_a_picture_wants_matplotlib_and_svg(monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match=r"ends in .svg, got .*a.png"):
        check_plot(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match="report"):
        check_plot(tmp_path / "a.svg")
