"""Tests of `earcli/tasks/eigenears.py`."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from crops import left_crops
from fitting import Recorder
from sklearn.decomposition import PCA

from earcli.analysis.eigenears import EigenEars
from earcli.analysis.encoding import posterior_means
from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.data.manifest import read_manifest
from earcli.errors import ConfigError
from earcli.tasks.eigenears import EigenearsComponent, EigenearsResult, _Analysis, _notes, eigenears

SPACE = EigenEars(np.zeros(2, np.float32), np.eye(2, dtype=np.float32), np.ones(2, np.float32), 2.0, 9)


def component(
    number: int, explained: float = 0.1, verdict: Literal["light", "anatomy"] | None = "light"
) -> EigenearsComponent:
    return EigenearsComponent(number, explained, 0.05, {}, 0.8, 0.1, verdict)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_strip_without_a_mean_ear_in_its_middle_is_refused(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"`steps` must be odd and 3 or more, .* got {steps}"):
        eigenears("nowhere.ckpt", steps=steps)


def test_the_explained_variance_is_that_of_the_codes(
    run: RunFolder, many_ears: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, reporter = many_ears / "val_teacher.npy", Recorder()
    result = eigenears(
        run.last, manifest=manifest, components=2, steps=3, limit=12, seed=5, output=tmp_path / "out", reporter=reporter
    )
    assert capsys.readouterr() == ("", "")
    model = Checkpoint.open(run.last).teacher()
    pixels, mirrored = left_crops(model, read_manifest(manifest).limit(12, seed=5))
    assert reporter.notes == [f"teacher {run.last}", f"12 ears of {manifest}; {mirrored} right ears are mirrored"]
    codes = posterior_means(model, pixels)[:, model.skeleton_dim :]
    singular = np.linalg.svd(codes - codes.mean(0), compute_uv=False)
    expected = singular**2 / (singular**2).sum()
    assert [item.explained for item in result.components] == pytest.approx(expected[:2].tolist(), rel=1e-4)
    raw = PCA(2, svd_solver="full").fit(pixels.reshape(12, -1) / 255).explained_variance_ratio_.tolist()
    assert [item.pixel_explained for item in result.components] == pytest.approx(raw, rel=1e-2)
    assert (result.images, result.skipped, result.components[0].verdict) == (12, 0, None)
    assert "12 ears are too few for a verdict" in result.notes[1]


def test_the_summary_is_of_the_first_five_components() -> None:
    parts = [component(number, number / 100) for number in range(1, 8)]
    document = EigenearsResult(Path("out"), parts, ["a note"], Path("t.ckpt"), "m.npy", 30, 2, 3.0, 9).to_dict()
    assert document["explained_first_5"] == pytest.approx(0.15)
    assert document["pixel_explained_first_5"] == pytest.approx(0.25)
    assert (document["teacher"], document["left_out"], document["range"]) == ("t.ckpt", 2, 3.0)
    assert [item["number"] for item in document["components"]] == [1, 2, 3, 4, 5, 6, 7]


def test_a_teacher_that_knows_only_lighting_is_warned_about() -> None:
    dark = [component(number) for number in range(1, 6)]
    (share, warning) = _notes(_Analysis(SPACE, [*dark, component(6, verdict="anatomy")], 10), 40)
    assert share.startswith("the first 5 components explain 50% of the latent variance; those of the raw pixels")
    assert "explain 25% of theirs" in share
    assert warning.startswith("warning: the first 5 components encode only lighting")
    assert len(_notes(_Analysis(SPACE, [*dark[:4], component(5, verdict="anatomy")], 10), 40)) == 1
