"""What components encode: how much of their scores light explains, and how much anatomy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from earcli.data.pixels import Pixels

Floats = NDArray[np.floating]
Variables = Mapping[str, Floats]
Verdict = Literal["light", "anatomy", "mixed", "not light"]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
CHUNK = 512
FOLDS = 5
EARS_PER_VARIABLE = 5
MUCH, MOST = 0.25, 0.5


@dataclass(frozen=True)
class Attribution:
    """What one component's scores go with.

    Attributes:
        correlations: Pearson's r with each variable.
        light, anatomy: the share of the variance of the scores that the variables of either kind explain together
            (cross-validated R², at least 0); None where there are no variables, or too few ears.
        verdict: None where there are too few ears to say.
    """

    correlations: dict[str, float]
    light: float | None
    anatomy: float | None
    verdict: Verdict | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        rounded = {name: round(r, 4) for name, r in self.correlations.items()}
        return {"correlations": rounded, "light": self.light, "anatomy": self.anatomy, "verdict": self.verdict}


def measure_light(pixels: Pixels) -> dict[str, Floats]:
    """Brightness, contrast, color and blur of crops (N, S, S, 3); (N,) each.

    With luma Y of BT.601 in [0, 1]: `brightness` is its mean, `contrast` its standard deviation; `color_blue` and
    `color_red` are the means of B − Y and R − Y; `blur` is −log10 of the variance of the Laplacian of Y (Pech-Pacheco
    et al. 2000, doi:10.1109/ICPR.2000.903548) by the variance of Y, so that contrast does not count twice.
    """
    parts = []
    for start in range(0, len(pixels), CHUNK):
        rgb = pixels[start : start + CHUNK].astype(np.float32) / 255
        y = rgb @ LUMA  # (B, S, S)
        middle = y[:, 1:-1, 1:-1]
        laplacian = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:] - 4 * middle
        variance, detail = y.var(axis=(1, 2)), laplacian.var(axis=(1, 2))
        blur = -np.log10((detail + 1e-8) / (variance + 1e-8))
        blue, red = ((rgb[..., channel] - y).mean(axis=(1, 2)) for channel in (2, 0))
        parts.append(np.stack([y.mean(axis=(1, 2)), np.sqrt(variance), blue, red, blur]))
    columns = np.concatenate(parts, axis=1).astype(np.float64)
    return dict(zip(("brightness", "contrast", "color_blue", "color_red", "blur"), columns, strict=True))


def attribute(scores: Floats, light: Variables, anatomy: Variables) -> list[Attribution]:
    """What each component goes with.

    Args:
        scores: (N, K).
        light, anatomy: variables by name, (N,) each; those that do not vary are left out.
    """
    light, anatomy = (_varying(group) for group in (light, anatomy))
    enough = len(scores) >= ears_needed(light, anatomy)
    light_share = explained_share(scores, light) if light and enough else None
    anatomy_share = explained_share(scores, anatomy) if anatomy and enough else None
    correlations = {name: _correlations(scores, values) for name, values in {**light, **anatomy}.items()}
    result = []
    for k in range(scores.shape[1]):
        by_light, by_anatomy = (
            None if share is None else round(float(share[k]), 4) for share in (light_share, anatomy_share)
        )
        verdict = None if by_light is None else verdict_of(by_light, by_anatomy)
        by_name = {name: float(r[k]) for name, r in correlations.items()}
        result.append(Attribution(by_name, by_light, by_anatomy, verdict))
    return result


def ears_needed(light: Variables, anatomy: Variables) -> int:
    """Fewer ears than five for each variable of a kind are too few to say what explains what."""
    return EARS_PER_VARIABLE * max(len(light), len(anatomy), 2)


def explained_share(scores: Floats, variables: Variables) -> Floats:
    """(K,) R² of a linear regression of each score on all variables, on ears that it was not fitted on (5 folds).

    Cross-validation keeps many variables from explaining by chance. What is worse than the mean is 0.
    """
    table = np.stack(list(variables.values()), axis=1)
    model = make_pipeline(StandardScaler(), LinearRegression())
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    guessed = cross_val_predict(model, table, scores, cv=folds).reshape(scores.shape)
    return np.asarray(np.maximum(r2_score(scores, guessed, multioutput="raw_values"), 0))


def verdict_of(light: float, anatomy: float | None) -> Verdict:
    """`light` where light explains at least half and anatomy less than a quarter; `anatomy` where it is the other way.

    Anatomy needs to explain no more than a quarter, because labels name a part of it only; a quarter is what Cohen
    (1988) calls a large effect. Less than a quarter by either is `not light`: shape, pose, hair or background that no
    label names. All else is `mixed`.
    """
    named = anatomy or 0.0
    if light < MUCH:
        return "anatomy" if named >= MUCH else "not light"
    return "light" if light >= MOST and named < MUCH else "mixed"


def _varying(variables: Variables) -> dict[str, Floats]:
    return {name: values for name, values in variables.items() if np.ptp(values) > 0}


def _correlations(scores: Floats, values: Floats) -> Floats:
    """(K,) Pearson's r; 0 for a score that does not vary."""
    a, b = scores - scores.mean(axis=0), values - values.mean()
    size = np.linalg.norm(a, axis=0) * np.linalg.norm(b)
    return np.asarray(np.divide(a.T @ b, size, out=np.zeros_like(size), where=size > 0))
