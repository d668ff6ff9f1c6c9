"""How much of a component's scores lighting explains, and how much anatomy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
LARGE_EFFECT, MAJORITY = 0.25, 0.5


@dataclass(frozen=True)
class Attribution:
    """What one component's scores correlate with.

    Attributes:
        correlations: Pearson's r with each variable.
        light, anatomy: Share of the scores' variance that the variables of either kind explain (cross-validated R², at
            least 0); None without variables, or with too few ears.
        verdict: None with too few ears.
    """

    correlations: dict[str, float]
    light: float | None
    anatomy: float | None
    verdict: Verdict | None


def measure_light(pixels: Pixels) -> dict[str, Floats]:
    """Brightness, contrast, color and blur of crops (N, S, S, 3) uint8; (N,) each.

    With luma Y of BT.601 in [0, 1]: `brightness` is its mean, `contrast` its standard deviation; `color_blue` and
    `color_red` are the means of B − Y and R − Y; `blur` is −log10 of the variance of the Laplacian of Y (Pech-Pacheco
    et al. 2000, doi:10.1109/ICPR.2000.903548) over the variance of Y, so that contrast does not count twice.

    >>> measure_light(np.full((1, 8, 8, 3), 51, np.uint8))["brightness"].round(3)
    array([0.2])
    """
    parts = []
    for start in range(0, len(pixels), CHUNK):
        rgb = pixels[start : start + CHUNK].astype(np.float32) / 255
        y = rgb @ LUMA  # (B, S, S)
        center = y[:, 1:-1, 1:-1]
        laplacian = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:] - 4 * center
        variance, detail = y.var(axis=(1, 2)), laplacian.var(axis=(1, 2))
        blur = -np.log10((detail + 1e-8) / (variance + 1e-8))
        blue, red = ((rgb[..., channel] - y).mean(axis=(1, 2)) for channel in (2, 0))
        parts.append(np.stack([y.mean(axis=(1, 2)), np.sqrt(variance), blue, red, blur]))
    columns = np.concatenate(parts, axis=1).astype(np.float64)
    return dict(zip(("brightness", "contrast", "color_blue", "color_red", "blur"), columns, strict=True))


def attribute(scores: Floats, light: Variables, anatomy: Variables) -> list[Attribution]:
    """Attributes each component to lighting or anatomy.

    Args:
        scores: (N, K).
        light, anatomy: Variables by name, (N,) each; constant ones are ignored.
    """
    light, anatomy = (_varying(group) for group in (light, anatomy))
    enough = len(scores) >= ears_needed(light, anatomy)
    light_shares = explained_share(scores, light) if light and enough else None
    anatomy_shares = explained_share(scores, anatomy) if anatomy and enough else None
    correlations = {name: _correlations(scores, values) for name, values in {**light, **anatomy}.items()}
    result = []
    for k in range(scores.shape[1]):
        by_light, by_anatomy = (
            None if shares is None else round(float(shares[k]), 4) for shares in (light_shares, anatomy_shares)
        )
        verdict = None if by_light is None else verdict_of(by_light, by_anatomy)
        by_name = {name: float(r[k]) for name, r in correlations.items()}
        result.append(Attribution(by_name, by_light, by_anatomy, verdict))
    return result


def ears_needed(light: Variables, anatomy: Variables) -> int:
    """The least number of ears for a verdict: five per variable of the larger kind."""
    return EARS_PER_VARIABLE * max(len(light), len(anatomy), 2)


def explained_share(scores: Floats, variables: Variables) -> Floats:
    """(K,) R² of a linear regression of each score on all variables, on held-out ears (5-fold), clipped at 0.

    Cross-validation keeps many variables from explaining scores by chance.
    """
    table = np.stack(list(variables.values()), axis=1)  # (N, V)
    model = make_pipeline(StandardScaler(), LinearRegression())
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    predictions = cross_val_predict(model, table, scores, cv=folds).reshape(scores.shape)
    return np.asarray(np.maximum(r2_score(scores, predictions, multioutput="raw_values"), 0))


def verdict_of(light: float, anatomy: float | None) -> Verdict:
    """The verdict on a component, given the shares that lighting and anatomy explain.

    `light`: lighting explains at least half, anatomy less than a quarter. `anatomy`: lighting explains less than a
    quarter, anatomy at least a quarter, because labels cover only part of anatomy; a quarter is what Cohen (1988)
    calls a large effect. `not light`: both explain less than a quarter, so the component is shape, pose, hair or
    background without a label. `mixed`: everything else.

    >>> verdict_of(0.8, 0.1), verdict_of(0.1, 0.3), verdict_of(0.4, None)
    ('light', 'anatomy', 'mixed')
    """
    labeled = anatomy or 0.0
    if light < LARGE_EFFECT:
        return "anatomy" if labeled >= LARGE_EFFECT else "not light"
    return "light" if light >= MAJORITY and labeled < LARGE_EFFECT else "mixed"


def _varying(variables: Variables) -> dict[str, Floats]:
    return {name: values for name, values in variables.items() if np.ptp(values) > 0}


def _correlations(scores: Floats, values: Floats) -> Floats:
    """(K,) Pearson's r; 0 for constant scores."""
    a, b = scores - scores.mean(axis=0), values - values.mean()
    norm = np.linalg.norm(a, axis=0) * np.linalg.norm(b)
    return np.asarray(np.divide(a.T @ b, norm, out=np.zeros_like(norm), where=norm > 0))
