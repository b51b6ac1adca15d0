"""Networks in 8 bits."""

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from makers import draw_bands, write_ferplus
from mien.errors import ModelError
from mien.faces.network import Classifier
from mien.train.quantize import quantize, quantize_weights, run_quantize


@pytest.fixture(scope="module")
def ferplus_zip(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "ferplus.zip"
    return write_ferplus(path, draw_bands(64, 1), draw_bands(64, 2))


@pytest.fixture(scope="module")
def model(exported):
    return exported[1]


def test_eight_bits_are_smaller_read_alike_and_say_so_on_the_card(model, ferplus_zip, tmp_path):
    out = tmp_path / "bands-int8.onnx"
    found = run_quantize(model, ferplus_zip, out)
    assert found.accuracy[0] > 0.9, "the network of this test has learnt something"
    assert (found.loss <= 1).all()
    before, after = Classifier.load(model), Classifier.load(out)
    faces = draw_bands(64, 3)
    assert (before(faces).argmax(1) == after(faces).argmax(1)).mean() > 0.95
    kinds = {node.op_type for node in onnx.load(out).graph.node}
    weights = {array.data_type for array in onnx.load(out).graph.initializer if len(array.dims) == 4}
    assert "QuantizeLinear" in kinds
    assert onnx.TensorProto.INT8 in weights
    assert (after.card.name, after.card.recipe) == ("bands-int8", "mien train bands; mien quantize")
    assert after.card.provenance["quantised"]["weights"] == "int8 a channel"
    assert after.card.scores["ferplus/valid"]["majority"] == pytest.approx(found.accuracy[1], abs=1e-4)


def test_weights_alone_in_eight_bits_make_a_small_file_of_a_network_that_reads_the_same(model):
    content = model.read_bytes()
    small = quantize_weights(content)
    assert len(small) < 0.5 * len(content)
    faces = draw_bands(64, 3)
    before, after = (Classifier.read(each)(faces) for each in (content, small))
    assert np.abs(before - after).max() < 0.02
    kinds = {node.op_type for node in onnx.load_model_from_string(small).graph.node}
    assert "DequantizeLinear" in kinds
    assert "QuantizeLinear" not in kinds


def test_a_network_that_loses_an_emotion_is_refused_and_nothing_is_written(
    model, ferplus_zip, tmp_path, monkeypatch
):
    def spoilt(content, faces):
        small = onnx.load_model_from_string(quantize(content, faces))
        for array in small.graph.initializer:
            if len(array.dims) == 4:
                array.raw_data = bytes(len(array.raw_data))  # weights of zero
        return small.SerializeToString()

    monkeypatch.setattr("mien.train.quantize.quantize", spoilt)
    with pytest.raises(ModelError, match=r"in 8 bits \w+ loses .* points of recall, more than 1"):
        run_quantize(model, ferplus_zip, tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_convolutions_is_told(tiny_model):
    with pytest.raises(ModelError, match="has no convolutions"):
        quantize(tiny_model.read_bytes(), draw_bands(8, 0))


def test_the_command_prints_recall_before_and_after(mien, model, ferplus_zip, tmp_path):
    out = tmp_path / "out.onnx"
    ran = mien("quantize", "gone.onnx", "--root", ferplus_zip, "-o", out)
    assert ran.code == 1
    assert "expected an ONNX file at gone.onnx" in ran.err
    ran = mien("quantize", model, "--root", ferplus_zip, "-o", out)
    assert ran.code == 0, ran.err
    assert "contempt" in ran.out.decode()
    assert "read alike" in ran.out.decode()
    again = mien("quantize", model, "--root", ferplus_zip, "-o", out)
    assert again.code != 0
    assert "exists" in again.err
