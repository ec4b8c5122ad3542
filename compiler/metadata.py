"""What the metadata properties of an ONNX model tell OpenHop: pictures and names of classes.

Both are JSON. `openhop.input` is an object that says how a picture becomes the network's input,
(pixel - mean) / scale; every key may be left out:

* `mode`: "L" or "RGB", `size`: [rows, columns]; they must agree with the network's input;
* `scale`, `mean`: a number, or one per channel.

Without `openhop.input`, the input is pixel / 255. `openhop.labels` is a list of names.
"""

import json
from typing import Any

from compiler.errors import CompileError

INPUT_KEY, LABELS_KEY = "openhop.input", "openhop.labels"

#: Mode of a picture by the channels of the network's input.
MODES = {1: "L", 3: "RGB"}

#: Keys with numbers.
NUMBERS = ("mean", "scale")

WRITE = "write it as compiler/metadata.py says"


def read_labels(metadata: dict[str, str]) -> tuple[str, ...]:
    """Names of the classes; none if the model does not say.

    Raises
    ------
    CompileError
        If the property is not a list of names.
    """
    labels = _read(metadata, LABELS_KEY, [])
    if not isinstance(labels, list) or not all(isinstance(item, str) for item in labels):
        raise CompileError(f"metadata {LABELS_KEY}", "is not a list of names", WRITE)
    return tuple(labels)


def read_preprocessing(metadata: dict[str, str], shape: tuple[int, int, int]) -> dict[str, Any]:
    """Preprocessing as `golden.network` has it, for an input of `shape` (H, W, C).

    Raises
    ------
    CompileError
        If the property is malformed, or contradicts the shape.
    """
    where = f"metadata {INPUT_KEY}"
    given = _read(metadata, INPUT_KEY, {})
    rows, cols, channels = shape
    expected = {"mode": MODES.get(channels), "size": [rows, cols]}
    if not isinstance(given, dict) or given.keys() - expected.keys() - set(NUMBERS):
        raise CompileError(where, "is not an object of mode, size, scale and mean", WRITE)
    for key, value in expected.items():
        if given.get(key, value) != value:
            raise CompileError(
                where,
                f"has the {key} {given[key]}, but the network takes {rows}x{cols}x{channels}",
                f"write {json.dumps(value)}",
            )
    for key in given.keys() & set(NUMBERS):
        value = given[key]
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) not in (1, channels) or not all(
            type(number) in (int, float) and (key == "mean" or number > 0) for number in numbers
        ):
            raise CompileError(
                where, f"has the {key} {value}", "give a number, or one per channel; scale above 0"
            )
    return given


def _read(metadata: dict[str, str], key: str, default: Any) -> Any:
    """Value of a JSON property, or `default` where the model does not have it."""
    if key not in metadata:
        return default
    try:
        return json.loads(metadata[key])
    except json.JSONDecodeError as error:
        raise CompileError(f"metadata {key}", f"is not JSON ({error})", WRITE) from error
