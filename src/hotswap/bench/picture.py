"""The run as a picture: a panel a measure, a bar a system. Needs matplotlib, which is an extra."""

from collections.abc import Sequence
from pathlib import Path

from ..sizes import format_size
from .plan import LESS_IS_BETTER, Row, Settings
from .progress import figure
from .verdict import measures

_OURS, _PEER = "#d95f02", "#9aa5b1"
_WIDE = 20.0  # a panel whose best is so many times its worst gets a logarithmic axis


def draw(rows: Sequence[Row], settings: Settings, path: Path) -> str:
    """Write the PNG; returns a sentence when there is none, else nothing."""
    shown = [(m, [r for r in rows if r.workload == m]) for m in measures(rows)]
    shown = [(m, found) for m, found in shown if any(r.value for r in found)]
    if not shown:
        return "no picture: nothing was measured."
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture: matplotlib is not installed; pip install matplotlib and run again."
    height = sum(0.9 + 0.3 * len(found) for _, found in shown)
    drawing = Figure(figsize=(8, height + 0.8), layout="constrained")
    FigureCanvasAgg(drawing)
    drawing.suptitle(
        f"hotswap bench: {format_size(settings.size)} of {settings.data} float32 under {format_size(settings.limit)}"
    )
    panels = drawing.subplots(len(shown), 1, squeeze=False, height_ratios=[0.9 + 0.3 * len(f) for _, f in shown])
    for axes, (measure, found) in zip(panels[:, 0], shown, strict=True):
        values = [r.value or 0.0 for r in found]
        bars = axes.barh([r.system for r in found], values, color=[_OURS if r.system == "hotswap" else _PEER for r in found])
        labels = [figure(r.value) + (" WRONG" if r.verified is False else "") if r.value else "" for r in found]
        axes.bar_label(bars, labels, padding=3, fontsize=8)
        for at, row in enumerate(found):
            if not row.value:
                axes.text(0.005, at, "none", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.invert_yaxis()
        axes.set_title(
            f"{measure}, {found[0].unit}, {'less' if found[0].unit in LESS_IS_BETTER else 'more'} is better",
            loc="left",
            fontsize=9,
        )
        least, most = min(v for v in values if v), max(values)
        if most / least > _WIDE:
            axes.set_xscale("log")
            axes.set_xlim(least / 2, most * (2 * most / least) ** 0.15)  # room for the last figure
        else:
            axes.set_xlim(0, most * 1.15)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, dpi=130, metadata={"Software": None})
    return ""
