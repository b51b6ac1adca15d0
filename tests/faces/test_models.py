"""Networks: how any is opened, and the ones that ship, their cards and the scores which these claim."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import mien.models
from mien.card import CARD_KEY, ModelCard
from mien.data.fer import ferplus
from mien.errors import ModelError
from mien.evaluate import metrics
from mien.evaluate.calibrate import FLOORS
from mien.evaluate.metrics import PROTOCOLS
from mien.faces.network import Classifier, open_session, read_card
from mien.faces.policy import decide
from mien.labels import EMOTIONS
from mien.models import MODELS, load_model


def network(metadata: dict[str, str], operator: str = "Add") -> bytes:
    """A network that adds its input to itself, or does something that nobody knows."""
    row = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("input", "output")]
    node = helper.make_node(operator, ["input", "input"], ["output"])
    graph = helper.make_graph([node], "g", row[:1], row[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    return model.SerializeToString()


def test_a_file_and_its_bytes_open_alike_with_the_threads_asked_for(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(network({}))
    for model in (path, path.read_bytes()):
        session = open_session(model, threads=2)
        (output,) = session.run(None, {"input": np.array([1, 2], np.float32)})
        assert output.tolist() == [2, 4]
        assert session.get_providers() == ["CPUExecutionProvider"]
        assert session.get_session_options().intra_op_num_threads == 2


def test_the_card_comes_back():
    card = ModelCard(name="né", size=64, colour="rgb", template=((0.1, 0.2),) * 5)
    assert read_card(open_session(network({CARD_KEY: card.to_json()}))) == card


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"author": "someone"}, "found author; write the file with `mien export`"),
        ({}, "found no metadata at all"),
        ({CARD_KEY: "[]"}, "could not read it"),
    ],
)
def test_no_card_says_what_there_is(metadata, message):
    with pytest.raises(ModelError, match=message):
        read_card(open_session(network(metadata)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"got .*no\.onnx"),
        (b"hello, this is text", r"got .*no\.onnx"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), r"got .*no\.onnx"),
        (network({CARD_KEY: "x" * 1000})[:500], "which ONNX Runtime cannot run"),
        (network({}, "Frobnicate"), "Frobnicate"),
    ],
    ids=["empty", "text", "picture", "cut", "operator"],
)
def test_what_is_no_network(content, message, tmp_path):
    path = tmp_path / "no.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"expected an ONNX network.*{message}"):
        open_session(path)


def test_a_path_that_leads_nowhere(tmp_path):
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelError, match="could not read it"):
            open_session(path)


# -- those that ship


@pytest.fixture(scope="module")
def shipped():
    return Classifier.load()


@pytest.mark.parametrize("name", MODELS)
def test_each_shipped_file_is_small_and_the_pinned_one_and_tells_scores_and_limits(name):
    content = load_model(name)
    assert len(content) < 5_000_000
    card = read_card(open_session(content))
    assert 0.87 < card.scores["ferplus/valid"]["majority"] < 0.89
    for told in ("not what a person feels", "Not for decisions", "rare", "women"):
        assert any(told in limit for limit in card.limits), told


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ModelError, match="expected one of compact"):
        load_model("large")


def test_every_shipped_network_has_its_recipe_log_and_settings_beside_it():
    names = {entry.name for entry in resources.files(mien.models).iterdir()}
    for name in MODELS:
        run = name.removesuffix("-int8")  # 8 bits are made of the same run
        assert {f"{name}.onnx", f"{run}.config.toml", f"{run}.log.jsonl"} <= names


def test_eight_bits_read_as_float32_does():
    faces = np.random.default_rng(0).integers(0, 256, (64, 12, 12), np.uint8).repeat(4, 1).repeat(4, 2)
    small, whole = (Classifier.load(Path(name)) for name in ("compact-int8", "compact"))
    assert (small.card.parameters, small.card.provenance["data"]) == (
        whole.card.parameters,
        whole.card.provenance["data"],
    )
    assert np.abs(small(faces) - whole(faces)).mean() < 0.02


def test_the_card_says_what_a_user_must_know(shipped):
    card = shipped.card
    assert card.labels == EMOTIONS
    assert (card.size, card.colour, len(card.template)) == (48, "gray", 5)
    assert card.parameters < 1_500_000
    assert all((card.data, card.licence, card.limits, card.scores))


def test_probabilities_sum_to_one_and_do_not_depend_on_company(shipped):
    crops = np.random.default_rng(0).integers(0, 256, (70, 48, 48), np.uint8)
    together = shipped(crops)
    assert together.dtype == np.float32
    assert np.allclose(together.sum(1), 1, atol=1e-6)
    assert np.allclose(together[66:67], shipped(crops[66:67]), atol=1e-5)
    assert shipped(crops[:0]).shape == (0, 8)
    with pytest.raises(ValueError, match=r"expected an array of shape \(any, 48, 48\), got \(1, 64, 64\)"):
        shipped(np.zeros((1, 64, 64), np.uint8))


@pytest.fixture(scope="module")
def valid(shipped, shared_data):
    """FER+ valid: its samples and what the shipped network says of them."""
    corpus = ferplus(shared_data / "ferplus.zip", "valid")
    return corpus, shipped(np.stack([corpus.read(s) for s in corpus.samples]))


@pytest.mark.slow  # the file cannot change unseen: its sha256 is pinned
def test_the_scores_on_the_card_are_what_the_file_gives(shipped, valid):
    """FER+ valid, at least 87 % (majority) and 84 % (argmax)."""
    corpus, p = valid
    guess = p.argmax(1)
    scores = shipped.card.scores["ferplus/valid"]
    for protocol, least in (("majority", 0.87), ("argmax", 0.84)):
        truth = PROTOCOLS[protocol](corpus.samples)
        used = truth >= 0
        accuracy = (guess[used] == truth[used]).mean()
        assert accuracy >= least
        assert used.sum() == scores[f"n_{protocol}"]
        assert accuracy == pytest.approx(scores[protocol], abs=1.1e-3)  # torch against ONNX: a face or three


@pytest.mark.slow
def test_the_calibration_on_the_card_holds_on_the_faces_that_fitted_it(shipped, valid):
    """ECE under 2 %, 90 % sets, nine of ten certain readings right, the floors of recall."""
    corpus, p = valid
    card = shipped.card
    truth = PROTOCOLS[card.calibration["protocol"]](corpus.samples)
    used = truth >= 0
    assert used.sum() == card.calibration["n"]
    assert metrics.ece(p[used], truth[used]) < 0.02
    for policy in card.policies.values():
        said = decide(p[used], policy, card.uncertain)
        assert said.member[np.arange(used.sum()), truth[used]].mean() == pytest.approx(0.9, abs=0.01)
        assert (said.shown == truth[used])[~said.uncertain].mean() > 0.895
    agreed = PROTOCOLS["majority"](corpus.samples)
    shown = decide(p, card.policy("balanced")).shown
    recall = metrics.recall(metrics.confusion(agreed[agreed >= 0], shown[agreed >= 0]))
    assert all(recall[EMOTIONS.index(emotion)] >= floor for emotion, floor in FLOORS.items())


def test_the_card_says_how_well_the_calibration_holds_on_other_faces(shipped):
    held_out = shipped.card.calibration["held_out"]
    assert held_out["argmax"]["ece"]["mean"] < 0.02
    for policy in shipped.card.policies:
        assert held_out["argmax"]["policies"][policy]["coverage"]["mean"] == pytest.approx(0.9, abs=0.01)
