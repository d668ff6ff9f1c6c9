"""`ear eigenears` as a user gives it: what it prints, what it leaves, how it fails."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import ear, fails

from earcli.analysis.eigenears import EigenEars
from earcli.checkpoints.runs import RunFolder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_eigenears_leaves_strips_numbers_and_a_space(run: RunFolder, tmp_path: Path) -> None:
    result = ear("eigenears", "--run-dir", tmp_path / "runs", "--components", 6)
    assert result.exit_code == 0, result.output
    assert f"teacher {run.last}" in result.stdout
    assert re.search(
        r"^PC 1  explained \d+\.\d%  light \d+%  anatomy \d+%  correlates with .*  verdict \w", result.stdout, re.M
    )
    assert re.search(
        r"first 5 components explain \d+% of the latent variance; those of the raw pixels explain \d+%", result.stdout
    )
    folder = run.path / "eigenears"
    strips = {f"pc_{number:02d}.png" for number in range(1, 7)}
    assert names(folder) == strips | {
        "eigenears_grid.png",
        "skeleton_grid.png",
        "variance.png",
        "eigenears.npz",
        "eigenears.json",
    }
    for name in strips:
        with Image.open(folder / name) as picture:
            assert picture.width > 9 * 64
    document = json.loads((folder / "eigenears.json").read_text())
    space = EigenEars.load(folder / "eigenears.npz")
    assert space.images == document["images"] == 70
    assert [c["explained"] for c in document["components"]] == pytest.approx(space.explained.tolist())
    assert document["explained_first_5"] == pytest.approx(float(space.explained[:5].sum()))
    assert {"brightness", "contrast", "color_red", "color_blue", "blur", "lobe", "box_aspect", "skin"} <= set(
        document["components"][0]["correlations"]
    )


def test_flags_change_what_is_drawn_and_results_are_replaced(run: RunFolder, tmp_path: Path) -> None:
    base = ["eigenears", "--run-dir", tmp_path / "runs", "-o", tmp_path / "out"]
    assert ear(*base, "--components", 3, "--limit", 20).exit_code == 0
    result = ear(*base, "--components", 2, "--steps", 5, "--range", 2, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "out" / "eigenears.json").read_text())
    assert [json.loads(result.stdout)[key] for key in ("range", "steps", "images")] == [2, 5, 70]
    assert "pc_02.png" in names(tmp_path / "out")
    assert "pc_03.png" not in names(tmp_path / "out")


def test_few_ears_get_no_verdict(run: RunFolder, tmp_path: Path) -> None:
    result = ear("eigenears", "--run-dir", tmp_path / "runs", "--components", 3, "--limit", 20)
    assert "verdict –" in result.stdout
    assert re.search(r"20 ears are too few for a verdict: \d+ are needed", result.stdout)


def test_failures_are_one_line_and_leave_the_old_results(run: RunFolder, many_ears: Path, tmp_path: Path) -> None:
    base = ["eigenears", "--run-dir", tmp_path / "runs"]
    assert ear(*base, "--components", 2, "--limit", 20).exit_code == 0
    before = {path: path.read_bytes() for path in (run.path / "eigenears").iterdir()}
    fails(ear(*base, "--limit", 10), "10 ears have at most 9 principal components, expected 16")
    fails(ear(*base, "--components", 17), "--components must be at most 16")
    fails(ear(*base, "--steps", 4), "--steps must be odd")
    fails(ear(*base, "--checkpoint", "nowhere.ckpt"), "nowhere.ckpt does not exist")
    same = {"image_paths": ["images/ear_00000.jpg"] * 30, "bboxes": [None] * 30}
    np.save(tmp_path / "same.npy", same, allow_pickle=True)
    fails(ear(*base, "--manifest", tmp_path / "same.npy", "--root-dir", many_ears), "codes of all 30 ears are equal")
    assert {path: path.read_bytes() for path in (run.path / "eigenears").iterdir()} == before
    assert not list(run.path.glob(".*"))


def test_factors_that_are_damaged_are_one_line(run: RunFolder, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    np.save(tmp_path / "m.npy", {"image_paths": ["a.png"] * 4, "bboxes": [None] * 4}, allow_pickle=True)
    (tmp_path / "factors.csv").write_text("image_path,aspect\na.png,wide\n")
    Image.new("RGB", (20, 20), "red").save(tmp_path / "b.png")
    np.save(tmp_path / "m.npy", {"image_paths": ["a.png", "b.png"] * 2, "bboxes": [None] * 4}, allow_pickle=True)
    (tmp_path / "factors.csv").write_text("image_path,aspect\na.png,wide\nb.png,1\n")
    base = ["eigenears", "--run-dir", tmp_path / "runs", "--components", 1]
    fails(ear(*base, "--manifest", tmp_path / "m.npy"), "expected a file of ear synth")
