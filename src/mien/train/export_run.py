"""The network of a finished run as one ONNX file, its card filled from the run."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mien.config import from_toml
from mien.errors import TrainingError
from mien.paper.variants import PaperRecipe, load_variant
from mien.train.recipes import CONFIG, PROVENANCE, Recipe

if TYPE_CHECKING:
    from torch import nn

_LIMITS: Final = (
    "It reads the expression shown on a face, not what a person feels.",
    "Contempt, disgust and fear are rare in its data: their recall is far below the others'.",
    "Not for decisions about people at work, in school, at borders or by the police, nor as a lie detector.",
)
_BINARY: Final = (
    "Eight networks, each of one emotion against the rest: its outputs are their log-odds, so that the "
    "probabilities of the eight emotions are not those that the networks give one by one.",
)


_POOL: Final = "FairFace's faces, without labels, for {} (Karkkainen and Joo, WACV 2021; CC BY 4.0)"
_STARTS: Final = {
    "dlib": "dlib's face recognition weights, as a start (Davis King 2017; CC0)",
}


@dataclass(frozen=True, slots=True)
class _Source:
    """What a corpus says of the weights learnt from it."""

    data: tuple[str, ...]
    licence: str


_SOURCES: Final = {
    "ferplus": _Source(
        (
            "FER+ votes, Microsoft, MIT licence (arXiv:1608.01041)",
            "FER2013 pictures, ICML 2013 Challenges in Representation Learning (arXiv:1307.0414)",
        ),
        "Apache-2.0",
    ),
    "rafd": _Source(
        ("Radboud Faces Database (Langner et al. 2010), given for research on request",),
        "for research; ask the Radboud Faces Database before passing the weights on",
    ),
    "toy": _Source(("drawn faces, no photographs: says nothing of real ones",), "Apache-2.0"),
}


def run_export(run: Path, path: Path, *, name: str | None = None) -> None:
    """Write the averaged network of a finished run as ONNX with its card inside.

    Args:
        run: a folder made by `mien train`, or a part of `mien reproduce`
            (e.g. `runs/paper/paper-300/part-1`).
        path: the file to write.
        name: what the card calls the network; None: as its recipe is called.

    Raises:
        TrainingError: `run` holds no checkpoint or no epoch was finished.
        OutputError: the file cannot be written.
    """
    from mien.card import ModelCard
    from mien.faces.align import TEMPLATE
    from mien.nets import count
    from mien.train.export import export_onnx, fold

    recipe, facts, last = _read_run(run)
    net = _load(recipe, run)
    folded = fold(net)  # what will be in the file
    corpus = facts.get("corpus", "ferplus").split("/")[0]
    source = _SOURCES[corpus]
    eight = isinstance(recipe, PaperRecipe) and recipe.networks == "eight"
    card = ModelCard(
        name=name or recipe.name,
        template=TEMPLATE,
        parameters=count.parameters(folded),
        multiply_adds=count.multiply_adds(folded),
        data=source.data + _more_data(recipe, facts),
        licence=source.licence,
        recipe=facts.get("recipe", f"mien train {recipe.name} --data {corpus} --seed {recipe.loop.seed}"),
        scores={f"{corpus}/{'valid' if corpus == 'ferplus' else 'held out'}": _scores(last)}
        if _scores(last)
        else {},
        # The command names local paths.
        provenance={key: value for key, value in facts.items() if key not in ("command", "recipe")},
        limits=_LIMITS + (_BINARY if eight else ()),
    )
    export_onnx(net, card, path)


def _more_data(recipe: Recipe | PaperRecipe, facts: dict[str, Any]) -> tuple[str, ...]:
    """What else the weights were learnt from."""
    more = []
    if facts.get("unlabelled"):
        more.append(
            _POOL.format("the autoencoder" if isinstance(recipe, PaperRecipe) else "teachers to label")
        )
    if isinstance(recipe, Recipe) and recipe.start in _STARTS:
        more.append(_STARTS[recipe.start])
    more += [f"labels by the teacher {name}" for name in facts.get("teachers", ())]
    return tuple(more)


def _scores(last: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in last.items() if key not in ("epoch", "loss", "seconds")}


def _load(recipe: Recipe | PaperRecipe, run: Path) -> nn.Module:
    from mien.nets import make_net
    from mien.train.checkpoint import load_checkpoint
    from mien.train.loop import CHECKPOINT

    if isinstance(recipe, PaperRecipe):
        return load_variant(recipe, run).requires_grad_()
    net = make_net(recipe.net)
    net.load_state_dict(load_checkpoint(run / CHECKPOINT)["averaged"])
    return net


def _read_run(run: Path) -> tuple[Recipe | PaperRecipe, dict[str, Any], dict[str, Any]]:
    """Recipe, provenance and the log's last line."""
    from mien.paper.finetune import WHOLE

    try:
        text = (run / CONFIG).read_text()
        paper = "variant" in tomllib.loads(text)
        recipe = from_toml(PaperRecipe, text) if paper else from_toml(Recipe, text)
        facts = json.loads((run / PROVENANCE).read_text())
        log = (run / WHOLE if paper else run) / "log.jsonl"
        last = json.loads(log.read_text().splitlines()[-1])
    except (OSError, ValueError, IndexError) as error:
        raise TrainingError(
            f"{run}: expected the folder of a run with at least one finished epoch ({error}); "
            "make one with `mien train`"
        ) from error
    return recipe, facts, last
