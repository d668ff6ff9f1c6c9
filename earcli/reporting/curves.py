"""Curves of results. Arrays in, PNG files out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from earcli.reporting.plots import save_figure

LINES = ("o-", "s--", "^:", "d-.")


def save_cmc(path: Path, curve: Sequence[float]) -> None:
    """The cumulative match characteristic from rank 1 on, shares in [0, 1], as a PNG."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    ranks = range(1, len(curve) + 1)
    axis.plot(ranks, [100 * value for value in curve], "o-", color="black", markersize=3.5, linewidth=1)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="rank k", ylabel="person among the k nearest, %", ylim=(0, 100))
    save_figure(path, figure)


def save_comparison(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """NME over the number of labels, a line with intervals for each start; see `comparison_rows`."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    for start, style in zip(dict.fromkeys(row["start"] for row in rows), LINES, strict=False):
        mine = [row for row in rows if row["start"] == start]
        middle = [100 * row["nme"] for row in mine]
        below = [100 * (row["nme"] - row["nme_low"]) for row in mine]
        above = [100 * (row["nme_high"] - row["nme"]) for row in mine]
        labels = [row["labels"] for row in mine]
        axis.errorbar(labels, middle, (below, above), fmt=style, color="black", capsize=3, markersize=4, label=start)
    axis.set(xlabel="labels", ylabel="NME, % of the box's diagonal", ylim=(0, None))
    axis.set_xticks(sorted({row["labels"] for row in rows}))
    axis.legend(frameon=False, fontsize=8)
    save_figure(path, figure)


def save_errors(path: Path, errors: NDArray[np.floating], up_to: float) -> None:
    """The cumulative distribution of NMEs, shares, from 0 to `up_to`."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    axis.ecdf(errors * 100, color="black", linewidth=1)
    axis.set(xlabel="NME, %", ylabel="share of ears with at most that", xlim=(0, up_to * 100), ylim=(0, 1))
    save_figure(path, figure)
