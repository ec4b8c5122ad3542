"""What a build cannot run, whatever the plan."""

from compiler.cuts import Shape, kernel_pieces
from compiler.errors import CompileError
from compiler.geometry import STRIDE_MAX
from golden.conv import bits_needed
from golden.network import Conv
from golden.params import Build
from golden.requant import Scale

#: What lanes do, for messages.
LANES = {"mac": "multiply", "l1": "add |x - w|"}


def check_layer(
    layer: Conv,
    in_shape: Shape,
    build: Build,
    in_block: int | None = None,
    *,
    positive: bool = False,
) -> None:
    """Refuse what the build cannot run; `in_block` and `positive` as of `compiler.plan.plan_layer`.

    Raises
    ------
    CompileError
        Names the layer, what it needs and what the build has.
    """

    def need(ok: object, text: str) -> None:
        if not ok:
            raise CompileError(f"layer {layer.name!r}", text)

    need(
        layer.pe == build.pe,
        f"needs lanes that {LANES[layer.pe]}, those of build {build.name!r} {LANES[build.pe]}",
    )
    height, width, channels = in_shape
    kernel_h, kernel_w = layer.kernel
    in_block = in_block or build.lanes
    need(
        all(1 <= step <= STRIDE_MAX for step in layer.stride),
        f"stride {layer.stride} is not supported: use 1 to {STRIDE_MAX}",
    )
    need(
        max(height, width, *layer.conv_shape(in_shape)[:2]) <= 2047,
        "maps must be at most 2047 rows and columns",
    )
    # A stride that steps over rows or columns does so inside the map.
    pieces = kernel_pieces(layer, build)
    for axis, least in ((0, min(p.height for p in pieces)), (1, min(p.width for p in pieces))):
        pads = max(layer.pads[axis], layer.pads[axis + 2])
        need(
            pads < least or layer.stride[axis] <= least,
            f"pads {layer.pads} must be smaller than the kernel {kernel_h}x{kernel_w}, whose "
            f"stride {layer.stride} is larger"
            + (f" than its pieces of {least}" if len(pieces) > 1 else ""),
        )
    need(channels <= 2048, f"{channels} input channels are above the 2048 of the core")
    need(
        channels <= in_block or in_block % build.word_pixels == 0,
        f"{channels} input channels come in blocks of {in_block}, which are not whole map words "
        f"of the {build.word_pixels} pixels of build {build.name!r}: use fewer word_pixels",
    )
    need(
        layer.weight_bits <= build.weight_bits,
        f"needs {layer.weight_bits}-bit weights, build {build.name!r} has {build.weight_bits}",
    )
    for form in (layer.in_format, layer.out_format):
        need(
            form.bits <= build.act_bits and not (form.bits == 16 and not form.signed),
            f"a map of {form.bits} bits {'signed' if form.signed else 'unsigned'} does not fit "
            f"build {build.name!r} with {build.act_bits}-bit activations",
        )
    name = "scale" if isinstance(layer.requant, Scale) else "shift"
    need(
        name in build.requant,
        f"needs the {name!r} requantiser, build {build.name!r} has {', '.join(build.requant)}",
    )
    ints, zero = layer.in_format.ints, layer.in_format.zero_point
    half = 1 << build.pixel_bits - 1
    need(
        ints.min - zero >= -half and ints.max - zero < half,
        f"pixels less the zero point {zero} need more than {build.pixel_bits} bits",
    )
    bits = bits_needed(layer.reach_above_zero if positive else layer.reach)
    need(
        bits <= build.acc_bits,
        f"accumulators need {bits} bits, build {build.name!r} has {build.acc_bits}",
    )
