"""FER+ in its own layout, of pictures that a test makes."""

import zipfile

import pytest

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
