"""A scan wrapper: any component on six pins, with registers on both sides of every port.

Out of context, a component has more port bits than the package has pins, and paths from a pin
would not count towards Fmax. The wrapper puts a flip-flop in front of every input bit and behind
every output bit, so that all paths through the component's ports run from register to register.
"""

from amaranth.hdl import Cat, ClockDomain, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Names of the wrapper's registers, by which synthesis tells them from the component's.
REGISTERS = ("wrapper_in", "wrapper_hold", "wrapper_taken", "wrapper_out", "wrapper_reset")


def port_bits(component: wiring.Component) -> tuple[list[Value], list[Value]]:
    """List the input and the output ports of a component, flattened, in signature order.

    Ports that are constants (`ready` of an always-ready stream) are left out: no register can
    drive them and nothing is to be learnt from capturing them.
    """
    inputs, outputs = [], []
    for _path, member, port in component.signature.flatten(component):
        value = Value.cast(port)
        if len(value) and not isinstance(value, Const):
            (inputs if member.flow is In else outputs).append(value)
    return inputs, outputs


class ScanWrapper(wiring.Component):
    """Scan chain around a component.

    The chain runs from `scan_in` through the input register to the output register and leaves at
    `scan_out`. It moves by one bit per cycle while `scan_enable` is high, from the most to the
    least significant bit, so a vector goes in LSB first.

    `capture`, for one cycle, hands the input register to the hold register, which drives the
    component's inputs from the next cycle on, and takes the component's outputs of that cycle
    into the capture register. The output register follows the capture register, one cycle later,
    while `scan_enable` is low. The component's clock never stops.

    Hold and capture registers are kept by synthesis as they are, next to the ports, so that the
    component's logic is neither merged with the wrapper's nor helped by its registers.

    Cost: 2 flip-flops per port bit, 1 for the reset, and a multiplexer (a LUT) per output bit.

    Parameters
    ----------
    dut : wiring.Component
        What is wrapped; it uses the `sync` domain, if any.

    Raises
    ------
    ValueError
        If the component has no ports.

    Members
    -------
    clk, rst : In(1)
        Clock and reset. The reset is registered before it reaches the component, as the reset
        tree of a complete design would be.
    scan_in : In(1)
        Next bit of the chain.
    scan_enable : In(1)
        Move the chain by one bit.
    capture : In(1)
        Apply the input register, and take the outputs.
    scan_out : Out(1)
        Bit 0 of the output register (of the input register if the component has no outputs).
    """

    clk: In(1)
    rst: In(1)
    scan_in: In(1)
    scan_enable: In(1)
    capture: In(1)
    scan_out: Out(1)

    def __init__(self, dut: wiring.Component) -> None:
        super().__init__()
        self.dut = dut
        self._inputs, self._outputs = port_bits(dut)
        if not self._inputs and not self._outputs:
            raise ValueError(f"{type(dut).__name__} has no ports to wrap")

    @property
    def input_bits(self) -> int:
        """Bits of the input register."""
        return sum(map(len, self._inputs))

    @property
    def output_bits(self) -> int:
        """Bits of the output register."""
        return sum(map(len, self._outputs))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = self.dut  # type: ignore[reportAttributeAccessIssue]

        scan_i, hold, taken, scan_o, reset = (
            Signal(width, name=name, reset_less=True, attrs={"keep": 1})
            for name, width in zip(
                REGISTERS,
                (self.input_bits, self.input_bits, self.output_bits, self.output_bits, 1),
                strict=True,
            )
        )
        m.domains.sync = sync = ClockDomain()
        sync.clk = self.clk
        sync.rst = reset
        m.d.sync += reset.eq(self.rst)

        chain = Cat(scan_o, scan_i, self.scan_in)
        with m.If(self.scan_enable):
            m.d.sync += Cat(scan_o, scan_i).eq(chain[1:])
        with m.Else():
            m.d.sync += scan_o.eq(taken)
        with m.If(self.capture):
            m.d.sync += [hold.eq(scan_i), taken.eq(Cat(self._outputs))]
        m.d.comb += [Cat(self._inputs).eq(hold), self.scan_out.eq(chain[0])]
        return m
