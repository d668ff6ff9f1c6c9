"""Comparing initializations of a detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from earcli.config.detector import FinetuneConfig
from earcli.config.fields import at_least, encoder_name, one_of, require
from earcli.config.teacher import AUTO
from earcli.errors import ConfigError
from earcli.reporting.reporter import SILENT, Reporter

STARTS: dict[str, dict[str, Any]] = {
    "none": {"init": "none"},
    "teacher": {"init": "teacher"},
    "frozen": {"init": "teacher", "freeze_encoder": True},
    "imagenet": {"init": "imagenet"},
}
"""The knobs of each initialization without a name of its own."""


@dataclass(frozen=True)
class ComparisonResult:
    """A comparison of initializations.

    Attributes:
        output: The folder with `trials.csv`, `comparison.csv` and `curve.png`.
        rows: One for each initialization and number of labels: `start`, `labels`, `nme` with its 95% interval
            `nme_low` and `nme_high`, `iou`, and `below_first`, the fraction by which NME is below that of the first
            initialization on the same ears, with its 95% interval `below_first_low` and `below_first_high`.
        curve: The plot of NME over the number of labels.
    """

    output: Path
    rows: list[dict[str, Any]]
    curve: Path

    def to_dict(self) -> list[dict[str, Any]]:
        """The rows, for JSON."""
        return self.rows


def compare_init(
    manifests: Sequence[str | Path],
    *,
    checkpoint: str | Path | None = None,
    starts: str | Sequence[str] = ("none", "teacher"),
    budgets: str | Sequence[int] = (10, 25, 60),
    seeds: int = 3,
    folds: int = 5,
    steps: int = 800,
    config: str | Path | Mapping[str, Any] | None = None,
    jobs: int = 1,
    subject: Literal["column", "folder", "none"] = "column",
    root_dir: str | Path | None = None,
    output: str | Path = "comparison",
    run_dir: str | Path | None = None,
    num_workers: int | None = None,
    reporter: Reporter = SILENT,
) -> ComparisonResult:
    """Cross-validate detectors fine-tuned on few labels from different initializations, such as a teacher and none.

    Args:
        manifests: Labels to split: COCO JSON, CSV, .npy, or a folder of pictures with .pts files. Repeatable.
        checkpoint: Teacher: a file, a run's folder, or last.ckpt or best of the newest run. By default that
            of `config`, else best.
        starts: Initializations, separated by commas: none, imagenet (pretrained weights in the teacher's architecture),
            teacher, frozen (a teacher that is not trained), teacher:CHECKPOINT and frozen:CHECKPOINT (another teacher),
            encoder:NAME (another encoder with its pretrained weights) and encoder:NAME=WEIGHTS (a file, or none).
            Only those from a teacher mirror right ears, if it does.
        budgets: Numbers of training labels, separated by commas.
        seeds: Repetitions, each with its own folds, labels and random numbers.
        folds: Folds of the cross-validation.
        steps: Training batches of each detector. A teacher saves steps, so short training flatters it.
        config: YAML file of knobs of ear finetune, which apply to all initializations.
        jobs: Detectors to train in parallel, with one thread each.
        subject: Source of the person on a picture: the manifest, the name of the picture's folder, or none.
        root_dir: Folder that the relative paths of a manifest are resolved against. By default the manifest's.
        output: New folder for the results.
        run_dir: Folder of all runs. By default that of `config`, else runs.
        num_workers: Threads that decode pictures. By default as in `config`, else 4.
        reporter: Receives notes and progress.

    Raises:
        ConfigError: A parameter that the labels or this machine cannot satisfy.
        CheckpointError: There is no such teacher, or it cannot be used.
        DataError: The labels cannot be used, or have no landmarks.
        RunError: `output` is not empty, or cannot be written.
        InterruptedTraining: A signal stopped it; `trials.csv` has the trials so far.

    Example:
        >>> import earcli
        >>> result = earcli.compare_init(["labels.json"], budgets=[10], folds=3)  # doctest: +SKIP
        >>> [(row["start"], row["nme"]) for row in result.rows]  # doctest: +SKIP
    """
    require(at_least(1), seeds=seeds, steps=steps, jobs=jobs)
    require(at_least(2), folds=folds)
    given = {"checkpoint": checkpoint, "run_dir": run_dir, "num_workers": num_workers}
    knobs = {name: value for name, value in given.items() if value is not None}
    base = FinetuneConfig.resolve("full", config, knobs)
    if base.batch_size == AUTO:
        raise ConfigError("`config` must have a number as batch_size, got auto, which depends on the detector.")
    configs = {name: replace(base, **knobs) for name, knobs in _parse_starts(starts).items()}
    numbers = _parse_budgets(budgets)
    from earcli.files import check_empty_folder, check_writable, write_records
    from earcli.reporting.curves import save_comparison
    from earcli.tasks.trials import read_compared_ears, read_ears, run_trials, settle_configs
    from earcli.training.comparison import Plan, summarize

    output, root = Path(output), None if root_dir is None else Path(root_dir)
    check_empty_folder(output)
    check_writable(output)
    labels = read_ears([Path(path) for path in manifests], root, subject, base, reporter)
    configs = settle_configs(configs, labels.names, reporter)
    ears = read_compared_ears(labels, next(iter(configs.values())), reporter)
    trials = run_trials(Plan(configs, numbers, range(seeds), folds), ears, steps, jobs, output, reporter)
    rows: list[dict[str, Any]] = [dict(row) for row in summarize(trials, len(ears), ears.groups)]
    write_records(output / "comparison.csv", rows)
    save_comparison(output / "curve.png", rows)
    return ComparisonResult(output, rows, output / "curve.png")


def _parse_starts(starts: str | Sequence[str]) -> dict[str, dict[str, Any]]:
    """The knobs of each initialization.

    >>> _parse_starts("none,encoder:resnet34=none")
    {'none': {'init': 'none'}, 'encoder:resnet34=none': {'init': 'none', 'encoder': 'resnet34', 'weights': 'none'}}
    """
    return {start: _parse_start(start) for start in (starts.split(",") if isinstance(starts, str) else starts)}


def _parse_start(start: str) -> dict[str, Any]:
    kind, _, name = start.partition(":")
    if name and kind in ("teacher", "frozen"):
        return {**STARTS[kind], "checkpoint": name}
    if name and kind == "encoder":
        encoder, _, weights = name.partition("=")
        require(encoder_name, starts=encoder)
        init = "none" if weights == "none" else "imagenet"
        return {"init": init, "encoder": encoder, **({"weights": weights} if weights else {})}
    require(one_of(*STARTS, "teacher:CHECKPOINT", "frozen:CHECKPOINT", "encoder:NAME"), starts=start)
    return STARTS[start]


def _parse_budgets(budgets: str | Sequence[int]) -> list[int]:
    """The numbers of labels, sorted, each once.

    >>> _parse_budgets("25,10")
    [10, 25]
    """
    try:
        numbers = sorted({int(part) for part in (budgets.split(",") if isinstance(budgets, str) else budgets)})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise ConfigError(f"`budgets` must be numbers of labels such as 10,25,60, got {budgets!r}.")
    return numbers
