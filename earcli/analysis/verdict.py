"""What the figures of an evaluation mean: lines for a table, with a verdict where there is a target."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Targets:
    """What a teacher should reach.

    Attributes:
        psnr: least mean over images, dB.
        ssim: least mean.
        active: least share of the latent dimensions that are active.
        code_gain: least gain in PSNR of an ear's own code over another's, dB.
        cosine: largest mean |cosine| between ears.
    """

    psnr: float
    ssim: float
    active: float
    code_gain: float
    cosine: float


@dataclass(frozen=True)
class Line:
    """One figure: its part of the table, name, value and interval as shown, and what was wanted.

    Attributes:
        key: what `metrics.json` calls it.
        target: as shown; empty where there is none.
        verdict: whether the target was met, or how the figure compares; None where there is nothing to say.
    """

    part: str
    key: str
    name: str
    value: str
    interval: str = ""
    target: str = ""
    verdict: bool | str | None = None

    @property
    def cells(self) -> tuple[str | bool | None, ...]:
        """What is shown, as a row of a table."""
        return self.name, self.value, self.interval, self.target, self.verdict


def verdict_lines(metrics: Mapping[str, Any], targets: Targets) -> list[Line]:
    """The lines of the table and of the report, from what `metrics.json` holds."""
    return [
        *_reconstruction(metrics["reconstruction"], targets),
        *_baselines(metrics["reconstruction"], metrics["baselines"]),
        *_latent(metrics["latent"], targets),
        *_people(metrics["people"]),
    ]


def _reconstruction(found: Mapping[str, Any], targets: Targets) -> list[Line]:
    shown = (
        ("psnr", "PSNR, dB", ".2f", targets.psnr),
        ("psnr_pooled", "PSNR pooled, dB", ".2f", None),
        ("ssim", "SSIM", ".3f", targets.ssim),
        ("l1", "L1", ".4f", None),
        ("edge", "edge error", ".4f", None),
        ("perceptual", "VGG distance", ".4f", None),
    )
    return [
        Line(
            "reconstruction",
            key,
            name,
            format(found[key]["value"], form),
            _interval(found[key], form),
            "" if target is None else f"≥ {target:g}",
            None if target is None else found[key]["value"] >= target,
        )
        for key, name, form, target in shown
        if key in found
    ]


def _baselines(found: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[Line]:
    lines: list[Line] = []
    for key, result in baselines.items():
        if key == "pca_active_units" and result["components"] == baselines["pca_latent_dim"]["components"]:
            continue  # the same PCA twice
        name = "mean training image, dB" if key == "mean_image" else f"PCA of {result['components']}, dB"
        value = result["psnr"]["value"]
        difference = found["psnr"]["value"] - value
        said = f"teacher {difference:+.2f}"
        lines.append(Line("baselines", key, name, format(value, ".2f"), _interval(result["psnr"], ".2f"), verdict=said))
    return lines


def baseline_notes(metrics: Mapping[str, Any]) -> list[str]:
    """Says where a baseline is better than the teacher."""
    psnr = metrics["reconstruction"]["psnr"]["value"]
    notes = []
    for key, result in metrics["baselines"].items():
        gap = result["psnr"]["value"] - psnr
        if gap > 0:
            what = "the mean training image" if key == "mean_image" else f"a PCA of {result['components']} components"
            notes.append(f"The teacher reconstructs {gap:.2f} dB worse than {what}.")
    return list(dict.fromkeys(notes))


def _latent(found: Mapping[str, Any], targets: Targets) -> list[Line]:
    count, active = found["dimensions"], found["active_units"]
    gain, cosine = found["code_gain_db"], found["mean_abs_cosine"]
    return [
        Line("latent", "kl_nats", "KL, nats", format(found["kl_nats"], ".1f")),
        Line(
            "latent",
            "active_units",
            "active units",
            f"{active} of {count}",
            target=f"≥ {targets.active:.0%}",
            verdict=active >= targets.active * count,
        ),
        Line(
            "latent",
            "code_gain_db",
            "code gain, dB",
            format(gain, ".2f"),
            target=f"≥ {targets.code_gain:g}",
            verdict=gain >= targets.code_gain,
        ),
        Line(
            "latent",
            "mean_abs_cosine",
            "mean |cosine|",
            format(cosine, ".3f"),
            target=f"≤ {targets.cosine:g}",
            verdict=cosine <= targets.cosine,
        ),
        Line(
            "latent",
            "deterministic",
            "repeats exactly",
            "yes" if found["deterministic"] else "no",
            target="yes",
            verdict=found["deterministic"],
        ),
    ]


def _people(found: Mapping[str, Any] | None) -> list[Line]:
    if found is None:
        return []
    pairs = found["genuine_pairs"] + found["impostor_pairs"]
    return [
        Line("people", "rank_1", f"rank-1, {found['people']} people", format(found["rank_1"], ".1%")),
        Line("people", "auc", f"AUC, {pairs:,} pairs", format(found["auc"], ".3f")),
        Line("people", "eer", "equal error rate", format(found["eer"], ".1%")),
    ]


def _interval(value: Mapping[str, float], form: str) -> str:
    return f"{value['low']:{form}} to {value['high']:{form}}"
