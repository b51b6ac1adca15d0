"""A network that was taught and exported."""

import pytest

from makers import draw_bands
from mien.card import ModelCard


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A small residual network that was taught bands, and its ONNX file, alone in its folder."""
    import torch

    from mien.nets.compact import Compact, CompactOptions
    from mien.train.export import export_onnx

    torch.manual_seed(0)
    net = Compact(CompactOptions(stem=4, widths=(8, 24), blocks=(1, 1)))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.3  # of few steps
    optimizer = torch.optim.Adam(net.parameters(), 0.03)
    for step in range(50):
        faces = torch.from_numpy(draw_bands(16, 100 + step))[:, None].float()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net.train()(faces), torch.arange(16) % 8).backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("model") / "bands.onnx"
    card = ModelCard(name="bands", template=((0.5, 0.5),) * 5, parameters=1, recipe="mien train bands")
    export_onnx(net, card, path)
    return net, path
