"""The paper's system as recipes: raw pictures, generated pictures, or pretrained encoders into a network.

Beltrán Prieto and Komínková Oplatková 2018, section 3. Each recipe has a `-small` twin, narrow and with few
epochs, that two cores finish in minutes. Epochs, rates and augmentation are not in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mien.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mien.train.augment import AugmentOptions
    from mien.train.loop import LoopOptions, Task
    from mien.train.pretrain import PretrainOptions

Report = Callable[[Mapping[str, Any]], None]


def _loop(epochs: int, rate: float) -> LoopOptions:
    from mien.train.loop import LoopOptions

    # The 5 x 5 convolutions run best with contiguous pictures (docs/speed.md).
    return LoopOptions(epochs=epochs, batch=64, rate=rate, average=0.99, channels_last=False)


def _pretrain() -> PretrainOptions:
    from mien.train.pretrain import PretrainOptions

    return PretrainOptions()


def _augment() -> AugmentOptions:
    from mien.train.augment import AugmentOptions

    # Little: the paper's pictures are posed, frontal and evenly lit.
    return AugmentOptions(
        rotation=6, scale=0.06, stretch=0, shift=0.04, contrast=0.15, brightness=10, blur=0, erase=0
    )


@dataclass(frozen=True, slots=True)
class PaperRecipe:
    """Everything that decides one variant of the paper's system."""

    name: str = "paper-raw"
    variant: str = "raw"  # "raw", "generated" (section 3) or "pretrained" (section 2.3)
    hidden: tuple[int, ...] = (300,)  # nodes of the dense autoencoder: (300,), (500,) or the stack (300, 500)
    stack: tuple[int, ...] = (64, 128, 256)  # channels of the convolutional autoencoders
    width: int = 512  # filters of the CNN, section 3
    pretrain: PretrainOptions = field(default_factory=_pretrain)
    head: LoopOptions = field(default_factory=lambda: _loop(5, 0.02))  # the last layer alone
    loop: LoopOptions = field(default_factory=lambda: _loop(40, 0.05))  # the whole network
    augment: AugmentOptions = field(default_factory=_augment)


def raw() -> PaperRecipe:
    """The paper's CNN on the pictures themselves: what the autoencoders must beat."""
    return PaperRecipe("paper-raw")


def generated(*hidden: int) -> PaperRecipe:
    """The paper's CNN on what a dense autoencoder of these hidden layers generates."""
    return PaperRecipe(f"paper-{'-'.join(map(str, hidden))}", "generated", hidden=hidden)


def pretrained(corruption: str = "none") -> PaperRecipe:
    """Convolutional encoders, pretrained greedily, as the first layers of a classifier."""
    name = "paper-pretrained" if corruption == "none" else f"paper-{corruption}"
    recipe = PaperRecipe(name, "pretrained")
    return replace(recipe, pretrain=replace(recipe.pretrain, corruption=corruption))


def small(recipe: PaperRecipe) -> PaperRecipe:
    """The same, narrow and short."""
    return replace(
        recipe,
        name=f"{recipe.name}-small",
        width=16,
        stack=(16, 32, 64),
        pretrain=replace(recipe.pretrain, epochs=4),
        head=replace(recipe.head, epochs=1),
        loop=replace(recipe.loop, epochs=12),
    )


def seeded(recipe: PaperRecipe, seed: int) -> PaperRecipe:
    """The same with another seed in every stage."""
    return replace(
        recipe,
        pretrain=replace(recipe.pretrain, seed=seed),
        head=replace(recipe.head, seed=seed),
        loop=replace(recipe.loop, seed=seed),
    )


PAPER: Final[dict[str, Callable[[], PaperRecipe]]] = {
    "paper-raw": raw,
    "paper-300": lambda: generated(300),
    "paper-500": lambda: generated(500),
    "paper-300-500": lambda: generated(300, 500),
    "paper-pretrained": pretrained,
    "paper-noise": lambda: pretrained("noise"),
    "paper-mask": lambda: pretrained("mask"),
}


def make_paper(name: str) -> PaperRecipe:
    """A variant by name, or its small twin (`paper-300-small`).

    Raises:
        ConfigError: there is no such variant; the message lists those there are.
    """
    base = name.removesuffix("-small")
    if base not in PAPER:
        raise ConfigError(
            f"variant: expected one of {', '.join(PAPER)} (each also with -small), got {name!r}"
        )
    recipe = PAPER[base]()
    return small(recipe) if name.endswith("-small") else recipe


def learn(
    recipe: PaperRecipe, task: Task, unlabelled: Tensor, run: Path, report: Report = lambda _: None
) -> nn.Module:
    """Learn a variant in its stages; each has a folder in `run` and goes on where it stopped.

    Args:
        recipe: the variant.
        task: labelled pictures (N, 1, 48, 48) uint8, targets (N, 8), loss and judge.
        unlabelled: (M, 1, 48, 48) uint8 pictures that the autoencoders learn from.
        run: the folder of the run.
        report: takes a line an epoch.
    """
    import torch

    from mien.train.finetune import finetune
    from mien.train.loop import train

    torch.manual_seed(recipe.loop.seed)
    net = _build(recipe, unlabelled, run, report)
    if recipe.variant == "pretrained":
        return finetune(net, task, head=recipe.head, whole=recipe.loop, run=run, report=report)
    return train(net, task, recipe.loop, run / "whole", report)


def _build(recipe: PaperRecipe, unlabelled: Tensor, run: Path, report: Report) -> nn.Module:
    """The network, its autoencoder learnt."""
    from mien.nets.conv_stack import ConvStack, EncoderClassifier
    from mien.nets.dense import DenseAutoencoder
    from mien.nets.paper import OnGenerated, PaperCNN
    from mien.train.pretrain import pretrain

    if recipe.variant == "generated":
        dense = DenseAutoencoder(recipe.hidden).to(unlabelled.device)
        pretrain(dense, unlabelled, recipe.pretrain, run / "autoencoder", report)
        return OnGenerated(dense, PaperCNN(recipe.width))
    if recipe.variant == "pretrained":
        stack = ConvStack(recipe.stack).to(unlabelled.device)
        pretrain(stack, unlabelled, recipe.pretrain, run / "autoencoder", report)
        return EncoderClassifier(stack)
    return PaperCNN(recipe.width)
