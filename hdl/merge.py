"""Shorter Verilog: what Amaranth's backend writes many times is written once.

Every instance of a component becomes a module of its own, named after its place in the hierarchy:
128 equal lanes are 128 modules. `merge_modules` keeps one of those that are equal but for the names
of nameless nets, and `loop_memories` turns the words of an all-equal initial memory, one line each,
into a loop. Both know the writer's layout of lines, not Verilog at large.
"""

import re

_NAME = r"(?:\\\S+ |[A-Za-z_]\w*)"
_MODULE = re.compile(rf"^module ({_NAME}) ?\((.*?)\);\n(.*?)^endmodule\n", re.M | re.S)
_INSTANCE = re.compile(rf"^  ({_NAME}) ({_NAME} ?)\(\n(.*?)^  \);\n", re.M | re.S)
#: A port of a signal without a name: its number is that of a net of the module above.
_NAMELESS = re.compile(r"\\port\$\d+\$\d+ ")
_PIN = re.compile(r"(?<=^    \.)\\\S+ ", re.M)
_TRIGGER = re.compile(r"\$auto\$verilog_backend\.cc:\d+:dump_module\$\d+")
_MEMORY = re.compile(
    rf"^  initial begin\n    ({_NAME})\[0\] = (\S+);\n"
    rf"((?:    (?:{_NAME})\[\d+\] = \S+;\n)+)  end\n",
    re.M,
)


def merge_modules(text: str, top: str) -> str:
    """Return Verilog with one module for all equal ones.

    Parameters
    ----------
    text
        What Amaranth's Verilog backend wrote.
    top
        Its top module, which keeps its name. The others are named after their place, without the
        numbers of instances: `top.row_3.cell_5` becomes `top_row_cell`, and what differs from that
        `top_row_cell_2`. Modules come after those that use them.

    Raises
    ------
    ValueError
        If there is no such top module.
    """
    modules = {name.strip(): (head, body) for name, head, body in _MODULE.findall(text)}
    if top not in modules:
        raise ValueError(f"the Verilog has no module {top!r}")
    merged: dict[str, tuple[str, dict[str, str]]] = {}
    written: dict[tuple[str, str], str] = {}
    count: dict[str, int] = {}

    def merge(name: str) -> tuple[str, dict[str, str]]:
        """Write a module if it is new; its new name, and the new names of nameless ports."""
        if name not in merged:
            head, body = modules[name]
            body = _INSTANCE.sub(connect, body)
            found = dict.fromkeys(_NAMELESS.findall(head))
            names = {port: f"\\port${k} " for k, port in enumerate(found)}
            head, body = (_renamed(part, names) for part in (head, body))
            body = _TRIGGER.sub("$verilog_initial_trigger", body)
            if (head, body) not in written:
                written[head, body] = new_name(name)
            merged[name] = (written[head, body], names)
        return merged[name]

    def connect(instance: re.Match[str]) -> str:
        name, label, pins = instance.groups()
        if name.strip() not in modules:
            return instance[0]
        module, names = merge(name.strip())
        pins = _PIN.sub(lambda pin: names.get(pin[0], pin[0]), pins)
        return f"  {module} {label}(\n{pins}  );\n"

    def new_name(name: str) -> str:
        if name == top:
            return top
        place = "_".join(re.sub(r"_\d+$", "", part) for part in name.lstrip("\\").split("."))
        count[place] = count.get(place, 0) + 1
        return place if count[place] == 1 else f"{place}_{count[place]}"

    merge(top)
    start = text.index("module ")
    blocks = [
        f"module {name} ({head});\n{body}endmodule\n" for (head, body), name in written.items()
    ]
    return text[:start] + "\n".join(reversed(blocks))


def loop_memories(text: str) -> str:
    """Return Verilog in which a memory whose initial words are all equal gets them in a loop."""

    def loop(memory: re.Match[str]) -> str:
        name, value, rest = memory.groups()
        depth = rest.count("\n") + 1
        words = (f"    {name}[{k}] = {value};\n" for k in range(1, depth))
        if rest != "".join(words):
            return memory[0]
        label = f"\\{name.strip().lstrip(chr(92))}$initial "
        return (
            f"  initial begin : {label}\n    integer i;\n"
            f"    for (i = 0; i < {depth}; i = i + 1)\n      {name}[i] = {value};\n  end\n"
        )

    return _MEMORY.sub(loop, text)


def _renamed(text: str, names: dict[str, str]) -> str:
    return _NAMELESS.sub(lambda port: names.get(port[0], port[0]), text)
