"""What goes by a name: networks, bundled or fetched, their sample pictures, tables of layers."""

import re
from pathlib import Path

import numpy as np

from compiler.errors import CompileError
from compiler.onnx_import import import_onnx
from golden.network import Conv, Network
from openhop import fetching
from openhop.pictures import load_picture

HERE = Path(__file__).parent

#: Bundled networks: files below `models()`.
NETWORKS = {
    "fashion": "fashion/fashion.onnx",
    "fashion-int16": "fashion/fashion_int16.onnx",
    "digits-adder": "digits_adder/digits_adder.onnx",
    "fashion-adder": "fashion_adder/fashion_adder.onnx",
}
DEFAULT_NETWORK = "fashion"

#: A sample picture's name says what it shows: place in the data set, class.
SAMPLE_NAME = re.compile(r"\d+_(?P<label>.+)")


def models() -> Path:
    """Folder of the bundled networks: inside the installed package, beside it in a checkout."""
    inside = HERE / "models"
    return inside if inside.is_dir() else HERE.parent / "models"


def tables() -> dict[str, Path]:
    """Return the bundled tables of layers by name."""
    return {path.stem: path for path in sorted((HERE / "tables").glob("*.csv"))}


def is_table(name: str) -> bool:
    """Whether a name or path means a table of layers and not a network."""
    if name.endswith(".csv"):
        return True
    networks = (*NETWORKS, *fetching.NETWORKS)
    return name in tables() and name not in networks and not Path(name).exists()


def table_path(name: str | Path) -> Path:
    """File of a table of layers, given by its path or, with or without .csv, its bundled name.

    Raises
    ------
    CompileError
        If there is neither a file nor a bundled table of that name.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = tables()
    key = str(name).removesuffix(".csv")
    if key not in known:
        names = ", ".join(f"{known_name}.csv" for known_name in known)
        raise CompileError(
            str(name), "is neither a file nor a bundled table", f"give a CSV file or {names}"
        )
    return known[key]


def model_path(model: str | Path) -> Path:
    """File of a network, given by its name or its path.

    Raises
    ------
    CompileError
        If there is neither a network nor a file of that name, or it is not fetched yet.
    """
    if str(model) in NETWORKS:
        return models() / NETWORKS[str(model)]
    if str(model) in fetching.NETWORKS:
        folder = fetching.fetched(str(model))
        if folder is None:
            raise CompileError(
                str(model),
                "is not fetched yet",
                f"run `openhop fetch {model}`; {model}.csv is a table of its layers",
            )
        return folder / f"{model}.onnx"
    path = Path(model)
    if not path.is_file():
        known = ", ".join((*NETWORKS, *fetching.NETWORKS))
        raise CompileError(
            str(model), "is neither a file nor a known network", f"give an ONNX file or {known}"
        )
    return path


def load(model: str | Path = DEFAULT_NETWORK) -> Network:
    """Read a network, given by its name or as an ONNX file.

    Raises
    ------
    CompileError
        If there is none, or OpenHop cannot take it: names the node and what to change.
    """
    return import_onnx(model_path(model))


def default_preset(network: Network) -> str:
    """Name of the preset, or names of those side by side, that suit a network's layers."""
    return {
        ("mac",): "nullhop",
        ("l1",): "nullhop_l1",
        ("l1", "mac"): "nullhop8+nullhop_l1",
    }[tuple(sorted({layer.pe for layer in network.layers if isinstance(layer, Conv)}))]


def sample_pictures(model: str | Path) -> list[Path]:
    """Pictures that came with a network; of a fetched one, which is large, only the first."""
    fetched = str(model) in fetching.NETWORKS
    if str(model) not in NETWORKS and not fetched:
        return []
    pictures = sorted((model_path(model).parent / "pictures").glob("*.png"))
    return pictures[:1] if fetched else pictures


def first_input(network: Network, pictures: list[Path]) -> tuple[np.ndarray, str]:
    """Raw input map of the first picture, and its name; without pictures a random map.

    Half of the random map's pixels are zero. It is the same in every run.

    Raises
    ------
    CompileError
        If the picture does not fit.
    """
    if pictures:
        return load_picture(pictures[0], network), pictures[0].name
    rng = np.random.default_rng(0)
    form, shape = network.input_format, network.input_shape
    x = rng.integers(form.ints.min, form.ints.max, shape, form.ints.dtype, endpoint=True)
    x[rng.random(shape) < 0.5] = form.zero_point
    return x, "random"


def true_label(path: Path, network: Network) -> str | None:
    """What a picture shows, if its name is `NUMBER_LABEL.*` with a label of the network."""
    match = SAMPLE_NAME.fullmatch(path.stem)
    label = match["label"] if match else None
    return label if label in network.labels else None
