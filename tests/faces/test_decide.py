"""From probabilities to one emotion, a set and doubt: against a naive rewrite, and on faces."""

import math

import numpy as np
import pytest

from mien.card import ModelCard, Policy
from mien.errors import ConfigError, ModelError
from mien.faces.policy import decide, label_faces, shares
from mien.labels import EMOTIONS
from mien.results.page import describe_doubt
from mien.types import Face

LEAN = Policy((0.0, 0.1, 0.5, 0.5, 0.7, 2.0, 1.4, 2.2), set_from=0.25)


@pytest.fixture(scope="module")
def p():
    return np.random.default_rng(2).dirichlet(np.full(8, 0.4), 500).astype(np.float32)


@pytest.mark.parametrize("policy", [Policy(set_from=0.3), LEAN])
def test_against_naive(p, policy):
    said = decide(p, policy, 0.6)
    for row, shown, member, unsure in zip(p, said.shown, said.member, said.uncertain, strict=True):
        weighed = [float(x) * math.exp(o) for x, o in zip(row, policy.offsets, strict=True)]
        assert shown == max(range(8), key=lambda k: weighed[k])
        held = {k for k in range(8) if weighed[k] / sum(weighed) >= policy.set_from} | {int(shown)}
        assert held == set(np.flatnonzero(member))
        assert unsure == (row[shown] < np.float32(0.6))


def test_no_offsets_is_the_likeliest_even_among_near_ties():
    p = np.full((8, 8), 0.125, np.float32)
    p[np.arange(8), np.arange(8)] = np.nextafter(np.float32(0.125), np.float32(1))
    assert decide(p, Policy()).shown.tolist() == list(range(8))


def test_a_probability_of_nought_is_no_trouble():
    p = np.eye(8, dtype=np.float32)[[0, 7]]
    assert decide(p, LEAN).shown.tolist() == [0, 7]
    assert np.isfinite(shares(p, LEAN)).all()
    assert decide(np.empty((0, 8), np.float32), LEAN, 0.5).shown.shape == (0,)


def test_faces_keep_their_probabilities_whatever_the_policy(p):
    faces = [Face((0.0, 0.0, 9.0, 9.0), np.zeros((5, 2), np.float32), 0.9) for _ in p]
    read = label_faces(faces, p, LEAN, 0.6)
    other = 0
    for face, row in zip(read, p, strict=True):
        assert np.array_equal(face.probabilities, row)
        assert face.confidence == float(row[EMOTIONS.index(face.emotion)])
        assert face.emotion in face.set
        assert face.uncertain == (face.confidence < 0.6)
        order = [row[EMOTIONS.index(emotion)] for emotion in face.set]
        assert order == sorted(order, reverse=True)
        other += face.emotion != EMOTIONS[int(row.argmax())]
    assert 0 < other < len(p)


def test_without_sets_thresholds_or_a_policy_the_likeliest_is_all(p):
    said = decide(p, Policy())
    assert (said.member, said.uncertain) == (None, None)
    face = Face((0.0, 0.0, 9.0, 9.0), np.zeros((5, 2), np.float32), 0.9, None, p[0])
    assert face.emotion == EMOTIONS[int(p[0].argmax())]
    assert (face.set, face.uncertain) == (None, None)


def test_the_page_says_what_else_an_uncertain_face_may_be(p):
    def face(**given):
        return Face((0.0, 0.0, 9.0, 9.0), np.zeros((5, 2), np.float32), 0.9, None, p[0], 4, **given)

    unsure = face(set=("fear", "anger", "disgust"), uncertain=True)
    assert describe_doubt(unsure) == "Uncertain: may be fear or disgust"
    assert describe_doubt(face(set=("anger",), uncertain=True)) == "Uncertain"
    assert describe_doubt(face(set=("anger",), uncertain=False)) == ""
    assert describe_doubt(face()) == ""


def test_the_card_travels_and_old_cards_are_read():
    policies = {"accurate": Policy(), "balanced": LEAN}
    card = ModelCard("net", template=((0.1, 0.2),) * 5, data=("a", "b"), policies=policies, uncertain=0.6)
    assert ModelCard.from_json(card.to_json()) == card
    assert ModelCard.from_json(card.to_json()[:-1] + ', "newer": 1}') == card
    old = ModelCard.from_json('{"name": "old", "temperature": 1.0}')
    assert old.policy("accurate") == Policy()
    assert (old.uncertain, old.calibration) == (None, {})
    with pytest.raises(ConfigError, match=r"one of accurate of the network 'old', got 'balanced'; `mien cal"):
        old.policy("balanced")


@pytest.mark.parametrize(
    "wrong",
    [
        '{"name": "x", "policies": {}}',
        '{"name": "x", "policies": {"accurate": {"offsets": [0, 1], "set_from": null}}}',
        '{"name": "x", "policies": {"accurate": {"offsets": [0, 0, 0, 0, 0, 0, 0, NaN], "set_from": null}}}',
        '{"name": "x", "policies": {"accurate": {"offsets": [0, 0, 0, 0, 0, 0, 0, 0], "set_from": 2}}}',
        '{"name": "x", "policies": {"accurate": {}}}',
        '{"name": "x", "policies": [1]}',
        '{"name": "x", "uncertain": 0}',
        '{"name": "x", "labels": ["joy"]}',
        '{"size": 48}',
        "[]",
        "",
    ],
)
def test_cards_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ModelError, match="model card"):
        ModelCard.from_json(wrong)
