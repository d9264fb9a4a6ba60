"""Plots as images in Dagster's metadata: its Markdown shows an SVG that is given as data.

They are drawn by the run's worker, whose start and end an operator waits for: a larger library costs it seconds.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from itertools import cycle
from typing import TYPE_CHECKING

import dagster as dg
from leather import Chart, Grid, Linear

if TYPE_CHECKING:
    import pandas as pd

WIDTH, HEIGHT = 720, 240  # pixels
COLORS = ("#4f46e5", "#0891b2", "#b45309", "#be123c", "#15803d", "#7e22ce", "#475569")


def change_plot(progress: Sequence[tuple[datetime, int]], counts: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    """Devices that had ended over time, beside the devices by how they ended."""
    over_time = Chart("devices ended")
    over_time.add_x_axis(name="seconds since the first")
    over_time.set_y_scale(_from_zero(devices for _, devices in progress))
    ended = [((moment - progress[0][0]).total_seconds(), devices) for moment, devices in progress]
    over_time.add_line([(0.0, 0), *ended], stroke_color=COLORS[0])
    outcomes = Chart("devices by outcome")
    outcomes.set_x_scale(_from_zero(counts.values()))
    bars = [(devices, name.lower()) for name, devices in counts.items()]
    outcomes.add_bars(bars or [(0, "none")], fill_color=COLORS[1])
    grid = Grid()
    grid.add_many([over_time, outcomes])
    return _markdown(grid, "Progress over time, and devices by outcome")


def trend_plot(trend: "pd.DataFrame") -> dg.MarkdownMetadataValue:
    """Devices that differ at the end of each day, a line for each cause. None did on the day before the first."""
    only = f": {trend.columns[0]}" if len(trend.columns) == 1 else ""  # a single line has no legend
    chart = Chart(f"devices that differ, at the end of each day{only}")
    chart.set_y_scale(_from_zero(trend.to_numpy().ravel().tolist()))
    days = [datetime.combine(day, time()) for day in trend.index]
    for cause, color in zip(trend.columns, cycle(COLORS), strict=False):
        line = [(days[0] - timedelta(days=1), 0), *zip(days, trend[cause], strict=True)]
        chart.add_line(line, stroke_color=color, name=str(cause))
    if not len(trend.columns):
        chart.add_line([(0.0, 0)])
    return _markdown(chart, "Devices that differ at the end of each day, by cause")


def _from_zero(numbers: Iterable[int]) -> Linear:
    return Linear(0, max([1, *numbers]))


def _markdown(chart: Chart | Grid, words: str) -> dg.MarkdownMetadataValue:
    image = b64encode(str(chart.to_svg(width=WIDTH, height=HEIGHT)).encode()).decode()
    return dg.MetadataValue.md(f"![{words}](data:image/svg+xml;base64,{image})")
