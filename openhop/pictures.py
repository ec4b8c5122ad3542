"""Pictures in: a PNG or JPEG file as the raw input map of a network."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from compiler.errors import CompileError
from compiler.metadata import MODES
from golden.network import Network

#: Modes of pictures that are taken: black and white, grey, palette, colour; all 8 bit, no alpha.
TAKEN = ("1", "L", "P", "RGB")

GIVE = "give a PNG or JPEG file"
DAMAGED = ("is a damaged or truncated picture", "save it or fetch it again")


def load_picture(path: str | Path, network: Network) -> np.ndarray:
    """Read a picture as the input map of a network, (H, W, C) raw integers.

    Grey pictures serve colour networks and the other way round; the size must be right, since
    what a network sees of a picture of another size is for its author to say.

    Parameters
    ----------
    path : path
        A picture that pillow reads, 8 bit, without transparency.
    network : Network
        Its `preprocessing` and input format say how pixels become raw integers.

    Raises
    ------
    CompileError
        If the file cannot be read, is damaged or no picture, or the picture does not fit.
    """
    name = str(path)
    rows, cols, channels = network.input_shape
    if channels not in MODES:
        raise CompileError(
            network.name, f"takes {channels} channels", "only 1 (grey) or 3 (RGB) are a picture"
        )
    try:
        with Image.open(path) as picture:
            if picture.mode not in TAKEN or "transparency" in picture.info:
                raise CompileError(
                    name,
                    f"has the mode {picture.mode}, or is transparent",
                    f"save it as {MODES[channels]}, 8 bit, without alpha",
                )
            if picture.size != (cols, rows):
                raise CompileError(
                    name,
                    f"is {picture.width}x{picture.height} pixels, "
                    f"but network {network.name!r} takes {cols}x{rows} (width x height)",
                    "resize or crop it",
                )
            pixels = np.asarray(picture.convert(MODES[channels]))
    except CompileError:
        raise
    except UnidentifiedImageError as error:
        raise CompileError(name, "is not a picture", GIVE) from error
    except OSError as error:
        what = (error.strerror, GIVE) if error.strerror else DAMAGED
        raise CompileError(name, *what) from error
    except Exception as error:  # each of pillow's decoders has its own errors for broken data
        raise CompileError(name, *DAMAGED) from error
    return network.quantise_input(pixels.reshape(rows, cols, channels))
