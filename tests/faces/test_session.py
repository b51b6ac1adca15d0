"""Opening networks and their cards: what comes back, and what the errors say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mien.card import CARD_KEY, ModelCard
from mien.errors import ModelError
from mien.faces.network import open_session, read_card


def doubler(metadata: dict[str, str]) -> bytes:
    """A network that adds its input to itself."""
    row = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("input", "output")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["input", "input"], ["output"])], "g", row[:1], row[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    content: bytes = model.SerializeToString()
    return content


def test_a_file_and_its_bytes_open_alike(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(doubler({}))
    for model in (path, path.read_bytes()):
        session = open_session(model)
        (output,) = session.run(None, {"input": np.array([1, 2], np.float32)})
        assert output.tolist() == [2, 4]
        assert session.get_providers() == ["CPUExecutionProvider"]


def test_threads_are_those_asked_for() -> None:
    assert open_session(doubler({}), threads=2).get_session_options().intra_op_num_threads == 2
    assert open_session(doubler({})).get_session_options().intra_op_num_threads == 1


def test_the_card_comes_back() -> None:
    card = ModelCard(name="né", size=64, colour="rgb", template=((0.1, 0.2),) * 5)
    assert read_card(open_session(doubler({CARD_KEY: card.to_json()}))) == card


def test_no_card_says_what_there_is() -> None:
    with pytest.raises(ModelError, match="found author; write the file with `mien export`"):
        read_card(open_session(doubler({"author": "someone"})))
    with pytest.raises(ModelError, match="found no metadata at all"):
        read_card(open_session(doubler({})))


def test_a_card_that_is_none() -> None:
    with pytest.raises(ModelError, match="could not read it"):
        read_card(open_session(doubler({CARD_KEY: "[]"})))


@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_is_no_network(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"expected an ONNX network, got .*no\.onnx"):
        open_session(path)


def test_a_network_cut_in_half(tmp_path: Path) -> None:
    content = doubler({CARD_KEY: "x" * 1000})
    with pytest.raises(ModelError, match="expected an ONNX network"):
        open_session(content[: len(content) // 2])


def test_an_unknown_operator() -> None:
    row = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Frobnicate", ["input"], ["output"])], "g", row[:1], row[1:])
    model = helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="Frobnicate"):
        open_session(model.SerializeToString())


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="could not read it"):
        open_session(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="could not read it"):
        open_session(tmp_path)
