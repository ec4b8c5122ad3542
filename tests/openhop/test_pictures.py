"""Pictures in: what a network sees of a file, and the files that are refused."""

import numpy as np
import pytest
from PIL import Image

from compiler.errors import CompileError
from golden.network import Conv, Network, TensorFormat
from golden.requant import Shift
from openhop.pictures import load_picture

ROWS, COLS = 6, 9


def network(channels: int = 1, form: TensorFormat | None = None, **preprocessing) -> Network:
    form = form or TensorFormat(8, False, float(np.float32(1 / 255)))
    layer = Conv(
        name="conv",
        weights=np.ones((1, channels, 1, 1), np.int64),
        bias=np.zeros(1, np.int64),
        in_format=form,
        out_format=form,
        requant=Shift(0),
    )
    return Network("net", (ROWS, COLS, channels), form, (layer,), preprocessing=preprocessing)


def picture(mode: str = "L", size: tuple[int, int] = (COLS, ROWS)) -> Image.Image:
    """A random picture; `size` is width and height, as pillow has it."""
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).convert(mode)


@pytest.fixture
def saved(tmp_path):
    """Save a picture, or bytes, in a file of that name and return the path."""

    def save(content: Image.Image | bytes, name: str = "picture.png"):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path)
        return path

    return save


def test_pixels_over_255_are_the_raw_values_of_a_picture_s_scale(saved):
    grey = picture("L")
    raw = load_picture(saved(grey), network())
    assert (raw.shape, raw.dtype) == ((ROWS, COLS, 1), np.uint8)
    np.testing.assert_array_equal(raw[..., 0], np.asarray(grey))


def test_colours_are_the_channels(saved):
    colour = picture("RGB")
    raw = load_picture(str(saved(colour)), network(3))
    np.testing.assert_array_equal(raw, np.asarray(colour))


def test_preprocessing_and_format_are_the_network_s(saved):
    form = TensorFormat(16, True, 2.0**-8)
    raw = load_picture(saved(picture("L")), network(form=form, mean=100, scale=50))
    pixels = np.asarray(picture("L"), np.float64)[..., np.newaxis]
    assert raw.dtype == np.int16
    expected = np.rint(((pixels - 100) / 50).astype(np.float32) * 256)
    np.testing.assert_array_equal(raw, expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_stand_in_for_each_other(saved, mode, channels):
    given = picture(mode)
    raw = load_picture(saved(given), network(channels))
    expected = np.asarray(given.convert("L" if channels == 1 else "RGB"))
    np.testing.assert_array_equal(raw, expected.reshape(ROWS, COLS, channels))


def test_jpeg_is_read(saved):
    path = saved(picture("L"), "picture.jpg")
    with Image.open(path) as decoded:
        np.testing.assert_array_equal(load_picture(path, network())[..., 0], np.asarray(decoded))


@pytest.mark.parametrize("name", ["picture.png", "picture.jpg"])
def test_a_truncated_picture_is_refused(saved, name):
    whole = saved(picture("RGB"), name).read_bytes()
    path = saved(whole[: len(whole) * 3 // 4], name)
    with pytest.raises(CompileError, match=rf"{name}: is a damaged or truncated picture; save"):
        load_picture(path, network(3))


def test_every_cut_of_a_file_gives_one_clear_line(saved):
    whole = saved(picture("RGB")).read_bytes()
    for length in range(0, len(whole) - 20, 7):
        with pytest.raises(
            CompileError, match=r"is not a picture|is a damaged or truncated picture"
        ) as caught:
            load_picture(saved(whole[:length]), network(3))
        assert "\n" not in str(caught.value)


def test_another_size_is_refused(saved):
    with pytest.raises(
        CompileError,
        match=r"is 6x9 pixels, but network 'net' takes 9x6 \(width x height\); resize or crop it$",
    ):
        load_picture(saved(picture(size=(ROWS, COLS))), network())


def test_another_kind_of_file_is_refused(saved):
    with pytest.raises(
        CompileError, match=r"list\.txt: is not a picture; give a PNG or JPEG file$"
    ):
        load_picture(saved(b"cat, dog", "list.txt"), network())


def test_no_file_is_refused(tmp_path):
    with pytest.raises(CompileError, match=r"none\.png: No such file or directory; give a PNG"):
        load_picture(tmp_path / "none.png", network())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16"])
def test_alpha_and_16_bit_pictures_are_refused(saved, mode):
    with pytest.raises(
        CompileError, match=rf"has the mode {mode}, or is transparent; save it as L"
    ):
        load_picture(saved(picture(mode)), network())


def test_a_transparent_palette_is_refused(tmp_path):
    palette = picture("P")
    palette.save(tmp_path / "picture.png", transparency=3)
    with pytest.raises(CompileError, match="has the mode P, or is transparent; save it as RGB"):
        load_picture(tmp_path / "picture.png", network(3))


def test_a_network_that_takes_no_picture_is_refused(saved):
    with pytest.raises(CompileError, match=r"net: takes 2 channels; only 1 \(grey\) or 3 \(RGB\)"):
        load_picture(saved(picture()), network(2))
