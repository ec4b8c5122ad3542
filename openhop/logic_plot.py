"""Figure: the LUTs of parts with multipliers and without."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpga.logic import best

MAC, L1, TARGET = "#9dc3e6", "#1f5fa8", "#d1495b"

FAMILIES = {"ecp5": "ECP5", "ice40": "iCE40"}


def figure(rows: Sequence[Mapping]) -> Figure:
    """Return a panel per family: LUTs of the L1 part as a share of those of the MAC part.

    Of the structures of a part, the one that saves most is shown, the core's own beside it where
    that is another.
    """
    result = Figure(figsize=(11, 4.6), layout="constrained")
    panels = result.subplots(1, len(FAMILIES), sharey=True)
    for axes, family in zip(panels, FAMILIES, strict=True):
        draw(axes, [row for row in rows if row["family"] == family])
        axes.set_title(FAMILIES[family], fontsize=10)
    panels[0].set_ylabel("LUTs, % of the part with LUT multipliers")
    panels[0].legend(loc="upper left", bbox_to_anchor=(0, -0.32), frameon=False, fontsize=9)
    return result


def draw(axes: Axes, rows: Sequence[Mapping]) -> None:
    """Draw a bar for each part, structure and width, with its target."""
    shown = picked(rows)
    for at, row in enumerate(shown):
        left = 100 * (1 - row["saving"])
        axes.bar(at, 100, 0.7, color=MAC, label="MAC" if at == 0 else None)
        axes.bar(at, left, 0.7, color=L1, label="L1" if at == 0 else None)
        axes.text(at, left + 1.5, f"{row['l1']:,}", ha="center", fontsize=8)
        axes.text(at, 101, f"{row['mac']:,}", ha="center", fontsize=8)
        if row["target"] is not None:
            goal = 100 * (1 - row["target"])
            axes.hlines(goal, at - 0.4, at + 0.4, color=TARGET)
    names = [f"{row['part']}\n{row['structure']}\n{row['bits']} bit" for row in shown]
    axes.set_xticks(range(len(shown)), names, rotation=90, fontsize=8)
    axes.set_ylim(0, 108)
    axes.spines[["top", "right"]].set_visible(False)


def picked(rows: Sequence[Mapping]) -> list[Mapping]:
    """Return of each part and width the core's own structure and the one that saves most."""
    shown: list[Mapping] = []
    for row in best(rows):
        own = [
            other
            for other in rows
            if all(other[key] == row[key] for key in ("part", "bits", "family"))
            and other["structure"] == "core"
            and other is not row
        ]
        shown += [*own, row]
    return shown
