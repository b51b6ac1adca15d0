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
from mien.labels import EMOTIONS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mien.paper.pretrain import PretrainOptions
    from mien.train.augment import AugmentOptions
    from mien.train.loop import LoopOptions, Loss

Report = Callable[[Mapping[str, Any]], None]

#: Folder of a run's stages without labels.
AUTOENCODER: Final = "autoencoder"


def _loop(epochs: int, rate: float) -> LoopOptions:
    from mien.train.loop import LoopOptions

    return LoopOptions(epochs=epochs, batch=64, rate=rate, average=0.99, clip=5.0)


def _pretrain() -> PretrainOptions:
    from mien.paper.pretrain import PretrainOptions

    return PretrainOptions(rate=0.01)


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
    variant: str = "raw"  # one of VARIANTS
    hidden: tuple[int, ...] = (300,)  # nodes of the dense autoencoder: (300,), (500,) or the stack (300, 500)
    autoencoders: str = "one"  # "one" for all pictures, or "each": one an emotion
    networks: str = "one"  # "one" of eight outputs, or "eight", each of which tells an emotion from the rest
    width: int = 512  # filters of the CNN, section 3
    pretrain: PretrainOptions = field(default_factory=_pretrain)
    head: LoopOptions = field(default_factory=lambda: _loop(5, 0.02))  # the last layer alone
    loop: LoopOptions = field(default_factory=lambda: _loop(60, 0.01))  # the whole network
    augment: AugmentOptions = field(default_factory=_augment)

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.autoencoders == "each" and self.variant != "generated":
            raise ConfigError(
                f"autoencoders: one an emotion generates pictures, and {self.name} uses none that are "
                "generated; take paper-300, paper-500 or paper-300-500"
            )


#: How the two techniques are joined: not at all, by generated pictures (section 3: "an AutoEncoder used as
#: an input for the Convolutional Neural Network"), or by pretrained layers (section 3: "pre-training").
VARIANTS: Final = ("raw", "generated", "pretrained")
_CHOICES: Final = {"variant": VARIANTS, "autoencoders": ("one", "each"), "networks": ("one", "eight")}


def raw() -> PaperRecipe:
    """The paper's CNN on the pictures themselves: what the autoencoders must beat."""
    return PaperRecipe("paper-raw")


def generated(*hidden: int) -> PaperRecipe:
    """The paper's CNN on what a dense autoencoder of these hidden layers generates."""
    recipe = PaperRecipe(f"paper-{'-'.join(map(str, hidden))}", "generated", hidden=hidden)
    # It starts at PCA's solution, which a larger rate would leave for a worse one.
    return replace(recipe, pretrain=replace(recipe.pretrain, rate=0.003))


def pretrained(corruption: str = "none") -> PaperRecipe:
    """The paper's CNN of which all layers but the last were learnt as autoencoders."""
    name = "paper-pretrained" if corruption == "none" else f"paper-{corruption}"
    recipe = PaperRecipe(name, "pretrained")
    return replace(recipe, pretrain=replace(recipe.pretrain, corruption=corruption))


def small(recipe: PaperRecipe) -> PaperRecipe:
    """The same, narrow and short; what is narrow bears larger rates."""
    dense = recipe.variant == "generated"
    return replace(
        recipe,
        name=f"{recipe.name}-small",
        width=16,
        pretrain=replace(recipe.pretrain, epochs=4, rate=recipe.pretrain.rate if dense else 0.1),
        head=replace(recipe.head, epochs=1),
        loop=replace(recipe.loop, epochs=30, rate=0.05),
    )


def with_readings(recipe: PaperRecipe, autoencoders: str = "one", networks: str = "one") -> PaperRecipe:
    """The same with the other readings of what the paper leaves open, which its name then says."""
    name = recipe.name
    name += "-each" if autoencoders == "each" else ""
    name += "-eight" if networks == "eight" else ""
    return replace(recipe, name=name, autoencoders=autoencoders, networks=networks)


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


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a variant learns from."""

    images: Tensor  # (N, 1, 48, 48) uint8, labelled
    targets: Tensor  # (N, 8) float32 label distributions
    unlabelled: Tensor  # (M, 1, 48, 48) uint8, for the autoencoders
    judge: Callable[[nn.Module], Mapping[str, float]] = lambda _: {}  # figures after each epoch


def learn(recipe: PaperRecipe, lesson: Lesson, run: Path, report: Report = lambda _: None) -> nn.Module:
    """Learn a variant in its stages; each has a folder in `run` and goes on where it stopped."""
    import torch

    from mien.paper.finetune import WHOLE, finetune
    from mien.train.loop import TrainingTask, staged, train

    torch.manual_seed(recipe.loop.seed)
    net = make_variant(recipe).to(lesson.images.device)
    _pretrain_parts(recipe, net, lesson, run, report)
    task = TrainingTask(lesson.images, lesson.targets, loss_of(recipe, lesson.targets), lesson.judge)
    batch = min(recipe.loop.batch, len(lesson.images))
    head, whole = replace(recipe.head, batch=batch), replace(recipe.loop, batch=batch)
    if recipe.variant == "pretrained":
        return finetune(net, task, head=head, whole=whole, run=run, report=report)
    return train(net, task, whole, run / WHOLE, staged(WHOLE, report))


def loss_of(recipe: PaperRecipe, targets: Tensor) -> Loss:
    """The loss with labels: of one network of eight outputs, or of eight networks."""
    from mien.paper.finetune import binary_loss
    from mien.train.augment import labelled_loss

    if recipe.networks == "eight":
        return binary_loss(recipe.augment, targets.mean(0))
    return labelled_loss(recipe.augment)


def make_variant(recipe: PaperRecipe) -> nn.Module:
    """The network of a variant, autoencoder and CNN together, (B, 1, 48, 48) gray levels to (B, 8) logits."""
    from mien.paper.cnn import OneAgainstRest, OnGenerated, PaperCNN
    from mien.paper.dense import DenseAutoencoder, EmotionAutoencoders

    channels = len(EMOTIONS) if recipe.autoencoders == "each" else 1
    if recipe.networks == "eight":
        net: nn.Module = OneAgainstRest(PaperCNN(recipe.width, channels, 1) for _ in EMOTIONS)
    else:
        net = PaperCNN(recipe.width, channels)
    if recipe.variant != "generated":
        return net
    if recipe.autoencoders == "one":
        return OnGenerated(DenseAutoencoder(recipe.hidden), net)
    return OnGenerated(EmotionAutoencoders(DenseAutoencoder(recipe.hidden) for _ in EMOTIONS), net)


def load_variant(recipe: PaperRecipe, run: Path) -> nn.Module:
    """The network that `learn` made in `run`, from its last checkpoint.

    Raises:
        TrainingError: the run has not come to its last stage.
    """
    from mien.paper.finetune import WHOLE
    from mien.train.loop import CHECKPOINT, load_checkpoint

    net = make_variant(recipe)
    net.load_state_dict(load_checkpoint(run / WHOLE / CHECKPOINT)["averaged"])
    return net


def _pretrain_parts(recipe: PaperRecipe, net: nn.Module, lesson: Lesson, run: Path, report: Report) -> None:
    """Learn what a variant learns without labels, in place."""
    from mien.paper.dense import EmotionAutoencoders
    from mien.paper.pretrain import pretrain

    if recipe.variant == "pretrained":
        _pretrain_layers(recipe, net, lesson.unlabelled, run, report)
    elif recipe.variant == "generated" and isinstance(net.autoencoder, EmotionAutoencoders):
        answer = lesson.targets.argmax(1)
        for i, (emotion, member) in enumerate(zip(EMOTIONS, net.autoencoder.members, strict=True)):
            if (answer == i).any():  # else it stays as it is, and generates noise
                own = lesson.images[answer == i]
                pretrain(member, own, recipe.pretrain, run / AUTOENCODER / emotion, report)  # type: ignore[arg-type]
    elif recipe.variant == "generated":
        pretrain(net.autoencoder, lesson.unlabelled, recipe.pretrain, run / AUTOENCODER, report)  # type: ignore[arg-type]
    if recipe.variant == "generated":
        net.autoencoder.requires_grad_(False)


def _pretrain_layers(
    recipe: PaperRecipe, net: nn.Module, unlabelled: Tensor, run: Path, report: Report
) -> None:
    """The layers of the CNN as autoencoders; of eight networks, the first learns and the others copy it."""
    from mien.paper.cnn import OneAgainstRest, PaperCNN
    from mien.paper.conv_stack import ConvStack
    from mien.paper.pretrain import pretrain

    first, *others = net.members if isinstance(net, OneAgainstRest) else [net]
    assert isinstance(first, PaperCNN)  # noqa: S101  of our own making
    pretrain(ConvStack(first), unlabelled, recipe.pretrain, run / AUTOENCODER, report)
    for other in others:
        other.layers.load_state_dict(first.layers.state_dict())  # type: ignore[union-attr]
