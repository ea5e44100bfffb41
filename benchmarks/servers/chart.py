"""This file draws the chart of the comparison: panels of horizontal bars, as JSON on standard input, to a PNG.

python chart.py FILE < panels.json
"""

import io
import json
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from PIL import Image

OURS, THEIRS = "#0b6e99", "#b8bec4"
_COLUMNS = 3
_COLOURS = 48  # of which most are greys at the edges of letters: a third of the size


def shown(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def draw(axes, panel, is_first):
    names = [bar["name"] for bar in panel["bars"]]
    values = [bar["value"] for bar in panel["bars"]]
    colours = [OURS if name.startswith("Modelway") else THEIRS for name in names]
    drawn = axes.barh(names, values, color=colours, height=0.72)
    axes.bar_label(drawn, [shown(value) for value in values], padding=3, fontsize=8, color="#333333")
    axes.invert_yaxis()
    axes.set_xlim(0, max(values) * 1.2)
    axes.set_title(panel["title"], fontsize=9, loc="left", weight="bold")
    axes.set_xlabel("less is better" if panel["is_less_better"] else "more is better", fontsize=8, color="#666666")
    axes.tick_params(axis="y", length=0, labelsize=8.5, labelleft=is_first)
    axes.xaxis.set_major_locator(plt.MaxNLocator(4))
    axes.tick_params(axis="x", labelsize=7.5, colors="#666666")
    axes.spines[["top", "right", "left"]].set_visible(False)


def main():
    panels = json.load(sys.stdin)
    rows = -(-len(panels) // _COLUMNS)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=(12.5, 3.6 * rows), squeeze=False)
    for number, (axes, panel) in enumerate(zip(grid.flat, panels, strict=True)):
        draw(axes, panel, number % _COLUMNS == 0)
    figure.tight_layout(h_pad=2)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110)
    Image.open(drawn).convert("RGB").quantize(_COLOURS).save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
