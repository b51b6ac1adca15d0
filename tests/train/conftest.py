"""FER+ in its own layout, of pictures that a test makes; a network that was taught and exported."""

import zipfile

import pytest

from makers import draw_bands
from mien.card import ModelCard
from mien.image import encode_image


@pytest.fixture(scope="session")
def write_ferplus(tmp_path_factory):
    """Of (N, 48, 48) faces to learn from and to judge, every vote for the emotion of the face's number."""

    def write(train, valid):
        path = tmp_path_factory.mktemp("corpus") / "ferplus.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for split, faces in (("FER2013Train", train), ("FER2013Valid", valid)):
                rows = []
                for i, pixels in enumerate(faces):
                    archive.writestr(f"f/{split}/fer{i:07d}.png", encode_image(pixels, ".png"))
                    votes = ["10" if k == i % 8 else "0" for k in range(8)]
                    rows.append(f'fer{i:07d}.png,"(0, 0, 48, 48)",{",".join(votes)},0,0')
                archive.writestr(f"f/{split}/label.csv", "\n".join(rows) + "\n")
        return path

    return write


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A small residual network that was taught bands, and its ONNX file, alone in its folder."""
    import torch

    from mien.nets.compact import Compact, CompactOptions
    from mien.train.export import export_onnx

    torch.manual_seed(0)
    net = Compact(CompactOptions(stem=4, widths=(8, 24), blocks=(1, 1)))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for step in range(100):
        faces = torch.from_numpy(draw_bands(16, 100 + step))[:, None].float()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net.train()(faces), torch.arange(16) % 8).backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("model") / "bands.onnx"
    card = ModelCard(name="bands", template=((0.5, 0.5),) * 5, parameters=1, recipe="mien train bands")
    export_onnx(net, card, path)
    return net, path
