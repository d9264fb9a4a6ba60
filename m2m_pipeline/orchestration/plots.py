"""Plots as images in Dagster's metadata: its Markdown shows a PNG that is given as data."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 5.6, 2.2  # inches
DOTS = 90  # an inch: some 10 kB a plot, which Dagster keeps in its event log


def change_plot(progress: Sequence[tuple[datetime, int]], counts: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    """Devices that had ended over time, beside the devices by how they ended."""
    figure = _figure()
    over_time, outcomes = figure.subplots(1, 2, width_ratios=[3, 2])
    begin = progress[0][0] if progress else None
    seconds = [(moment - begin).total_seconds() for moment, _ in progress] if begin else []
    over_time.step(seconds, [devices for _, devices in progress], where="post", color="#4f46e5")
    over_time.set_title("devices ended", fontsize=8)
    over_time.set_xlabel("seconds since the first", fontsize=7)
    outcomes.barh([name.lower() for name in counts], list(counts.values()), color="#0891b2")
    outcomes.set_title("devices by outcome", fontsize=8)
    return _markdown(figure, "Progress over time, and devices by outcome")


def trend_plot(trend: "pd.DataFrame") -> dg.MarkdownMetadataValue:
    """Devices that differ at the end of each day, a line for each cause."""
    figure = _figure()
    axes = figure.subplots()
    for cause in trend.columns:
        axes.step(trend.index.astype(str), trend[cause], where="post", marker="o", markersize=3, label=str(cause))
    axes.set_title("devices that differ", fontsize=8)
    if len(trend.columns):
        axes.legend(fontsize=6)
    return _markdown(figure, "Devices that differ at the end of each day, by cause")


def _figure() -> "Figure":
    """An empty figure. The object interface keeps no global state: steps of one process never draw into each other."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second, and only who plots pays it

    return Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS, layout="constrained")


def _markdown(figure: "Figure", words: str) -> dg.MarkdownMetadataValue:
    for axes in figure.axes:
        axes.tick_params(labelsize=6)
    image = BytesIO()
    figure.savefig(image, format="png")
    return dg.MetadataValue.md(f"![{words}](data:image/png;base64,{b64encode(image.getvalue()).decode()})")
