"""The recorded speed of the golden convolution, and the same measured anew."""

import json

import pytest

from tests.bench import bench_conv

#: How many times as long as ONNX Runtime the golden convolution may take.
LIMIT = 12


def test_the_tables_are_the_networks():
    """Multiply-accumulates of the convolutions: 352.5 and 15346.6 million."""
    macs = {
        name: sum(
            ((size + 2 * pad - kernel) // stride + 1) ** 2 * kernel**2 * cin * cout
            for _, size, cin, cout, kernel, stride, pad in shapes()
        )
        for name, shapes in bench_conv.NETWORKS.items()
    }
    assert {name: round(count / 1e6, 1) for name, count in macs.items()} == {
        "squeezenet": 352.5,
        "vgg16": 15346.6,
    }


@pytest.mark.bench
def test_the_record_is_within_the_limit():
    results = json.loads(bench_conv.RECORD.read_text())["results"]
    cases = {(result["network"], result["threads"]) for result in results}
    assert cases == {(n, t) for n in bench_conv.NETWORKS for t in bench_conv.THREADS}
    assert all(result["equal"] for result in results)
    assert max(result["ratio"] for result in results) <= LIMIT


@pytest.mark.bench
@pytest.mark.parametrize("network", bench_conv.NETWORKS)
def test_the_golden_convolution_is_fast_and_equal(network):
    result = bench_conv.measure_apart(network, threads=1)
    assert result["equal"]
    assert result["ratio"] <= LIMIT
