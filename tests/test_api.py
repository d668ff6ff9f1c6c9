"""The Python API: every command is a function that returns its result and prints nothing."""

import re
import runpy
from pathlib import Path

import pytest

import earcli

EXAMPLES = sorted((Path(__file__).parents[1] / "docs" / "examples").glob("*.py"))
LONG = {"few_labels_to_onnx"}


def test_the_whole_way_in_one_process_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ears = earcli.synth("ears", count=40)
    sets = {"train_manifest": str(ears.train_manifest), "val_manifest": ears.val_manifest}
    run = earcli.train(preset="tiny", epochs=1, latent_dim=16, skeleton_dim=4, precision="32", **sets)
    assert run.best.is_file()
    assert run.metrics["val/psnr"] > 5
    run = earcli.resume(run.last, epochs=2)
    assert len((run.run / "metrics.csv").read_text().splitlines()) == 3
    evaluation = earcli.evaluate(checkpoint=run.best)
    assert evaluation.metrics["reconstruction"]["psnr"]["value"] > 5
    assert (evaluation.output / "report.html").is_file()
    eigenears = earcli.eigenears(checkpoint=run.last, components=3)
    assert len(eigenears.components) == 3
    exported = earcli.export(checkpoint=run.best)
    assert exported.path.suffix == ".onnx"
    index = earcli.embed(["ears/images"], "ears.npz", checkpoint=run.best)
    assert (index.count, index.dimensions) == (40, 20)
    result = earcli.search(index.output, ["ears/images/ear_00003.jpg"], k=2, checkpoint=run.best)
    assert len(result.queries[0]["neighbors"]) == 2
    labels = {"train_manifest": ears.train_landmarks, "val_manifest": ears.val_landmarks}
    detector = earcli.finetune(preset="tiny", epochs=1, epoch_steps=2, batch_size=4, checkpoint=run.best, **labels)
    assert detector.metrics["val/nme"] < 1
    prediction = earcli.predict(["ears/images"], checkpoint=detector.best)
    assert prediction.pictures == 40
    assert (prediction.output / "predictions.json").is_file()
    checked = earcli.check([ears.train_manifest, ears.val_manifest])
    assert sum(checked.ears) == 40
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "script", [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] * (p.stem in LONG)) for p in EXAMPLES]
)
def test_the_examples_run(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    assert capsys.readouterr().out


def test_the_guide_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (EXAMPLES[0].parents[1] / "api.md").read_text(encoding="utf-8")
    scope: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(code, scope)
    assert scope["reconstruction"].shape == (2, 3, 64, 64)  # type: ignore[attr-defined]


def test_the_guide_lists_every_function() -> None:
    text = (EXAMPLES[0].parents[1] / "api.md").read_text(encoding="utf-8")
    for name in earcli.__all__:
        assert name == "__version__" or re.search(rf"\b{name}\b", text), name
