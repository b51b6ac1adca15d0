"""Section 3: the ways in which autoencoder and CNN are joined, each as a recipe.

The paper's own, as its text and tables demand them (`paper-300`, `paper-500`): for each emotion an
autoencoder that learns that emotion's pictures, and a CNN that tells what it generates of
the emotion from what it generates of the seven others. All else is a variant, and its name says in what it
differs. Each recipe has a `-small` twin, narrow and with few steps, that two cores finish in minutes. Epochs,
rates and augmentation are not in the paper.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from torch import nn

from mien.errors import ConfigError, require_choice
from mien.labels import EMOTIONS
from mien.paper.networks import FILTERS, AutoencoderThenCNN, DenseAutoencoder, OneForEachEmotion, PaperCNN
from mien.paper.pretrain import PretrainOptions
from mien.train.augment import AugmentOptions
from mien.train.loop import LoopOptions

#: Dense autoencoders. Plain gradients, and Adam's steps, hardly move along the directions in which faces vary
#: little, and stay far above PCA's error. Rate and shift are the best of six on held-out faces of FER+
#: (benchmarks/results/paper.md).
_DENSE: Final = PretrainOptions(
    epochs=20, batch=256, rate=3e-3, start="shared", optimizer="muon", shift=0.02, draws=12_800
)
#: It starts at PCA's solution, which a larger rate would leave for a worse one.
_FROM_PCA: Final = replace(_DENSE, rate=1e-4, shift=0.01, start="pca")
#: The units of the convolutional stack.
_STACK: Final = PretrainOptions(rate=0.01)
_LAST_LAYER: Final = LoopOptions(
    epochs=2, batch=256, rate=4e-4, warmup=1, weight_decay=0.05, average=0.99, clip=1.0, optimizer="adamw"
)
_WHOLE: Final = replace(_LAST_LAYER, epochs=4, rate=2e-4)
_SHARED: Final = replace(_LAST_LAYER, epochs=6)
_AUGMENT: Final = AugmentOptions(
    rotation=10, scale=0.1, stretch=0, shift=0.05, contrast=0.2, brightness=15, blur=0, erase=0
)
#: Times as many pictures as one of eight networks sees in an epoch, for one of eight outputs.
SHOWN_TO_ONE: Final = 4
#: The values that a recipe may have.
_CHOICES: Final = {
    "variant": ("raw", "generated", "pretrained"),
    "autoencoders": ("each", "one"),
    "networks": ("eight", "one"),
}


@dataclass(frozen=True, slots=True)
class PaperRecipe:
    """Everything that decides one variant of the paper's system."""

    name: str = "paper-raw"
    variant: str = "raw"  # how the two are joined: raw, generated or pretrained
    hidden: tuple[int, ...] = (300,)  # nodes of the dense autoencoder: (300,), (500,) or the stack (300, 500)
    autoencoders: str = "each"  # "each": one for each emotion (section 2.3), or "one" for all pictures
    networks: str = "eight"  # "eight", each of one emotion against the rest (section 4); "one": eight outputs
    joint: bool = False  # whether the autoencoder learns on with the CNN, from the labels
    width: int = FILTERS  # filters of the CNN
    dropout: float = 0.5  # before the last layer
    draws: int = 12_800  # pictures of an epoch of one of eight networks
    pretrain: PretrainOptions = _DENSE
    head: LoopOptions = _LAST_LAYER  # the last layer alone, after layers that were pretrained
    shared: LoopOptions = _SHARED  # a network of eight outputs, whose layers each of the eight starts with
    loop: LoopOptions = _WHOLE  # each of the eight
    augment: AugmentOptions = _AUGMENT

    def __post_init__(self) -> None:
        for field, known in _CHOICES.items():
            require_choice(field, getattr(self, field), known)

    @property
    def autoencoder_of_each(self) -> bool:
        """Whether there is a dense autoencoder for each emotion."""
        return self.variant == "generated" and self.autoencoders == "each"

    def seeded(self, seed: int) -> PaperRecipe:
        """The same with another seed in every stage."""
        return replace(
            self,
            pretrain=replace(self.pretrain, seed=seed),
            head=replace(self.head, seed=seed),
            shared=replace(self.shared, seed=seed),
            loop=replace(self.loop, seed=seed),
        )

    def with_readings(self, autoencoders: str | None = None, networks: str | None = None) -> PaperRecipe:
        """The same with other readings of what the paper leaves open, which its name then tells."""
        if self.variant != "generated":
            autoencoders = None  # it has none
        name = self.name
        if autoencoders not in (None, self.autoencoders):
            name += f"-{autoencoders}"
        if networks not in (None, self.networks):
            name += {"eight": "-eight", "one": "-8way"}.get(networks or "", "")
        return replace(
            self,
            name=name,
            autoencoders=autoencoders or self.autoencoders,
            networks=networks or self.networks,
        )

    def with_width(self, width: int) -> PaperRecipe:
        """The same with another number of filters, its rates falling as the root of it."""
        scale = (self.width / width) ** 0.5
        return replace(self._each_loop(lambda loop: replace(loop, rate=loop.rate * scale)), width=width)

    def with_precision(self, precision: str) -> PaperRecipe:
        """The same with another precision of the stages that learn from labels."""
        return self._each_loop(lambda loop: replace(loop, precision=precision))

    def with_draws(self, draws: int) -> PaperRecipe:
        """The same, longer or shorter: so many pictures in an epoch of one of the eight."""
        dense = replace(self.pretrain, draws=draws) if self.pretrain.draws else self.pretrain
        return replace(self, draws=draws, pretrain=dense)

    def _each_loop(self, change: Callable[[LoopOptions], LoopOptions]) -> PaperRecipe:
        return replace(self, head=change(self.head), shared=change(self.shared), loop=change(self.loop))

    def loop_of_one(self) -> LoopOptions:
        """For one network of eight outputs: as many pictures as all networks of a variant with eight see."""
        more = self.loop.epochs * len(EMOTIONS) // SHOWN_TO_ONE
        return replace(self.shared, epochs=self.shared.epochs + more)


_300: Final = PaperRecipe("paper-300", "generated", (300,))
#: The ways to join the two, by name. `stack` is the CNN, all of whose layers but the last were first
#: trained as autoencoders, one after the other; `noise` and `mask` are the same idea with a corrupted input.
VARIANTS: Final = {
    "paper-300": _300,
    "paper-500": replace(_300, name="paper-500", hidden=(500,)),
    "paper-300-500": replace(_300, name="paper-300-500", hidden=(300, 500)),
    "paper-raw": PaperRecipe("paper-raw"),
    "paper-300-8way": replace(_300, name="paper-300-8way", networks="one"),
    "paper-300-one": replace(_300, name="paper-300-one", autoencoders="one"),
    "paper-300-pca": replace(_300, name="paper-300-pca", pretrain=_FROM_PCA),
    "paper-300-alone": replace(_300, name="paper-300-alone", pretrain=replace(_DENSE, start="random")),
    "paper-300-joint": replace(_300, name="paper-300-joint", joint=True),
    "paper-pretrained": PaperRecipe("paper-pretrained", "pretrained", pretrain=_STACK),
    "paper-noise": PaperRecipe("paper-noise", "pretrained", pretrain=replace(_STACK, corruption="noise")),
    "paper-mask": PaperRecipe("paper-mask", "pretrained", pretrain=replace(_STACK, corruption="mask")),
}


def make_variant(name: str) -> PaperRecipe:
    """A variant by name, or its small twin (`paper-300-small`)."""
    base = name.removesuffix("-small")
    if base not in VARIANTS:
        raise ConfigError(
            f"variant: expected one of {', '.join(VARIANTS)} (each also with -small), got {name!r}"
        )
    recipe = VARIANTS[base]
    if base == name:
        return recipe
    # narrow and short; what is narrow bears larger rates
    narrow = recipe.with_width(16)
    dense = replace(recipe.pretrain, epochs=20, batch=64)
    if dense.optimizer == "muon" and dense.start == "random":  # its steps take seconds without a GPU
        dense = replace(dense, optimizer="adamw", rate=3e-3, shift=0.01)
    return replace(
        narrow,
        name=name,
        draws=1280,
        pretrain=replace(dense, draws=1280) if dense.draws else replace(dense, batch=128, epochs=4, rate=0.1),
        head=replace(narrow.head, epochs=1, batch=64),
        shared=replace(narrow.shared, epochs=8, batch=64),
        loop=replace(narrow.loop, epochs=2, batch=64),
    )


def make_network(recipe: PaperRecipe) -> nn.Module:
    """The network of a variant, autoencoder and CNN together, (B, 1, 48, 48) gray levels to (B, 8).

    The eight are logits of one network, or log-odds of eight networks (`OneForEachEmotion`), each behind the
    autoencoder of its emotion or, with one autoencoder, all behind the same.
    """
    each = recipe.autoencoder_of_each
    if recipe.networks == "one":
        cnn = PaperCNN(recipe.width, len(EMOTIONS) if each else 1, dropout=recipe.dropout)
        if recipe.variant != "generated":
            return cnn
        before: nn.Module = DenseAutoencoder(recipe.hidden)
        if each:
            before = OneForEachEmotion(DenseAutoencoder(recipe.hidden) for _ in EMOTIONS)
        return AutoencoderThenCNN(before, cnn, recipe.joint)
    members: list[nn.Module] = [PaperCNN(recipe.width, classes=1, dropout=recipe.dropout) for _ in EMOTIONS]
    if recipe.variant == "generated":
        shared = DenseAutoencoder(recipe.hidden)
        for i, member in enumerate(members):
            # one for all is one object, unless each network is to change it
            own = (
                DenseAutoencoder(recipe.hidden) if each else copy.deepcopy(shared) if recipe.joint else shared
            )
            members[i] = AutoencoderThenCNN(own, member, recipe.joint)
    return OneForEachEmotion(members)
