"""Tests of `earcli/analysis/verdict.py`."""

import numpy as np

from earcli.analysis.evaluation import Evaluator
from earcli.analysis.verdict import Targets, metric_rows
from earcli.models.vae import EarVAE

UNKNOWN = np.full(12, -1)


def test_targets_decide_the_verdicts(model: EarVAE, pixels: np.ndarray) -> None:
    metrics = Evaluator(model, pixels, UNKNOWN).evaluate(None).metrics
    easy, hard = Targets(0, -1, 0, -99, 1), Targets(99, 1, 1.1, 99, -1)
    for targets, wanted in ((easy, True), (hard, False)):
        verdicts = [row.verdict for row in metric_rows(metrics, targets) if row.verdict is not None]
        assert verdicts == [wanted] * 5 + [True]  # the last is whether it repeats, which no target moves
