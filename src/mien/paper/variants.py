"""Section 3: the ways in which autoencoder and CNN are joined, each as a recipe.

`raw` is the CNN alone; `generated` is the experiment, "an AutoEncoder used as an input for the Convolutional
Neural Network"; `pretrained` is the background that section 3 tells first, autoencoders "used in neural
networks pre-training". Each recipe has a `-small` twin, narrow and with few epochs, that two cores finish in
minutes. Epochs, rates and augmentation are not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from torch import nn

from mien.errors import ConfigError
from mien.labels import EMOTIONS
from mien.paper.networks import FILTERS, AutoencoderThenCNN, DenseAutoencoder, OneForEachEmotion, PaperCNN
from mien.paper.pretrain import PretrainOptions
from mien.train.augment import AugmentOptions
from mien.train.loop import LoopOptions

_PRETRAIN: Final = PretrainOptions(rate=0.01)
_LAST_LAYER: Final = LoopOptions(epochs=5, batch=64, rate=0.02, average=0.99, clip=5.0)
_WHOLE: Final = LoopOptions(epochs=60, batch=64, rate=0.01, average=0.99, clip=5.0)
#: Little: the paper's pictures are posed, frontal and evenly lit.
_AUGMENT: Final = AugmentOptions(
    rotation=6, scale=0.06, stretch=0, shift=0.04, contrast=0.15, brightness=10, blur=0, erase=0
)
#: The values that a recipe may have.
_CHOICES: Final = {
    "variant": ("raw", "generated", "pretrained"),
    "autoencoders": ("one", "each"),
    "networks": ("one", "eight"),
}


@dataclass(frozen=True, slots=True)
class PaperRecipe:
    """Everything that decides one variant of the paper's system."""

    name: str = "paper-raw"
    variant: str = "raw"  # how the two are joined: raw, generated or pretrained
    hidden: tuple[int, ...] = (300,)  # nodes of the dense autoencoder: (300,), (500,) or the stack (300, 500)
    autoencoders: str = "one"  # "one" for all pictures, or "each": one for each emotion
    networks: str = "one"  # "one" with eight outputs, or "eight", each of one emotion against the rest
    width: int = FILTERS  # filters of the CNN
    pretrain: PretrainOptions = _PRETRAIN
    head: LoopOptions = _LAST_LAYER  # the last layer alone
    loop: LoopOptions = _WHOLE  # the whole network
    augment: AugmentOptions = _AUGMENT

    def __post_init__(self) -> None:
        for field, known in _CHOICES.items():
            if getattr(self, field) not in known:
                raise ConfigError(
                    f"{field}: expected one of {', '.join(known)}, got {getattr(self, field)!r}"
                )
        if self.autoencoders == "each" and self.variant != "generated":
            raise ConfigError(
                f"autoencoders: one for each emotion generates pictures, and {self.name} uses none that are "
                "generated; take paper-300, paper-500 or paper-300-500"
            )

    def seeded(self, seed: int) -> PaperRecipe:
        """The same with another seed in every stage."""
        return replace(
            self,
            pretrain=replace(self.pretrain, seed=seed),
            head=replace(self.head, seed=seed),
            loop=replace(self.loop, seed=seed),
        )

    def with_readings(self, autoencoders: str = "one", networks: str = "one") -> PaperRecipe:
        """The same with other readings of what the paper leaves open, which its name then tells."""
        name = self.name + ("-each" if autoencoders == "each" else "")
        name += "-eight" if networks == "eight" else ""
        return replace(self, name=name, autoencoders=autoencoders, networks=networks)


#: It starts at PCA's solution, which a larger rate would leave for a worse one.
_FROM_PCA: Final = PretrainOptions(rate=0.003)

#: The ways to join the two, by name. `pretrained` is the CNN, all of whose layers but the last were first
#: trained as autoencoders; `noise` and `mask` are the same idea with a corrupted input.
VARIANTS: Final = {
    "paper-raw": PaperRecipe("paper-raw"),
    "paper-300": PaperRecipe("paper-300", "generated", (300,), pretrain=_FROM_PCA),
    "paper-500": PaperRecipe("paper-500", "generated", (500,), pretrain=_FROM_PCA),
    "paper-300-500": PaperRecipe("paper-300-500", "generated", (300, 500), pretrain=_FROM_PCA),
    "paper-pretrained": PaperRecipe("paper-pretrained", "pretrained"),
    "paper-noise": PaperRecipe("paper-noise", "pretrained", pretrain=replace(_PRETRAIN, corruption="noise")),
    "paper-mask": PaperRecipe("paper-mask", "pretrained", pretrain=replace(_PRETRAIN, corruption="mask")),
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
    rate = recipe.pretrain.rate if recipe.variant == "generated" else 0.1
    return replace(
        recipe,
        name=name,
        width=16,
        pretrain=replace(recipe.pretrain, epochs=4, rate=rate),
        head=replace(recipe.head, epochs=1),
        loop=replace(recipe.loop, epochs=30, rate=0.05),
    )


def make_network(recipe: PaperRecipe) -> nn.Module:
    """The network of a variant, autoencoder and CNN together, (B, 1, 48, 48) gray levels to (B, 8) logits."""
    channels = len(EMOTIONS) if recipe.autoencoders == "each" else 1
    cnn: nn.Module
    if recipe.networks == "eight":
        cnn = OneForEachEmotion(PaperCNN(recipe.width, channels, 1) for _ in EMOTIONS)
    else:
        cnn = PaperCNN(recipe.width, channels)
    if recipe.variant != "generated":
        return cnn
    if recipe.autoencoders == "each":
        autoencoders = OneForEachEmotion(DenseAutoencoder(recipe.hidden) for _ in EMOTIONS)
        return AutoencoderThenCNN(autoencoders, cnn)
    return AutoencoderThenCNN(DenseAutoencoder(recipe.hidden), cnn)
