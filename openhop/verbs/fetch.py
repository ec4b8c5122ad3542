"""`openhop fetch`: a public trained network, built into an ONNX file of the user's cache."""

from pathlib import Path

from rich.text import Text

from openhop import photos
from openhop.fetching import fetch, fetched
from openhop.output import bar, require_writable, show, write_json


def main(*, name: str, json: Path | None) -> int:
    """Fetch, build and print where it is and how good; 0."""
    require_writable(json)
    before = fetched(name)
    with bar(f"fetching {name}") as shown:
        folder = fetch(name, shown.show)
    path, result = folder / f"{name}.onnx", photos.accuracy(folder)
    pictures = sorted((folder / "pictures").glob("*.png"))
    labels = (
        f"Labels: {result.right} of {result.photos} correct, in floating point "
        f"{result.right_float}; {result.agreeing} the same"
    )
    show(
        [
            Text(f"{'There already' if before else 'Fetched'}: {path}", overflow="fold"),
            Text(f"Pictures: {len(pictures)} in {folder / 'pictures'}", overflow="fold"),
            labels,
            f"To run it: openhop run {name}",
        ]
    )
    content = {"model": name, "path": str(path), "pictures": [str(file) for file in pictures]}
    write_json(json, {**content, "accuracy": vars(result)})
    return 0
