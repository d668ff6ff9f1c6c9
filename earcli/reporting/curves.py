"""Curves of results. Arrays in, PNG files out."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from earcli.files import replacing

DPI = 130


def save_cmc(path: Path, curve: Sequence[float]) -> None:
    """The cumulative match characteristic from rank 1 on, shares in [0, 1], as a PNG."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    ranks = range(1, len(curve) + 1)
    axis.plot(ranks, [100 * value for value in curve], "o-", color="black", markersize=3.5, linewidth=1)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="rank k", ylabel="person among the k nearest, %", ylim=(0, 100))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
