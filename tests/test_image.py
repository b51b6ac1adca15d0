"""Pictures of every kind, whole and broken; drawn here, so nothing outside the repository is needed."""

import base64
import io
import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import pytest
from PIL import Image as Pil
from PIL import ImageOps, TiffImagePlugin

from mien.errors import ConfigError, ImageError, ImageTooLarge, OutputError
from mien.image import MAX_PIXELS, encode_image, read_image, seekable_file, write_image
from mien.media import IMAGE_SUFFIXES, is_image

MEDIA = Path(__file__).parents[2] / "shared/data/media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason=f"real pictures are not at {MEDIA}")

KINDS = {
    "JPEG": {"quality": 95},
    "JPEG progressive": {"quality": 95, "progressive": True},
    "PNG": {},
    "WEBP": {"lossless": True},
    "GIF": {},
    "TIFF": {},
    "TIFF lzw": {"compression": "tiff_lzw"},
    "AVIF": {"quality": 95},
    "BMP": {},
    "PPM": {},
    "JPEG2000": {},
    "PCX": {},
    "TGA": {},
}


def drawn(height: int = 60, width: int = 80) -> np.ndarray:
    """Smooth colours, every corner different, so that a turn, a flip or a swapped channel shows."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 255 - x * 200 // width], axis=2).astype(np.uint8)


def encoded(picture: np.ndarray | Pil.Image, kind: str, **options: object) -> bytes:
    if isinstance(picture, np.ndarray):
        picture = Pil.fromarray(picture)
    data = io.BytesIO()
    picture.save(data, kind.split(maxsplit=1)[0], **options)
    return data.getvalue()


def animated(kind: str) -> bytes:
    red, blue = (Pil.new("RGB", (20, 10), colour) for colour in ("red", "blue"))
    return encoded(red, kind, save_all=True, append_images=[blue])


def off(got: np.ndarray, want: np.ndarray) -> int:
    assert got.shape == want.shape
    return int(np.abs(got.astype(int) - want).max())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_pixels(kind, tmp_path):
    data = encoded(drawn(), kind, **KINDS[kind])
    path = tmp_path / "content counts, not the name.jpg"
    path.write_bytes(data)
    for source in (data, bytearray(data), path, str(path)):
        picture = read_image(source)
        assert picture.pixels.dtype == np.uint8
        assert picture.notes == ()
        assert off(picture.pixels, drawn()) <= (40 if kind == "GIF" else 12)  # GIF has 256 colours


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_file_is_refused_and_never_half_read(kind):
    data = encoded(drawn(), kind, **KINDS[kind])
    whole = read_image(data).pixels
    cuts = [*range(1, len(data), max(1, len(data) // 40)), *range(len(data) - 12, len(data))]
    refused = 0
    for cut in cuts:
        try:
            assert np.array_equal(read_image(data[:cut]).pixels, whole), f"silently damaged at {cut}"
        except ImageError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("padding", [b"\0", b"\xff", b"A"])
def test_a_jpeg_cut_and_padded_is_refused(padding):
    data = encoded(drawn(300, 400), "JPEG", quality=95)
    with pytest.raises(ImageError, match="cut short"):
        read_image(data[: len(data) // 2] + padding * (4 * len(data)))


def test_garbage_inside_gives_image_errors_only():
    rng = np.random.default_rng(0)
    for kind, options in KINDS.items():
        if kind == "TIFF lzw":
            continue  # libtiff complains on standard error
        data = encoded(drawn(), kind, **options)
        for _ in range(40):
            broken = bytearray(data)
            for place in rng.integers(0, min(len(data), 400), 4):
                broken[place] = rng.integers(256)
            try:
                pixels = read_image(bytes(broken), max_pixels=10**6).pixels
                assert pixels.ndim == 3
            except ImageError:
                pass


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_as_pillow_does(orientation, kind):
    exif = Pil.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(drawn(), kind, exif=exif, **options)
    want = np.asarray(ImageOps.exif_transpose(Pil.open(io.BytesIO(data))).convert("RGB"))
    assert np.array_equal(read_image(data).pixels, want)
    assert want.shape == ((60, 80, 3) if orientation < 5 else (80, 60, 3))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own, and true
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff"]
)
def test_damaged_exif_does_not_cost_the_picture(exif):
    data = encoded(drawn(), "JPEG", quality=95, exif=exif)
    assert off(read_image(data).pixels, drawn()) < 12


def test_gray_and_palette_and_one_bit():
    gray = drawn()[:, :, 0]
    for picture in (Pil.fromarray(gray), Pil.fromarray(gray).convert("P")):
        assert np.array_equal(read_image(encoded(picture, "PNG")).pixels, np.dstack([gray] * 3))
    bits = Pil.fromarray(gray).point(lambda v: 255 * (v > 100), mode="1")
    assert set(np.unique(read_image(encoded(bits, "PNG")).pixels)) == {0, 255}


def test_alpha_is_shown_on_white_and_said_so():
    rgba = np.dstack([drawn(), np.full((60, 80), 255, np.uint8)])
    assert read_image(encoded(rgba, "PNG")).notes == ()
    rgba[:30, :, 3] = 0
    rgba[30:40, :, 3] = 128
    want = np.where(rgba[:, :, 3:] == 0, 255, drawn())
    want[30:40] = np.rint(drawn()[30:40] * (128 / 255) + 255 * (127 / 255))
    for source in (encoded(rgba, "PNG"), encoded(rgba, "WEBP", lossless=True, exact=True), rgba):
        picture = read_image(source)
        assert off(picture.pixels, want) <= 1
        assert picture.notes == ("transparent parts shown on white",)


def test_a_transparent_colour_of_a_palette_and_of_gray():
    gray = np.full((4, 6), 90, np.uint8)
    gray[0] = 10
    for mode in ("L", "P"):
        data = encoded(Pil.fromarray(gray).convert(mode), "PNG", transparency=10)
        pixels = read_image(data).pixels
        assert (pixels[0] == 255).all()
        assert (pixels[1:] == 90).all()


def test_sixteen_bits_are_scaled_not_clipped():
    deep = np.linspace(0, 65535, 60 * 80).astype(np.uint16).reshape(60, 80)
    want = np.rint(deep / 257).astype(np.uint8)
    for kind in ("PNG", "TIFF"):
        picture = read_image(encoded(Pil.fromarray(deep), kind))
        assert np.array_equal(picture.pixels, np.dstack([want] * 3))
    big_endian = Pil.frombytes("I;16B", (80, 60), deep.astype(">u2").tobytes())
    assert np.array_equal(read_image(encoded(big_endian, "TIFF")).pixels[:, :, 0], want)
    data = bytearray(encoded(Pil.fromarray(deep), "TIFF"))
    tag = data.index(b"\x06\x01\x03\x00\x01\x00\x00\x00")  # 262, PhotometricInterpretation, one SHORT
    data[tag + 8] = 0  # white is 0
    assert np.array_equal(read_image(bytes(data)).pixels[:, :, 0], 255 - want)


@pytest.mark.parametrize(
    ("values", "want", "said"),
    [
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255], "0..1 "),
        (np.array([[0, 100, 255]], np.float32), [0, 100, 255], "0..255 "),
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255], "0..255 "),
        (np.array([[0, 32896, 65535]], np.int32), [0, 128, 255], "0..65535 "),
        (np.array([[-5, 0, 5]], np.float32), [0, 128, 255], "-5..5 "),
        (np.array([[0, 50_000, 100_000]], np.int32), [0, 128, 255], "0..100000 "),
        (np.array([[0, np.nan, 1]], np.float32), [0, 0, 255], "0..1 "),
    ],
)
def test_thirty_two_bits_are_scaled_and_the_range_is_said(values, want, said):
    picture = read_image(encoded(Pil.fromarray(values), "TIFF"))
    assert picture.pixels[0, :, 0].tolist() == want
    assert said in picture.notes[0]


def test_cmyk_jpeg_is_not_a_negative():
    plain = Pil.new("RGB", (16, 16), (250, 240, 20)).convert("CMYK")
    for kind in ("JPEG", "TIFF"):
        data = encoded(plain, kind)
        assert off(read_image(data).pixels, np.full((16, 16, 3), (250, 240, 20))) < 8
        assert kind != "JPEG" or b"Adobe" in data  # the inverted kind


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_or_a_tiff_the_first_is_used_and_said_so(kind):
    picture = read_image(animated(kind))
    note = (
        "TIFF of several pages: first page used" if kind == "TIFF" else f"animated {kind}: first frame used"
    )
    assert [one[: len(note)] for one in picture.notes] == [note]
    assert off(picture.pixels, np.full((10, 20, 3), (255, 0, 0))) < 16


# -- size limit --------------------------------------------------------------------------------------


def huge_png(side: int) -> bytes:
    """A PNG that announces side x side pixels and holds nearly none; decoding it would fail, later."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x" * 9) + chunk(b"IEND", b"")


def test_twenty_thousand_squared_is_refused_before_decoding(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(huge_png(20_000))
    with pytest.raises(ImageTooLarge, match=r"at most 150,000,000 .*huge\.png.* 20000 x 20000 .*max_pixels"):
        read_image(path)
    with pytest.raises(ImageError, match="damaged") as caught:  # a raised limit goes on to decode
        read_image(path, max_pixels=10**9)
    assert not isinstance(caught.value, ImageTooLarge)
    data = encoded(drawn(), "PNG")
    assert read_image(data, max_pixels=60 * 80).pixels.shape == (60, 80, 3)
    with pytest.raises(ImageTooLarge, match="4,799"):
        read_image(data, max_pixels=60 * 80 - 1)


def test_pillows_own_limit_does_not_interfere(monkeypatch):
    monkeypatch.setattr(Pil, "MAX_IMAGE_PIXELS", 100)  # above twice that, Pillow refuses by itself
    for kind in ("JPEG", "PNG", "BMP", "GIF", "AVIF"):
        assert read_image(encoded(drawn(), kind)).pixels.shape == (60, 80, 3)
    for kind in ("WEBP", "TIFF"):  # their readers in Pillow look at the limit again
        with pytest.raises(ImageTooLarge, match="MAX_IMAGE_PIXELS"):
            read_image(encoded(drawn(), kind))


def test_import_changes_nothing_and_loads_no_pillow():
    code = (
        "import sys, warnings, numpy; before = list(warnings.filters); import mien.image;"
        "assert 'PIL' not in sys.modules and 'cv2' not in sys.modules;"
        "import PIL.Image as p; limit = p.MAX_IMAGE_PIXELS;"
        "mien.image.read_image(mien.image.encode_image(numpy.zeros((9, 9, 3), 'uint8')));"
        "assert p.MAX_IMAGE_PIXELS == limit and p._initialized < 2;"  # 2: every plug-in was imported
        "assert warnings.filters == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- what is not a picture ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"Dear sir,\nthis is a letter and no picture.\n", "is text .'Dear sir"),
        (bytes(range(128, 160)) * 9, "begins with b'"),
        (b"PK\x03\x04" + bytes(26), "is an archive; unpack it"),
        (b"<!DOCTYPE html><title>404</title>", "is a web page; open it in a browser"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is text"),  # never given to Ghostscript
    ],
)
def test_a_file_that_is_no_picture_says_what_it_is(content, message, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert "photo.jpg" in str(caught.value)
    assert "expected a picture" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.jpg", r"nowhere\.jpg.* does not exist; check the path"),
        (".", "is a folder"),
        ("a\0b.jpg", "cannot be opened"),
        ("x" * 5000 + ".jpg", "cannot be opened"),
        (io.StringIO("text"), "binary mode"),
        ("pipe", "device or pipe"),
    ],
)
def test_what_is_no_file(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(ImageError, match=message):
        read_image(source)


def test_a_file_that_is_closed_or_was_opened_as_text(tmp_path):
    write_image(tmp_path / "a.png", drawn())
    closed, text = (tmp_path / "a.png").open("rb"), (tmp_path / "a.png").open(encoding="utf-8")
    closed.close()
    with text:
        for file in (closed, text):
            for read in (read_image, seekable_file):
                with pytest.raises(ImageError, match="opened with 'rb', got"):
                    read(file)


def test_a_read_error_of_the_disk_is_an_image_error(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match="cannot be opened: Permission denied"):
        read_image(tmp_path / "x.png")


def test_a_file_name_that_is_not_utf8_works_and_prints(tmp_path):
    name = os.fsdecode(b"caf\xe9 \xff.png")
    path = tmp_path / name
    try:
        write_image(path, drawn())
    except OutputError:
        pytest.skip("this file system takes UTF-8 names only")
    assert np.array_equal(read_image(path).pixels, drawn())
    path.write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert "caf\\udce9" in str(caught.value).encode("utf-8").decode()  # encoding does not fail


# -- arrays ------------------------------------------------------------------------------------------


def test_arrays():
    colour = drawn()
    assert read_image(colour).pixels is colour
    for gray in (colour[:, :, 0], colour[:, :, :1]):
        assert np.array_equal(read_image(gray).pixels, np.dstack([colour[:, :, 0]] * 3))


RAMP = np.arange(24, dtype=np.uint8).reshape(4, 6) * 11  # (H, W), 0..253


@pytest.mark.parametrize(
    ("array", "options", "note"),
    [
        (RAMP.astype(np.uint16) * 16, {"white": 255 * 16}, ""),  # a camera of 12 bits
        (RAMP.astype(np.int64), {"white": 255}, ""),
        (RAMP / np.float32(255), {}, "0..1 taken as black..white"),
        (RAMP / 255, {"white": 1}, ""),
        (RAMP.astype(np.float32), {"white": 255.0}, ""),
        (np.dstack([RAMP] * 3).transpose(2, 0, 1), {}, "channels first"),  # (3, H, W), as torch has it
        (np.dstack([RAMP] * 3)[None], {}, ""),
        (RAMP[None], {}, ""),
        (RAMP[None, None], {}, ""),
        (np.dstack([RAMP, np.full_like(RAMP, 255)]), {}, ""),  # gray and alpha
    ],
)
def test_arrays_of_other_kinds_and_shapes_are_read_alike_and_it_is_said(array, options, note):
    picture = read_image(array, **options)
    assert np.array_equal(picture.pixels, np.dstack([RAMP] * 3))
    assert note in " ".join(picture.notes)
    assert bool(picture.notes) == bool(note)


def test_a_mask_is_black_and_white_and_nearly_black_bytes_are_noted():
    mask = RAMP > 100
    assert np.array_equal(read_image(mask).pixels[:, :, 0], mask * 255)
    assert "nearly black" in " ".join(read_image(mask.astype(np.uint8)).notes)
    assert read_image(np.zeros((4, 4), np.uint8)).notes == ()
    assert "shown as white" in " ".join(read_image(RAMP.astype(np.uint16), white=99).notes)


def test_the_channels_of_opencv_are_turned_and_so_is_their_alpha():
    colour = drawn()
    assert np.array_equal(read_image(colour[:, :, ::-1], color="bgr").pixels, colour)
    clear = np.dstack([colour[:, :, ::-1], np.zeros(colour.shape[:2], np.uint8)])
    assert read_image(clear, color="bgr").pixels.min() == 255
    for options in ({"color": "BGR"}, {"white": 0}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            read_image(RAMP.astype(np.uint16), **options)


class Tensor:
    """Turns into an array as the tensors of many libraries do, or refuses as one on a graphics card does."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        if self.array is None:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return self.array


def test_tensors_are_read_as_the_arrays_that_they_turn_into():
    assert np.array_equal(read_image(Tensor(drawn())).pixels, drawn())
    with pytest.raises(ImageError, match=r"cuda:0 .*\.cpu"):
        read_image(Tensor(None))


def test_a_torch_tensor_is_read():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(drawn()).permute(2, 0, 1) / 255
    assert np.array_equal(read_image(tensor[None]).pixels, drawn())
    with pytest.raises(ImageError, match="detach"):
        read_image(tensor.requires_grad_())


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4, 3), 200, np.float32), "float32 of 200..200; give white=255"),
        (np.linspace(-2, 2, 16).reshape(4, 4), "-2..2; undo the normalization"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4), 3998, np.uint16), "uint16 of 3998..3998; give white=4095"),
        (np.zeros((4, 4), complex), "complex"),
        (np.zeros((7, 7, 5), np.uint8), r"got \(7, 7, 5\)"),
        (np.zeros((3, 4, 4, 3), np.uint8), r"got \(3, 4, 4, 3\).*`images`"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\)"),
        (np.zeros(4, np.float32), r"got \(4,\)"),
    ],
)
def test_other_arrays_are_refused(array, message):
    with pytest.raises(ImageError, match=message):
        read_image(array)


# -- bytes, text and files ---------------------------------------------------------------------------


def test_bytes_come_in_many_wrappings():
    data = encoded(drawn(), "PNG")
    written = io.BytesIO()
    written.write(data)  # and stands at its end
    plain, safe = base64.b64encode(data), base64.urlsafe_b64encode(data)
    broken = b"\n".join(plain[i : i + 76] for i in range(0, len(plain), 76))
    uri = f"data:image/png;base64,{plain.decode()}"
    wrapped = (bytearray(data), memoryview(data), np.frombuffer(data, np.uint8), io.BytesIO(data), written)
    texts = (
        plain,
        plain.decode().rstrip("="),
        safe.decode(),
        broken.decode(),
        uri,
        uri.encode(),
        quote(uri, ":;,"),
    )
    for source in (*wrapped, *texts, uri, uri.encode(), quote(uri, ":;,")):
        picture = read_image(source)
        assert np.array_equal(picture.pixels, drawn())
        assert picture.path == ""


def test_a_file_address_is_a_path(tmp_path):
    path = tmp_path / "a photo.png"
    write_image(path, drawn())
    picture = read_image(path.as_uri())
    assert np.array_equal(picture.pixels, drawn())
    assert read_image(path).path == str(path)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("https://ann:secret@example.org/photo.jpg", "urlopen"),
        ("rtsp://camera/1", "`video`"),
        ("data:image/png;base64,iVBORw0KGgo!" + "A" * 9999, "base64"),
        ("data:image/svg+xml,<svg/>" + " " * 9999, "is text"),
        ("/9j/4AAQ" * 5000, "damaged"),
        ("nothing " * 5000, "cannot be opened"),
        (b"\0\0\0\x18ftypmp42" + bytes(99), "clip; use `video`"),
        (b"\x1aE\xdf\xa3" + bytes(99), "clip; use `video`"),
        (0, "camera .*`video`"),
        (None, "imread"),
        ([np.zeros((9, 9), np.uint8)], "`images`"),
        (object(), "asarray"),
    ],
)
def test_what_another_method_takes_is_said_in_few_words(source, word):
    with pytest.raises(ImageError, match=word) as caught:
        read_image(source)
    assert len(str(caught.value)) < 500
    assert "secret" not in str(caught.value)


# -- kinds with a reader of their own ----------------------------------------------------------------


def heic(pixels):
    """A HEIC, stored whole; FFmpeg writes none."""
    pillow_heif = pytest.importorskip("pillow_heif")
    data = io.BytesIO()
    picture = pillow_heif.from_pillow(Pil.fromarray(pixels))
    picture.save(data, quality=95)
    return data.getvalue()


def test_a_heic_that_is_stored_whole_needs_no_extra(monkeypatch):
    pixels = drawn(128, 160)
    data = heic(pixels)
    cropped = heic(pixels[:99, :29])
    assert off(read_image(data).pixels, pixels) < 24
    assert off(read_image(cropped).pixels, pixels[:99, :29]) < 24
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert off(read_image(data).pixels, pixels) < 24
    with pytest.raises(ImageError, match=r"pip install 'mien\[heic\]'"):
        read_image(cropped)


@pytest.mark.parametrize("extra", [True, False])
def test_a_cut_heic_is_refused_and_never_half_read(extra, monkeypatch):
    data = heic(drawn(128, 160))
    if not extra:
        monkeypatch.setitem(sys.modules, "pi_heif", None)
    for cut in range(16, len(data), len(data) // 30):
        with pytest.raises(ImageError):
            read_image(data[:cut])


def test_icons_give_their_largest_picture():
    pixels = drawn(64, 64)
    assert off(read_image(encoded(pixels, "ICO")).pixels, pixels) < 12


def test_a_raw_file_of_a_camera_is_not_taken_for_its_preview(tmp_path):
    for tags in ({254: 1}, {50706: b"\1\4\0\0"}):
        info = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in tags.items():
            info[tag] = value
            info.tagtype[tag] = 4 if tag == 254 else 1
        with pytest.raises(ImageError, match="raw file"):
            read_image(encoded(drawn(), "TIFF", tiffinfo=info))


@pytest.mark.parametrize(("bits", "white"), [(8, 255), (10, 1023), (12, 4095), (14, 16383)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_gray_of_fewer_bits_in_a_16_bit_file_is_stretched_with_a_note(kind, bits, white):
    gray = drawn()[:, :, 0]
    deep = (gray.astype(np.uint32) * white // 255).astype(np.uint16)
    picture = read_image(encoded(Pil.fromarray(deep), kind))
    assert off(picture.pixels[:, :, 0], gray) <= 2
    assert str(white) in picture.notes[0]


@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_colour_of_fewer_bits_in_a_16_bit_file_is_never_black_without_a_word(white):
    deep = (drawn().astype(np.uint32) * white // 255).astype(np.uint16)
    with av.open(data := io.BytesIO(), "w", format="image2pipe") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = *deep.shape[:2], "rgb48be"
        frame = av.VideoFrame.from_ndarray(deep, format="rgb48le").reformat(format="rgb48be")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    picture = read_image(data.getvalue())
    assert off(picture.pixels, drawn()) <= 2
    assert len(picture.notes) == (white < 65535)


# -- writing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES - {".heic", ".heif", ".hif", ".ico"}))
def test_what_is_written_can_be_read(suffix, tmp_path):
    path = tmp_path / f"out{suffix.upper()}"
    pixels = drawn()[:, :, :1].repeat(3, axis=2)  # gray, so that .pgm and .gif hold it too
    write_image(path, pixels)
    assert off(read_image(path).pixels, pixels) < 12
    write_image(path, pixels[:, :, 0])
    assert off(read_image(path).pixels, pixels) < 12
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert is_image(path)
    assert not is_image(tmp_path / "clip.mp4")


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        write_image(tmp_path / "no folder/out.png", drawn())
    with pytest.raises(OutputError, match=r"expected a picture ending .* got '\.mp4'"):
        write_image(tmp_path / "out.mp4", drawn())
    with pytest.raises(OutputError, match="got float32"):
        encode_image(drawn().astype(np.float32))
    with pytest.raises(OutputError, match="cannot write a WEBP"):
        encode_image(np.zeros((2, 20_000, 3), np.uint8), ".webp")


# -- real pictures -----------------------------------------------------------------------------------


@needs_media
def test_real_pictures_match_pillow():
    paths = sorted(path for path in MEDIA.iterdir() if is_image(path))
    assert len(paths) == 9
    for path in paths:
        picture = read_image(path)
        with Pil.open(path) as plain, warnings.catch_warnings():
            upright = ImageOps.exif_transpose(plain)
            if upright.mode == "RGBA":
                white = Pil.new("RGBA", upright.size, "white")
                upright = Pil.alpha_composite(white, upright)
            assert off(picture.pixels, np.asarray(upright.convert("RGB"))) <= 1
    assert read_image(MEDIA / "Image_with_alpha.png").notes == ()  # RGBA, but opaque all over
    assert MAX_PIXELS > 12_000 * 9_000  # the largest phone cameras
