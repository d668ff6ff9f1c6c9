"""The metrics of a teacher as rows of a table, with a verdict where there is a target."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Targets:
    """What a teacher should reach.

    Attributes:
        psnr: Least mean PSNR, dB.
        ssim: Least mean SSIM.
        active: Least fraction of active latent dimensions.
        code_gain: Least PSNR gain of an ear's own code over another ear's, dB.
        cosine: Largest mean |cosine| between the codes of ears.
    """

    psnr: float = 28.0
    ssim: float = 0.85
    active: float = 0.5
    code_gain: float = 6.0
    cosine: float = 0.3


@dataclass(frozen=True)
class MetricRow:
    """One metric as a row of the table.

    Attributes:
        section: Section of the table.
        key: Key in `metrics.json`.
        name, value, interval, target: Formatted; empty where there is none.
        verdict: Whether the target was met, or how the metric compares; None for neither.
    """

    section: str
    key: str
    name: str
    value: str
    interval: str = ""
    target: str = ""
    verdict: bool | str | None = None

    @property
    def cells(self) -> tuple[str | bool | None, ...]:
        """The cells below `HEADER`."""
        return self.name, self.value, self.interval, self.target, self.verdict


HEADER = ("", "measured", "95% interval", "target", "verdict")


def metric_rows(metrics: Mapping[str, Any], targets: Targets) -> list[MetricRow]:
    """The rows of the table and of the report.

    Args:
        metrics: `TeacherMeasurements.metrics`.
        targets: What the verdicts compare with.
    """
    return [
        *_reconstruction_rows(metrics["reconstruction"], targets),
        *_path_rows(metrics["paths"]),
        *_baseline_rows(metrics["reconstruction"], metrics["baselines"]),
        *_latent_rows(metrics["latent"], targets),
        *_people_rows(metrics["people"]),
    ]


def format_interval(low: float, high: float, form: str) -> str:
    """An interval as shown in tables.

    >>> format_interval(0.12, 0.2, ".1%")
    '12.0% to 20.0%'
    """
    return f"{low:{form}} to {high:{form}}"


def _reconstruction_rows(values: Mapping[str, Any], targets: Targets) -> list[MetricRow]:
    formats = (
        ("psnr", "PSNR, dB", ".2f", targets.psnr),
        ("psnr_pooled", "PSNR pooled, dB", ".2f", None),
        ("ssim", "SSIM", ".3f", targets.ssim),
        ("l1", "L1", ".4f", None),
        ("edge", "edge error", ".4f", None),
        ("perceptual", "VGG distance", ".4f", None),
    )
    return [
        MetricRow(
            "reconstruction",
            key,
            name,
            format(values[key]["value"], form),
            format_interval(values[key]["low"], values[key]["high"], form),
            "" if target is None else f"≥ {target:g}",
            None if target is None else values[key]["value"] >= target,
        )
        for key, name, form, target in formats
        if key in values
    ]


def _path_rows(paths: Mapping[str, Any]) -> list[MetricRow]:
    names = {"skeleton": "skeleton alone, dB", "deep": "networks alone, dB"}
    return [
        MetricRow(
            "reconstruction",
            f"psnr_{key}",
            names[key],
            format(values["psnr"]["value"], ".2f"),
            format_interval(values["psnr"]["low"], values["psnr"]["high"], ".2f"),
        )
        for key, values in paths.items()
    ]


def _baseline_rows(values: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[MetricRow]:
    rows: list[MetricRow] = []
    for key, result in baselines.items():
        if key == "pca_active_units" and result["components"] == baselines["pca_code_dim"]["components"]:
            continue  # the same PCA twice
        name = "mean training image, dB" if key == "mean_image" else f"PCA of {result['components']}, dB"
        psnr = result["psnr"]
        interval = format_interval(psnr["low"], psnr["high"], ".2f")
        verdict = f"teacher {values['psnr']['value'] - psnr['value']:+.2f}"
        rows.append(MetricRow("baselines", key, name, format(psnr["value"], ".2f"), interval, verdict=verdict))
    return rows


def baseline_notes(metrics: Mapping[str, Any]) -> list[str]:
    """A sentence for each baseline that reconstructs better than the teacher."""
    psnr = metrics["reconstruction"]["psnr"]["value"]
    notes = []
    for key, result in metrics["baselines"].items():
        gap = result["psnr"]["value"] - psnr
        if gap > 0:
            name = "the mean training image" if key == "mean_image" else f"a PCA of {result['components']} components"
            notes.append(f"The teacher's PSNR is {gap:.2f} dB below that of {name}.")
    return list(dict.fromkeys(notes))


def _latent_rows(latent: Mapping[str, Any], targets: Targets) -> list[MetricRow]:
    count, active = latent["dimensions"], latent["active_units"]
    gain, cosine, deterministic = latent["code_gain_db"], latent["mean_abs_cosine"], latent["deterministic"]
    checked = (
        ("active_units", "active units", f"{active} of {count}", f"≥ {targets.active:.0%}"),
        ("code_gain_db", "code gain, dB", format(gain, ".2f"), f"≥ {targets.code_gain:g}"),
        ("mean_abs_cosine", "mean |cosine|", format(cosine, ".3f"), f"≤ {targets.cosine:g}"),
        ("deterministic", "deterministic", "yes" if deterministic else "no", "yes"),
    )
    verdicts = (active >= targets.active * count, gain >= targets.code_gain, cosine <= targets.cosine, deterministic)
    return [
        MetricRow("latent", "kl_nats", "KL, nats", format(latent["kl_nats"], ".1f")),
        *(
            MetricRow("latent", key, name, value, target=target, verdict=verdict)
            for (key, name, value, target), verdict in zip(checked, verdicts, strict=True)
        ),
    ]


def _people_rows(people: Mapping[str, Any] | None) -> list[MetricRow]:
    if people is None:
        return []
    pairs = people["genuine_pairs"] + people["impostor_pairs"]
    return [
        MetricRow("people", "rank_1", f"rank-1, {people['people']} people", format(people["rank_1"], ".1%")),
        MetricRow("people", "auc", f"AUC, {pairs:,} pairs", format(people["auc"], ".3f")),
        MetricRow("people", "eer", "equal error rate", format(people["eer"], ".1%")),
    ]
