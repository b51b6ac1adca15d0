"""A trained network to one ONNX file with its card inside.

Each kind of run has one function that finds its network and calls `write_model`: `export_run` here, and
that of the paper's runs in `mien.paper`.
"""

from __future__ import annotations

import copy
import json
import logging
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mien.card import CARD_KEY, FACE_CARD_KEY, ModelCard
from mien.config import from_toml
from mien.errors import ModelError, TrainingError
from mien.faces.align import TEMPLATE
from mien.faces.network import open_session
from mien.files import WholeFile
from mien.nets import count_multiply_adds, count_parameters, make_net
from mien.nets.face import FaceNet
from mien.train.face_recipes import FaceRecipe
from mien.train.loop import LOG, load_averaged
from mien.train.recipes import CONFIG, PROVENANCE, Recipe

T = TypeVar("T")

#: How a card describes FairFace, with the purpose filled in.
UNLABELLED: Final = "FairFace's faces, without labels, for {} (Karkkainen and Joo, WACV 2021; CC BY 4.0)"
_STARTS: Final = {
    "intel": "the weights of face-reidentification-retail-0095, as a start (Intel, Open Model Zoo, "
    "Apache-2.0; trained on VGGFace2, as Intel says)"
}
_LIMITS: Final = (
    "It reads the expression shown on a face, not what a person feels.",
    "Not for decisions about people at work, in school, at borders or by the police, nor as a lie detector.",
)
#: Corpus to how a card describes its data, the licence of weights trained on it, and what they are weak at.
_SOURCES: Final[dict[str, tuple[tuple[str, ...], str, str]]] = {
    "ferplus": (
        (
            "FER+ votes, Microsoft, MIT licence (arXiv:1608.01041)",
            "FER2013 pictures, ICML 2013 Challenges in Representation Learning (arXiv:1307.0414)",
        ),
        "Apache-2.0",
        "Contempt, disgust and fear are rare in its data: their recall is far below the others'.",
    ),
    "rafd": (
        ("Radboud Faces Database (Langner et al. 2010), given for research on request",),
        "for research; ask the Radboud Faces Database before passing the weights on",
        "It learned from expressions that 67 people posed in a studio: spontaneous ones are harder.",
    ),
    "toy": (
        ("drawn faces, no photographs: says nothing of real ones",),
        "Apache-2.0",
        "It has seen no photograph.",
    ),
}

#: The teacher of the face network, as its card names it.
FACE_TEACHER: Final = (
    "Google's Face Landmarker (face_landmarker.task, float16, 64184e229b26; Apache-2.0), run on every picture"
)
_FACE_SOURCES: Final = {
    "fairface": "FairFace (Karkkainen and Joo, WACV 2021; CC BY 4.0)",
    "photos": "press and web photos, most of Labeled Faces in the Wild (Apache-2.0)",
    "ferplus": "FER2013 pictures, ICML 2013 Challenges in Representation Learning (arXiv:1307.0414)",
}
_FACE_LIMITS: Final = (
    "Its figures are against its teacher, itself a network, not against measured faces.",
    "Not for recognising people, nor for decisions about them.",
)
HALVED: Final = 1000  # numbers from which a weight of the face network is kept in 16 bits

#: Largest difference of a number between torch and ONNX Runtime that passes for rounding.
TOLERANCE = 1e-3


def export_run(run: Path | str, path: Path | str, *, name: str | None = None) -> None:
    """Write the averaged network of a finished run as ONNX with its card inside, named as its recipe is.

    Raises:
        TrainingError: `run` holds no checkpoint or no epoch was finished.
        OutputError: the file cannot be written.
    """
    run = Path(run)
    recipe, facts, last = read_run(run, Recipe, run / LOG)
    net = load_averaged(make_net(recipe.net), run)
    command = f"mien train {recipe.name} --data {recipe.data} {recipe.loop.arguments(last['epoch'])}"
    data = [UNLABELLED.format("teachers to label")] if facts.get("unlabelled") else []
    data += [_STARTS[recipe.start]] if recipe.start in _STARTS else []
    data += [f"labels by the teacher {teacher}" for teacher in facts.get("teachers", ())]
    known = {line for lines, _, _ in _SOURCES.values() for line in lines}
    data += [f"by its teachers: {line}" for line in facts.get("taught from", ()) if line not in known]
    write_model(net, path, name=name or recipe.name, facts={"recipe": command, **facts}, last=last, data=data)


def read_run(run: Path, kind: type[T], log: Path) -> tuple[T, dict[str, Any], dict[str, Any]]:
    """The recipe of a run, its provenance, and the last line of its log."""
    try:
        recipe = from_toml(kind, (run / CONFIG).read_text())
        facts = json.loads((run / PROVENANCE).read_text())
        last = json.loads(log.read_text().splitlines()[-1])
    except (OSError, ValueError, IndexError) as error:
        raise TrainingError(
            f"{run}: expected the folder of a run with at least one finished epoch ({error}); "
            "make one with `mien train`"
        ) from error
    return recipe, facts, last


def write_model(
    net: nn.Module,
    path: Path | str,
    *,
    name: str,
    facts: Mapping[str, Any],
    last: Mapping[str, Any],
    data: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> None:
    """Write a network as ONNX, its card filled from what is known of its run.

    Args:
        net: the network.
        path: the file to write.
        name: what the card calls the network.
        facts: the run's provenance, with the command in `recipe` and, unless it is FER+, the corpus.
        last: the last line of its log, whose scores are put on the card.
        data: what it was trained on in addition to its corpus.
        limits: what is to be said of its answers beyond the usual.
    """
    corpus = facts.get("corpus", "ferplus").split("/")[0]
    split = "valid" if corpus == "ferplus" else "held out"
    known, licence, weakness = _SOURCES[corpus]
    folded = fold(net)  # what will be in the file
    scores = {key: value for key, value in last.items() if key not in ("epoch", "loss", "seconds")}
    card = ModelCard(
        name=name,
        template=TEMPLATE,
        parameters=count_parameters(folded),
        multiply_adds=count_multiply_adds(folded),
        data=(*known, *data),
        licence=licence,
        recipe=facts["recipe"],
        scores={f"{corpus}/{split}": scores} if scores else {},
        # the command names local paths
        provenance={key: value for key, value in facts.items() if key not in ("command", "recipe")},
        limits=(*_LIMITS, weakness, *limits),
    )
    export_onnx(net, card, path)


def export_onnx(net: nn.Module, card: ModelCard, path: Path | str) -> None:
    """Write `net` as ONNX: input (N, C, size, size) float32 gray levels, output logits (N, 8).

    Batch norms are folded into their convolutions first. The file is checked against the network
    on random pictures before it takes its name.

    Raises:
        ModelError: ONNX Runtime gives other numbers than torch.
        OutputError: the file cannot be written.
    """
    channels = 1 if card.colour == "gray" else 3
    example = torch.randint(0, 256, (2, channels, card.size, card.size)).float()
    _write_network(fold(net), net.cpu().eval(), example, path, "logits", {CARD_KEY: card.to_json()})


def export_face_run(run: Path | str, path: Path | str, *, name: str | None = None) -> None:
    """Write the face network of a finished run as ONNX, what is known of it inside.

    Its large weights are kept in 16 bits and made 32 again when the file is opened: half the size, and
    arithmetic as before. Input (N, 1, S, S) float32 gray levels, output `face` (N, 345).

    Raises:
        TrainingError: `run` holds no checkpoint or no epoch was finished.
        ModelError: ONNX Runtime gives other numbers than torch.
        OutputError: the file cannot be written.
    """
    run = Path(run)
    recipe, facts, last = read_run(run, FaceRecipe, run / LOG)
    folded = fold(load_averaged(FaceNet(recipe.net), run))
    with torch.no_grad():
        for weight in folded.parameters():
            if weight.numel() >= HALVED:
                weight.copy_(weight.half())
    side = recipe.net.side
    known = {
        "name": name or recipe.name,
        "reads": f"{side} x {side} gray, pupils and corners of the mouth in fixed places",
        "gives": "presence of a face, expected error, 146 landmarks, the head's turn, 45 movements",
        "parameters": count_parameters(folded),
        "multiply_adds": count_multiply_adds(folded, side),
        "teacher": FACE_TEACHER,
        "data": [_FACE_SOURCES.get(corpus, corpus) for corpus in recipe.corpora],
        "licence": "Apache-2.0",
        "recipe": f"mien train {recipe.name} {recipe.loop.arguments(last['epoch'])}",
        "scores": {key: value for key, value in last.items() if key not in ("epoch", "loss", "seconds")},
        "provenance": {key: value for key, value in facts.items() if key != "command"},
        "limits": list(_FACE_LIMITS),
    }
    example = torch.randint(0, 256, (2, 1, side, side)).float()
    _write_network(folded, folded, example, path, "face", {FACE_CARD_KEY: json.dumps(known)}, halved=True)


def has_setting(run: Path, name: str) -> bool:
    """Whether the recipe of a run has a setting of this name, by which kinds of runs are told apart."""
    try:
        return name in tomllib.loads((run / CONFIG).read_text())
    except (OSError, ValueError):
        return False


def is_face_run(run: Path) -> bool:
    """Whether a folder holds a run of the face network's recipes."""
    return has_setting(run, "corpora")


def _write_network(
    folded: nn.Module,
    original: nn.Module,
    example: torch.Tensor,
    path: Path | str,
    output: str,
    metadata: Mapping[str, str],
    *,
    halved: bool = False,
) -> None:
    """Write a network that is folded, once ONNX Runtime gives the original's numbers for the example."""
    model = _trace(folded, example, output)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    if halved:
        _halve(model.graph)
    data = model.SerializeToString()
    with torch.no_grad():
        expected = original(example).numpy()
    got = open_session(data).run(None, {"input": example.numpy()})[0]
    worst = float(np.abs(got - expected).max())
    if worst > TOLERANCE:
        raise ModelError(
            f"export: expected {output} within {TOLERANCE} of torch, ONNX Runtime differs by {worst:.2g}; "
            "this is a bug in the exporter or the network: please report it"
        )
    with WholeFile(Path(path), overwrite=True) as file:
        file.partial.write_bytes(data)


def _halve(graph: onnx.GraphProto) -> None:
    """Keep large float32 weights as float16, with a node that makes them float32 again."""
    casts = []
    for weight in list(graph.initializer):
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= HALVED:
            small = f"{weight.name}_half"
            graph.initializer.remove(weight)
            graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float16), small))
            casts.append(onnx.helper.make_node("Cast", [small], [weight.name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def fold(net: nn.Module) -> nn.Module:
    """A copy in eval mode: parts in their simplest form, batch norms in the convolutions before them."""
    net = copy.deepcopy(net).cpu().eval()
    for name, module in list(net.named_modules()):
        fused = getattr(module, "fused", None)  # a module's simpler form of itself
        if fused is not None:
            net.set_submodule(name, fused().train(module.training))
    traced = torch.fx.symbolic_trace(net)
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        before = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(before, torch.fx.Node):
            continue
        norm, name = modules[str(node.target)], str(before.target)
        conv = modules.get(name)
        if isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d):
            modules[name] = fuse_conv_bn_eval(conv, norm)
            traced.set_submodule(name, modules[name])
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _trace(net: nn.Module, example: torch.Tensor, output: str) -> onnx.ModelProto:
    with warnings.catch_warnings(), quiet_logger("torch.onnx"):
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            net,
            (example,),
            input_names=["input"],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ModelError("torch exported no ONNX program; is onnxscript installed?")
    model = program.model_proto
    # the exporter notes where each node came from, naming local paths
    parts = (model.graph.node, model.graph.input, model.graph.output, model.graph.value_info)
    for part in (*parts, model.graph.initializer):
        for thing in part:
            del thing.metadata_props[:]
            thing.doc_string = ""
    del model.graph.metadata_props[:]
    return model


@contextmanager
def quiet_logger(name: str) -> Iterator[None]:
    """Silence all but errors of one logger ("" is all of them): exporters report on their own internals."""
    logger = logging.getLogger(name or None)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
