"""The run folder: its layout, and how a checkpoint is found by name."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from earcli.config.fields import Knobs
from earcli.errors import CheckpointError, RunError
from earcli.files import atomic_write, check_writable, write_records
from earcli.untrusted.files import read_bounded

if TYPE_CHECKING:
    from filelock import FileLock

    from earcli.data.cache import Skipped

Kind = Literal["teacher", "detector"]
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
METRICS_BYTES = 64 << 20
BEST_NAME = re.compile(r"epoch=(\d+)-val_loss=(-?[\d.]+)\.ckpt$")


@dataclass(frozen=True)
class RunFolder:
    """`RUN_DIR/RUN_NAME/version_N` and what is in it."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        return self.checkpoints / LAST

    @property
    def previous(self) -> Path:
        """What `last.ckpt` was before, complete as well: for when that one is damaged."""
        return self.checkpoints / PREVIOUS

    @property
    def kind(self) -> Kind:
        """What was trained here, by the knobs in `hparams.yaml`; a teacher where they are gone."""
        try:
            knobs = read_bounded(self.path / "hparams.yaml").decode("utf-8")
        except (OSError, UnicodeDecodeError):
            return "teacher"
        return "detector" if re.search(r"^landmarks:", knobs, re.MULTILINE) else "teacher"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def bad_batch(self) -> Path:
        """A manifest of the pictures of the step in which a loss or a gradient was not finite, if there was one."""
        return self.path / "bad_batch.csv"

    @classmethod
    def of(cls, checkpoint: Path) -> "RunFolder":
        """The run folder that a checkpoint lies in.

        Raises:
            CheckpointError: it lies in none.
        """
        run = cls(checkpoint.absolute().parents[1])
        if checkpoint.absolute().parent != run.checkpoints:
            raise CheckpointError(
                f"{checkpoint} lies in no run folder, such as runs/NAME/version_N/checkpoints/{checkpoint.name}."
            )
        return run

    def write_start(self, config: Knobs, skipped: Sequence["Skipped"], comment: str | None = None) -> None:
        """Writes what is known before the first step: `hparams.yaml`, and `skipped.csv` where pictures were left out.

        Args:
            skipped: the pictures or labels that were left out, and why.
            comment: the first line of `hparams.yaml`, which readers of YAML skip.

        Raises:
            RunError: the folder cannot be written.
        """
        from earcli.data.cache import write_skipped

        with atomic_write(self.path / "hparams.yaml") as temporary:
            temporary.write_text((f"# {comment}\n" if comment else "") + config.to_yaml(), encoding="utf-8")
        write_skipped(self.path / "skipped.csv", skipped)

    def claim(self) -> "FileLock":
        """Keeps other processes from training in this folder until `release()`, or until this process ends.

        Raises:
            RunError: one does, or the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.path / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(f"Another process trains in {self.path}. Wait for its end, or stop it.") from error
        except OSError as error:
            raise RunError(f"{self.path} cannot be written ({error.strerror}). Free it, or start a new run.") from error
        return lock

    def append_metrics(self, record: Mapping[str, float]) -> None:
        """Adds an epoch to `metrics.csv`; rows of this epoch and later ones, of a run since resumed, go.

        Raises:
            RunError: the file cannot be written.
        """
        rows: list[dict[str, Any]] = []
        if self.metrics.is_file():
            try:
                lines = read_bounded(self.metrics, METRICS_BYTES).decode("utf-8").splitlines()
                rows = [row for row in csv.DictReader(lines) if int(row["epoch"]) < record["epoch"]]
            except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
                raise RunError(f"{self.metrics} is not what ear writes ({error}). Move it away.") from error
        rows.append({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in record.items()})
        write_records(self.metrics, rows)

    def best(self) -> list["BestCheckpoint"]:
        """The kept checkpoints, the lowest validation loss first."""
        found = [BestCheckpoint.parse(path) for path in self.checkpoints.glob("*.ckpt")]
        return sorted((item for item in found if item is not None), key=lambda item: (item.val_loss, item.epoch))


@dataclass(frozen=True)
class BestCheckpoint:
    """`NAME-epoch=012-val_loss=0.4321.ckpt`: weights and hyper-parameters, no optimizer."""

    path: Path
    epoch: int
    val_loss: float

    @staticmethod
    def name(run_name: str, epoch: int, val_loss: float) -> str:
        return f"{run_name}-epoch={epoch:03d}-val_loss={val_loss:.4f}.ckpt"

    @classmethod
    def parse(cls, path: Path) -> "BestCheckpoint | None":
        match = BEST_NAME.search(path.name)
        return cls(path, int(match[1]), float(match[2])) if match else None


def create_run(run_dir: Path, run_name: str) -> RunFolder:
    """Makes the next `version_N`; two runs that start at once get two.

    Raises:
        RunError: the folder cannot be made.
    """
    parent = run_dir / run_name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        taken = [int(p.name.removeprefix("version_")) for p in parent.glob("version_*") if p.name[8:].isdecimal()]
        number = max(taken, default=-1) + 1
        while True:
            try:
                (parent / f"version_{number}").mkdir()
                return RunFolder(parent / f"version_{number}")
            except FileExistsError:
                number += 1
    except OSError as error:
        raise RunError(f"{parent} cannot be written ({error.strerror}). Give another `run_dir`.") from error


def check_run_folder(run_dir: Path, run_name: str) -> None:
    """Checks before any work that run folders can be made.

    Raises:
        RunError: the folder cannot be written, or has a name that TensorBoard cannot handle.
    """
    try:
        str(run_dir / run_name).encode()
    except UnicodeEncodeError as error:
        raise RunError(f"{run_dir / run_name} has a name that is not UTF-8. Give another folder.") from error
    check_writable(run_dir / run_name)


def find_checkpoint(wanted: str, run_dir: Path, kind: Kind | None = None) -> Path:
    """The file of a checkpoint.

    Args:
        wanted: an existing file; a run's folder, for its best checkpoint; or `last.ckpt` or `best` of the newest run
            that has one.
        kind: what the run must have trained; None takes any.

    Raises:
        CheckpointError: there is no such file; the message lists what there is.
    """
    if Path(wanted).is_file() or (Path(wanted).name == LAST and Path(wanted).with_name(PREVIOUS).is_file()):
        return Path(wanted)  # in the second case Checkpoint.open falls back
    if (Path(wanted) / "checkpoints").is_dir():
        return _best_or_last(RunFolder(Path(wanted)))
    runs = [RunFolder(path) for path in run_dir.glob("*/version_*") if path.is_dir()]
    runs = [run for run in runs if kind in (None, run.kind)]
    if wanted == LAST:
        found = [run.last for run in runs if run.last.is_file() or run.previous.is_file()]
    elif wanted == "best":
        found = [best[0].path for run in runs if (best := run.best())]
    else:
        problem = "holds no run" if Path(wanted).is_dir() else "does not exist"
        raise CheckpointError(
            f"{wanted} {problem}. Give a file, a run's folder, or last.ckpt or best of the newest run in {run_dir}."
        )
    if not found:
        what, maker = ("a detector's ", "ear finetune") if kind == "detector" else ("", "ear train")
        raise CheckpointError(
            f"No run in {run_dir} has {what}{wanted}. Train first ({maker}), or give `run_dir` or a file."
        )
    return max(found, key=lambda path: (path if path.is_file() else path.with_name(PREVIOUS)).stat().st_mtime)


def _best_or_last(run: RunFolder) -> Path:
    """The best checkpoint of a run, or its last one before the end of the first epoch.

    Raises:
        CheckpointError: there is none.
    """
    if best := run.best():
        return best[0].path
    if run.last.is_file() or run.previous.is_file():
        return run.last
    raise CheckpointError(f"{run.path} has no checkpoint. Give another run's folder, or a file.")
