"""Speed of the golden convolution beside ONNX Runtime's QLinearConv, layer by layer.

    python -m tests.bench.bench_conv

runs the convolutions of SqueezeNet v1.1 and VGG-16 on random 8-bit maps and weights, whole layers
from raw map to raw map, with one thread and with two, checks that both give the same bits, and
writes docs/figures/conv_speed.json. Times are in milliseconds: minimum, median and maximum.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from golden.network import Conv, TensorFormat
from golden.requant import Scale
from tests.golden import onnxrun

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "docs" / "figures" / "conv_speed.json"
COMMAND = "python -m tests.bench.bench_conv"
THREADS = (1, 2)
REPEATS = 7

#: Name, map edge, channels in and out, kernel edge, stride, padding.
Shape = tuple[str, int, int, int, int, int, int]


def squeezenet() -> Iterator[Shape]:
    """Convolutions of SqueezeNet v1.1 on 227x227 pixels."""
    yield "conv1", 227, 3, 64, 3, 2, 0
    fires = [(56, 64, 16), (56, 128, 16), (27, 128, 32), (27, 256, 32)]
    fires += [(13, 256, 48), (13, 384, 48), (13, 384, 64), (13, 512, 64)]
    for index, (size, channels, squeezed) in enumerate(fires, start=2):
        yield f"fire{index}_squeeze", size, channels, squeezed, 1, 1, 0
        yield f"fire{index}_expand1x1", size, squeezed, 4 * squeezed, 1, 1, 0
        yield f"fire{index}_expand3x3", size, squeezed, 4 * squeezed, 3, 1, 1
    yield "conv10", 13, 512, 1000, 1, 1, 0


def vgg16() -> Iterator[Shape]:
    """Convolutions of VGG-16 on 224x224 pixels."""
    before, size = 3, 224
    for stage, (channels, count) in enumerate(
        [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1
    ):
        for index in range(1, count + 1):
            yield f"conv{stage}_{index}", size, before, channels, 3, 1, 1
            before = channels
        size //= 2


NETWORKS = {"squeezenet": squeezenet, "vgg16": vgg16}


def times(run: Callable[[], object], repeats: int) -> list[float]:
    """Minimum, median and maximum time in ms, after one run that does not count."""
    run()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        taken.append((time.perf_counter() - start) * 1e3)
    return [round(f(taken), 3) for f in (min, statistics.median, max)]


def machine() -> str:
    """Model of the processor, or at least its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def measure(shape: Shape, threads: int, repeats: int) -> dict[str, Any]:
    """Both times of one layer."""
    name, size, cin, cout, kernel, stride, pad = shape
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (size, size, cin), np.uint8)
    weights = rng.integers(-64, 64, (cout, cin, kernel, kernel), np.int8)
    bias = rng.integers(-1000, 1000, cout)
    x_format = TensorFormat(8, False, 0.02, 115)
    y_format = TensorFormat(8, False, float(np.float32(0.05 * (cin * kernel**2) ** 0.5)), 100)
    scales = rng.uniform(0.005, 0.02, cout).astype(np.float32)
    layer = Conv(
        name=name,
        weights=weights,
        bias=bias,
        in_format=x_format,
        out_format=y_format,
        requant=Scale.from_scales(x_format.scale, scales, y_format.scale),
        stride=(stride, stride),
        pads=(pad,) * 4,
    )
    node = onnxrun.qlinear_conv_node("c", "x", "y", weights, layer.stride, layer.pads)
    constants = onnxrun.qlinear_conv_constants(
        "c",
        (x.dtype, x_format.scale, 115),
        weights,
        scales,
        0,
        bias,
        (x.dtype, y_format.scale, 100),
    )
    session = onnxrun.session([node], x, {"y": x.dtype}, constants, threads)
    feed = {"x": onnxrun.to_nchw(x)}
    expected = onnxrun.to_hwc(np.asarray(session.run(["y"], feed)[0]))
    rows, cols, _ = expected.shape
    return {
        "name": name,
        "mmac": round(rows * cols * weights.size / 1e6, 4),
        "equal": bool((layer.run(x) == expected).all()),
        "golden_ms": times(lambda: layer.run(x), repeats),
        "onnxruntime_ms": times(lambda: session.run(["y"], feed), repeats),
    }


def measure_network(name: str, threads: int, repeats: int) -> dict[str, Any]:
    """All layers of a network, and the sums of their medians."""
    layers = [measure(shape, threads, repeats) for shape in NETWORKS[name]()]
    golden, other = (
        sum(layer[key][1] for layer in layers) for key in ("golden_ms", "onnxruntime_ms")
    )
    return {
        "network": name,
        "threads": threads,
        "mmac": round(sum(layer["mmac"] for layer in layers), 1),
        "equal": all(layer["equal"] for layer in layers),
        "golden_ms": round(golden, 2),
        "onnxruntime_ms": round(other, 2),
        "ratio": round(golden / other, 2),
        "layers": layers,
    }


def measure_apart(name: str, threads: int, repeats: int = REPEATS) -> dict[str, Any]:
    """`measure_network` in a process of its own, since numpy's threads are set when it starts."""
    arguments = ["--network", name, "--threads", str(threads), "--repeats", str(repeats)]
    result = subprocess.run(
        [sys.executable, "-m", "tests.bench.bench_conv", *arguments],
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, help="only print this network's figures")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    if options.network:
        figures = measure_network(options.network, options.threads, options.repeats)
        sys.stdout.write(json.dumps(figures))
        return
    record = {
        "command": COMMAND,
        "conditions": {
            "maps": "random u8, zero point 115",
            "weights": "random s8, -64 to 63",
            "repeats": options.repeats,
            "processors": os.cpu_count(),
            "machine": machine(),
        },
        "tools": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        "results": [measure_apart(n, t, options.repeats) for n in NETWORKS for t in THREADS],
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
