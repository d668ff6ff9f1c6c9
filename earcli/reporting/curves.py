"""Plots of curves, from arrays to PNG files."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from earcli.reporting.plots import save_figure

LINE_STYLES = ("o-", "s--", "^:", "d-.", "v-", "<--", ">:", "p-.")


def save_cmc(path: Path, curve: Sequence[float]) -> None:
    """Plots a cumulative match characteristic: recall in [0, 1] at rank 1, 2, ..."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    ranks = range(1, len(curve) + 1)
    axis.plot(ranks, [100 * value for value in curve], "o-", color="black", markersize=3.5, linewidth=1)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="rank k", ylabel="recall at k, %", ylim=(0, 100))
    save_figure(path, figure)


def save_comparison(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Plots NME over the number of labels, one line with error bars for each initialization.

    Args:
        path: The PNG file.
        rows: Rows with `start`, `labels`, `nme`, `nme_low` and `nme_high`; see `earcli.training.comparison.summarize`.
    """
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    for start, style in zip(dict.fromkeys(row["start"] for row in rows), cycle(LINE_STYLES), strict=False):
        selected = [row for row in rows if row["start"] == start]
        nme = [100 * row["nme"] for row in selected]
        below = [100 * (row["nme"] - row["nme_low"]) for row in selected]
        above = [100 * (row["nme_high"] - row["nme"]) for row in selected]
        labels = [row["labels"] for row in selected]
        axis.errorbar(
            labels, nme, (below, above), fmt=style, color="black", capsize=3, markersize=4, label=fill(start, 40)
        )
    axis.set(xlabel="labels", ylabel="NME, % of the box diagonal", ylim=(0, None))
    axis.set_xticks(sorted({row["labels"] for row in rows}))
    axis.legend(frameon=False, fontsize=8).set_in_layout(False)  # a long name must not squeeze the plot
    save_figure(path, figure)


def save_errors(path: Path, errors: NDArray[np.floating], limit: float) -> None:
    """Plots the cumulative distribution of errors.

    Args:
        path: The PNG file.
        errors: (N,) normalized mean errors, as fractions.
        limit: The largest error on the axis.
    """
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    axis.ecdf(errors * 100, color="black", linewidth=1)
    axis.set(xlabel="NME, %", ylabel="fraction of ears", xlim=(0, limit * 100), ylim=(0, 1))
    save_figure(path, figure)
