"""A trained network to one ONNX file with its card inside."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mien.card import CARD_KEY, ModelCard
from mien.errors import ModelError, OutputError
from mien.train.quiet import quiet

#: Largest difference of a logit between torch and ONNX Runtime that passes for rounding.
TOLERANCE = 1e-3


def export_onnx(net: nn.Module, card: ModelCard, path: Path) -> None:
    """Write `net` as ONNX: input (N, C, size, size) float32 gray levels, output logits (N, 8).

    Batch norms are folded into their convolutions first. The file is checked against the network
    on random pictures before it takes its name.

    Raises:
        ModelError: ONNX Runtime gives other numbers than torch.
        OutputError: the file cannot be written.
    """
    folded = fold(net)
    channels = 1 if card.colour == "gray" else 3
    example = torch.randint(0, 256, (2, channels, card.size, card.size)).float()
    model = _trace(folded, example)
    entry = model.metadata_props.add()
    entry.key, entry.value = CARD_KEY, card.to_json()
    data = model.SerializeToString()
    _check(data, net, example)
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: could not write the model ({error}); give another -o") from error


def fold(net: nn.Module) -> nn.Module:
    """A copy in eval mode: parts in their simplest form, batch norms in the convolutions before them."""
    traced = torch.fx.symbolic_trace(_fuse_parts(copy.deepcopy(net).cpu().eval()))
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        before = node.args[0] if node.args else None
        if not (node.op == "call_module" and isinstance(modules[node.target], nn.BatchNorm2d)):
            continue
        if isinstance(before, torch.fx.Node) and isinstance(modules.get(str(before.target)), nn.Conv2d):
            _fuse(traced, modules, before, node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _fuse_parts(net: nn.Module) -> nn.Module:
    """Each module that knows a simpler form of itself, `fused()`, replaced by it."""
    for name, module in list(net.named_modules()):
        fused = getattr(module, "fused", None)
        if fused is not None:
            net.set_submodule(name, fused().train(module.training))
    return net


def _fuse(
    traced: torch.fx.GraphModule, modules: dict[str, nn.Module], conv: torch.fx.Node, norm: torch.fx.Node
) -> None:
    name = str(conv.target)
    modules[name] = fuse_conv_bn_eval(modules[name], modules[str(norm.target)])  # type: ignore[type-var, arg-type]
    traced.set_submodule(name, modules[name])
    norm.replace_all_uses_with(conv)
    traced.graph.erase_node(norm)


def _trace(net: nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    with warnings.catch_warnings(), quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            net,
            (example,),
            input_names=["input"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ModelError("expected torch to give an ONNX program, got none; is onnxscript installed?")
    return _without_traces(program.model_proto)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes on where each node came from, which name local paths."""
    parts = (model.graph.node, model.graph.input, model.graph.output, model.graph.value_info)
    for part in (*parts, model.graph.initializer):
        for thing in part:
            del thing.metadata_props[:]
            thing.doc_string = ""
    del model.graph.metadata_props[:]
    return model


def _check(data: bytes, net: nn.Module, example: torch.Tensor) -> None:
    with torch.no_grad():
        expected = net.cpu().eval()(example).numpy()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    got = session.run(None, {"input": example.numpy()})[0]
    worst = float(np.abs(got - expected).max())
    if worst > TOLERANCE:
        raise ModelError(
            f"export: expected logits within {TOLERANCE} of torch, ONNX Runtime differs by {worst:.2g}; "
            "this is a bug of the exporter or of the network: please report it"
        )
