"""The card inside an ONNX file: put in place of the old one, and nothing else changed."""

import onnx
import pytest
from onnx import numpy_helper

from mien.card import ModelCard, with_card
from mien.errors import ModelError
from mien.faces.network import open_session, read_card


def test_the_card_is_rewritten_and_nothing_else(tiny_model):
    before = tiny_model.read_bytes()
    card = ModelCard("other " * 50, temperature=0.5, uncertain=0.7)
    after = with_card(before, card)
    assert read_card(open_session(after)) == card
    old, new = onnx.load_from_string(before), onnx.load_from_string(after)
    assert [m.key for m in new.metadata_props] == ["mien.card"]
    assert new.graph.SerializeToString() == old.graph.SerializeToString()
    weights = [[numpy_helper.to_array(t).tobytes() for t in m.graph.initializer] for m in (old, new)]
    assert weights[0] == weights[1]
    del old.metadata_props[:], new.metadata_props[:]
    assert old == new
    assert with_card(after, read_card(open_session(before))) != after
    assert with_card(with_card(before, card), card) == after


def test_other_metadata_is_kept(tiny_model):
    model = onnx.load(tiny_model)
    for key in ("mien.card.note", "author"):
        model.metadata_props.add(key=key, value="kept")
    after = onnx.load_from_string(with_card(model.SerializeToString(), ModelCard("x")))
    found = {m.key: m.value for m in after.metadata_props}
    assert found["mien.card.note"] == found["author"] == "kept"
    assert ModelCard.from_json(found["mien.card"]).name == "x"


def test_what_is_no_onnx_file_is_refused(tiny_model):
    whole = tiny_model.read_bytes()
    for data in (whole[:-1], whole[:100], b"\xff" * 20, b"\x0b\x00"):
        with pytest.raises(ModelError, match="expected an ONNX file"):
            with_card(data, ModelCard("x"))
