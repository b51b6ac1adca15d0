"""The pictures that a report shows of a variant.

Legend: E emotions that there are, A autoencoders, M maps, n mistakes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mien.labels import EMOTIONS, emotion_index
from mien.paper.gallery import Gallery
from mien.paper.material import Indices, Labels, Material
from mien.paper.part import as_tensor
from mien.types import Floats, Image

if TYPE_CHECKING:
    from torch import nn

MAPS: Final = 8  # of each convolution
MISTAKES: Final = 6  # of each emotion
HARD: Final = ("contempt", "fear")  # section 5: "both of which obtained a low accuracy rate"


def make_gallery(net: nn.Module, material: Material, test: Indices, scores: Floats, device: str) -> Gallery:
    """The pictures of the network of one part.

    Args:
        net: that of the part.
        material: the pictures.
        test: what it was asked.
        scores: (N, 8) of all pictures of the material; nan where nothing was asked.
        device: where the network is.
    """
    shown = _one_each(material.labels, test)
    originals = material.images[shown]
    generated = _generated(net, originals, device)
    wrong = _mistakes(material.labels, scores)
    return Gallery(
        originals=originals,
        emotions=material.labels[shown],
        generated=generated,
        mapped=originals[0],
        maps=_maps(net, originals[:1], device),
        mistakes=material.images[wrong],
        mistaken_truth=material.labels[wrong],
        mistaken_scores=scores[wrong],
    )


def _one_each(labels: Labels, test: Indices) -> Indices:
    """The first test picture of each emotion that is there."""
    firsts = [test[labels[test] == k][:1] for k in range(len(EMOTIONS))]
    return np.concatenate(firsts)


def _generated(net: nn.Module, images: Image, device: str) -> Image | None:
    """(E, A, 48, 48) as the autoencoders of the network generate them."""
    import torch

    from mien.paper.cnn import OnGenerated

    if not isinstance(net, OnGenerated):
        return None
    with torch.no_grad():
        generated = net.autoencoder(as_tensor(images).float().to(device)).clamp(0, 255).round()
    pixels: Image = generated.to(torch.uint8).cpu().numpy()
    return pixels


def _maps(net: nn.Module, image: Image, device: str) -> tuple[Floats, ...]:
    """(M, h, w) of each convolution, after its leaky ReLU and before its pool."""
    import torch
    from torch import Tensor

    from mien.paper.cnn import PaperCNN

    cnn = next(module for module in net.modules() if isinstance(module, PaperCNN))
    found: list[Floats] = []

    def keep(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> None:
        found.append(out[0, :MAPS].cpu().numpy())

    bent = [layer[1] for layer in cnn.layers if len(layer) == 3 and isinstance(layer[0], torch.nn.Conv2d)]  # type: ignore[arg-type, index]
    hooks = [layer.register_forward_hook(keep) for layer in bent]
    with torch.no_grad():
        net.eval()(as_tensor(image).float().to(device))
    for hook in hooks:
        hook.remove()
    return tuple(found)


def _mistakes(labels: Labels, scores: Floats) -> Indices:
    """Pictures of the hard emotions that were read as another one, the most confident first."""
    asked = np.isfinite(scores).all(1)  # (N,)
    read = np.where(asked, np.nan_to_num(scores).argmax(1), labels)
    confidence = np.nan_to_num(scores).max(1)
    found = []
    for emotion in HARD:
        wrong = np.flatnonzero((labels == emotion_index(emotion)) & (read != labels))
        found.append(wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES])
    return np.concatenate(found)
