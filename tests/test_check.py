"""`ear check` reports planted faults, and nothing else."""

import csv
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from rich.console import Console
from running import ear

import earcli
from earcli.curation.box_geometry import looks_like_corners, looks_like_sizes, overhang
from earcli.curation.duplicates import find_near_duplicates, label_groups
from earcli.curation.findings import KINDS
from earcli.curation.scan import examine, measure_sharpness
from earcli.data.manifest import read_manifest
from earcli.reporting.tables import print_table
from earcli.synthetic.dataset import write_set

WHOLE = np.full(4, np.nan)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "ears"
    write_set(folder, 60, seed=1)
    return folder


def load(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


class Plan:
    """Clean ears, 3 in 4 to train on, and faults planted among them, each in a picture of its own."""

    def __init__(self, folder: Path, clean: list[Path]) -> None:
        self.folder, self.spare = folder, list(clean)
        self.rows: dict[str, list[list[object]]] = {"train": [], "val": []}
        self.planted: list[tuple[str, str, str]] = []
        folder.mkdir()

    def put(self, part: str = "train", name: str | None = None, box: object = ("", "", "", ""), who: str = "") -> Path:
        """Copies the next clean ear; returns the copy."""
        source = self.spare.pop()
        path = self.folder / (name or source.name)
        shutil.copyfile(source, path)
        self.row(part, path.name, box, who)
        return path

    def row(self, part: str, name: str, box: object = ("", "", "", ""), who: str = "", checksum: str = "") -> None:
        self.rows[part].append([name, *box, who, checksum])  # type: ignore[misc]

    def fault(self, kind: str, path: Path, part: str = "train") -> Path:
        self.planted.append((kind, part, path.name))
        return path

    def write(self) -> list[Path]:
        for part, rows in self.rows.items():
            with (self.folder / f"{part}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["image_path", "x", "y", "width", "height", "subject", "checksum"])
                writer.writerows(rows)
        return [self.folder / "train.csv", self.folder / "val.csv"]


def plant(folder: Path, clean: list[Path]) -> Plan:
    plan = Plan(folder, clean)
    for change in (plant_files, plant_boxes, plant_pictures, plant_pairs):
        change(plan)
    while plan.spare:
        path = plan.put("train" if len(plan.spare) % 4 else "val")
        checksum = sha256(path.read_bytes()).hexdigest()
        plan.rows["train" if (len(plan.spare) + 1) % 4 else "val"][-1][-1] = checksum
    return plan


def plant_files(plan: Plan) -> None:
    plan.fault("missing", plan.put()).unlink()
    plan.fault("empty", plan.put()).write_bytes(b"")
    plan.fault("foreign", plan.put()).write_text("no picture")
    path = plan.fault("truncated", plan.put())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    image = load(plan.put(name="cut.png"))
    image.save(plan.folder / "cut.png")
    path = plan.fault("truncated", plan.folder / "cut.png")
    path.write_bytes(path.read_bytes()[:-2000])
    path = plan.fault("unreadable", plan.put())
    path.unlink()
    path.mkdir()
    Image.new("1", (20_000, 10_000)).save(plan.folder / "bomb.png")
    plan.row("train", plan.fault("too-large", plan.folder / "bomb.png").name)
    image = load(plan.put(name="really.png"))
    image.save(plan.fault("extension", plan.folder / "really.png"), "BMP")
    path = plan.fault("changed", plan.put())
    plan.rows["train"][-1][-1] = "0" * 64
    path = plan.fault("turned", plan.put())
    exif = Image.Exif()
    exif[0x0112] = 6
    load(path).save(path, "JPEG", exif=exif, quality=95)


def plant_boxes(plan: Plan) -> None:
    size = load(plan.spare[-1]).size
    width, height = size
    for kind, box in {
        "box-outside": (width + 5, 0, 30, 40),
        "box-empty": (5, 5, 0, 40),
        "box-infinite": ("nan", 5, 30, 40),
    }.items():
        plan.fault(kind, plan.put(box=box))
    for kind, make in {
        "box-convention": lambda w, h: (w * 0.4, h * 0.4, w * 0.95, h * 0.95),  # corners
        "box-overhang": lambda w, h: (w * 0.5, h * 0.1, w * 0.6, h * 0.8),
    }.items():
        plan.fault(kind, plan.put(box=make(*load(plan.spare[-1]).size)))
    width, height = load(plan.spare[-1]).size
    x, y, w, h = width * 0.4, height * 0.4, width * 0.3, height * 0.3
    plan.fault("box-convention", plan.put(box=(x, y, w - x, h - y)))  # sizes, read as corners


def plant_pictures(plan: Plan) -> None:
    Image.new("RGB", (90, 120), (80, 60, 50)).save(plan.fault("constant", plan.put()))
    path = plan.fault("tiny", plan.put())
    load(path).resize((20, 28)).save(path, "JPEG", quality=95)
    path = plan.fault("blurred", plan.put())
    image = load(path)
    image.filter(ImageFilter.GaussianBlur(image.width / 20)).save(path, "JPEG", quality=95)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again": lambda image: image,
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2)),
    "mirrored": ImageOps.mirror,
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "gray": lambda image: ImageOps.grayscale(image),
}


def plant_pairs(plan: Plan) -> None:
    for part, kind in (("train", "copy"), ("val", "leak-copy")):
        original = plan.put(part)
        shutil.copyfile(original, plan.fault(kind, plan.folder / f"{kind}.jpg"))
        plan.row("train", f"{kind}.jpg")
    for part, kind in (("train", "lookalike"), ("val", "leak-lookalike")):
        for name, change in CHANGES.items():
            original = plan.put(part)
            path = plan.fault(kind, plan.folder / f"{kind} {name}.jpg")
            change(load(original)).save(path, quality=50)
            plan.row("train", path.name)
    plan.put("val", who="kim")
    plan.put("train", who="lee")
    plan.fault("leak-subject", plan.put("train", who="kim"))


def check_faults(paths: list[Path]) -> Counter[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        result = earcli.check(paths, output=folder, num_workers=2)
    return Counter((finding.kind, paths[finding.part].stem, finding.path) for finding in result.findings)


def judge(plan: Plan, tolerance: float) -> None:
    """Every planted fault is reported; at most a fraction `tolerance` of the samples is reported without one."""
    reported = check_faults(plan.write())
    assert len({kind for kind, _, _ in plan.planted}) >= 20
    missed = [fault for fault in plan.planted if not reported[fault]]
    assert missed == []
    names = {name for _, _, name in plan.planted}
    alarms = [fault for fault in reported if fault[2] not in names]
    total = sum(map(len, plan.rows.values()))
    assert len({fault[2] for fault in alarms}) <= tolerance * total, alarms


def test_planted_faults_are_found_among_drawn_ears(drawn: Path, tmp_path: Path) -> None:
    clean = sorted((drawn / "images").iterdir())
    judge(plant(tmp_path / "set", clean), 0)


@pytest.mark.real
def test_planted_faults_are_found_among_real_ears_with_few_false_alarms(real_ears: Path, tmp_path: Path) -> None:
    every = sorted((real_ears / "images").rglob("*.jpg"))
    judge(plant(tmp_path / "set", random.Random(0).sample(every, 800)), 0.01)


# -- keypoints


def coco_of(folder: Path) -> Path:
    return folder / "train_landmarks.coco.json"


def test_key_points_outside_their_box_and_in_an_unusual_layout_are_found(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "ears")
    assert not {kind for kind, _, _ in check_faults([coco_of(drawn)])} & {"points-outside", "points-layout"}
    content = json.loads(coco_of(drawn).read_text())
    points = [np.array(a["keypoints"], float).reshape(-1, 3) for a in content["annotations"]]
    points[3][:, 0] += 90  # the right shape in the wrong place
    points[7] = np.roll(points[7], 5, axis=0)  # the right places in the wrong order
    points[11][4, :2] = points[11][12, :2]  # one point put on another
    points[15][:, 2] = 0  # none labeled: nothing to say about
    for annotation, rows in zip(content["annotations"], points, strict=True):
        annotation["keypoints"] = rows.ravel().tolist()
    coco_of(tmp_path / "ears").write_text(json.dumps(content))
    reported = check_faults([coco_of(tmp_path / "ears")])
    names = [image["file_name"] for image in content["images"]]
    assert {(kind, name) for kind, _, name in reported if kind.startswith("points")} == {
        ("points-outside", names[3]),
        ("points-layout", names[7]),
        ("points-layout", names[11]),
    }


# -- single measures


def test_boxes_of_the_other_convention_are_told_apart() -> None:
    size = (100, 80)
    assert looks_like_corners(np.array([40.0, 30, 90, 70]), size)
    assert not looks_like_corners(np.array([10.0, 10, 50, 40]), size)  # fits as it is
    assert not looks_like_corners(np.array([10.0, 10, 92, 72]), size)  # hangs over the border a little
    assert not looks_like_corners(np.array([10.0, 10, 500, 40]), size)  # fits as neither
    assert looks_like_sizes(np.array([40.0, 30, -10, -5]), size)  # was 40, 30, 30, 25
    assert not looks_like_sizes(np.array([40.0, 30, 10, 5]), size)
    assert overhang(np.array([90.0, 0, 20, 80]), size) == pytest.approx(0.5)
    assert overhang(np.array([0.0, 0, 100, 80]), size) == 0


def test_blur_lowers_sharpness_and_brightness_does_not(drawn: Path) -> None:
    image = load(drawn / "images" / "ear_00000.jpg").convert("L")
    values = [measure_sharpness(image.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 2, 5, 12)]
    assert values == sorted(values, reverse=True)
    assert measure_sharpness(ImageEnhance.Brightness(image).enhance(0.6)) == pytest.approx(values[0], abs=0.03)
    assert measure_sharpness(Image.new("L", (90, 90), 7)) == 0


def test_ears_that_look_the_same_are_grouped_and_no_others(drawn: Path, tmp_path: Path) -> None:
    paths = sorted((drawn / "images").iterdir())[:20]
    for name, change in CHANGES.items():
        change(load(paths[4])).save(tmp_path / f"{name}.jpg", quality=50)
    facts = [examine(path, WHOLE) for path in [*paths, *tmp_path.iterdir()]]
    groups = label_groups(len(facts), [find_near_duplicates(facts)])
    assert set(groups[20:]) == {groups[4]}
    assert len(set(groups[:20])) == 20
    assert len(find_near_duplicates([])) == 0


# -- the command


@pytest.fixture(scope="module")
def faulty(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty") / "set"
    plant(folder, sorted((drawn / "images").iterdir())).write()
    return folder


def snapshot(folder: Path) -> Iterator[tuple[str, bytes, int]]:
    for path in sorted(folder.iterdir()):
        yield path.name, b"" if path.is_dir() else path.read_bytes(), path.stat().st_mtime_ns


def test_check_reports_drops_and_then_finds_nothing_harmful(faulty: Path, tmp_path: Path) -> None:
    before = list(snapshot(faulty))
    result = ear("check", faulty / "train.csv", faulty / "val.csv", "--output", tmp_path / "report", "--drop")
    assert result.exit_code == 1
    assert list(snapshot(faulty)) == before
    assert {p.name for p in (tmp_path / "report").iterdir()} == {"bad_files.csv", "check.json", "cleaned", "worst.png"}
    content = json.loads((tmp_path / "report" / "check.json").read_text())
    with (tmp_path / "report" / "bad_files.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(content["findings"])
    assert content["harmful"] == sum(row["harmful"] == "yes" for row in rows) > 15
    for kind, about in content["kinds"].items():
        assert sum(about["counts"]) == sum(row["kind"] == kind for row in rows)
        assert (kind in result.stdout) == any(about["counts"]) or kind in ("empty", "copy", "missing")
    cleaned = [tmp_path / "report" / "cleaned" / f"{part}.csv" for part in ("train", "val")]
    again = ear("check", *cleaned, "--output", tmp_path / "again")
    assert again.exit_code == 0, again.output
    assert "0 of them harmful" in again.stdout
    bad = {(row["manifest"], row["path"]) for row in rows if row["harmful"] == "yes"}
    for part, path in zip(("train", "val"), cleaned, strict=True):
        source, kept = read_manifest(faulty / f"{part}.csv"), read_manifest(path)
        good = [i for i in range(len(source)) if (str(faulty / f"{part}.csv"), source.paths[i]) not in bad]
        assert [kept.locate(i).resolve() for i in range(len(kept))] == [source.locate(i).resolve() for i in good]
        np.testing.assert_array_equal(kept.boxes, source.boxes[good])
        assert kept.checksums == [(source.checksums or [])[i] for i in good]
    result = ear("check", *cleaned, "--output", tmp_path / "report", "--drop")
    assert result.exit_code == 1
    assert "--drop would write" in result.stderr


def test_the_task_returns_the_content_of_its_report_and_prints_nothing(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifests = [faulty / "train.csv", faulty / "val.csv"]
    result = earcli.check(manifests, output=tmp_path, drop=True)
    assert capsys.readouterr() == ("", "")
    assert result.to_dict() == json.loads((tmp_path / "check.json").read_text())
    assert result.harmful == sum(KINDS[finding.kind].harmful for finding in result.findings) > 15
    assert result.ears == [len(read_manifest(path)) for path in manifests]
    assert [path.name for path in result.files] == ["check.json", "bad_files.csv", "worst.png"]
    assert all(path.is_file() for path in [*result.files, *result.cleaned])


def test_json_output_is_the_report_and_the_exit_code_stays(faulty: Path, tmp_path: Path) -> None:
    result = ear("check", faulty / "train.csv", "--output", tmp_path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == json.loads((tmp_path / "check.json").read_text())


def test_a_clean_set_passes_and_takes_away_the_sheet_of_an_earlier_check(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "worst.png").write_bytes(b"old")
    result = ear("check", drawn / "train_teacher.npy", drawn / "val_teacher.npy", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == [
        "60 ears, 0 findings, 0 of them harmful",
        f"report {tmp_path}: check.json, bad_files.csv",
    ]
    assert not (tmp_path / "worst.png").exists()


def test_rows_that_cannot_be_read_are_findings(drawn: Path, tmp_path: Path) -> None:
    table = "image_path,x,y,w,h\nimages/ear_00000.jpg,1,2,3\nimages/ear_00001.jpg,,,,\n"
    (tmp_path / "m.csv").write_text(table)
    result = ear("check", tmp_path / "m.csv", "--root-dir", drawn, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "1 ears, 1 findings, 1 of them harmful" in result.stdout
    assert "line 2: 4 cells, but the header has 5" in (tmp_path / "out" / "bad_files.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nowhere.npy"], "nowhere.npy does not exist"),
        (["{drawn}/train_teacher.npy", "--root-dir", "nowhere"], "--root-dir nowhere is not a folder"),
        (["{drawn}/train_teacher.npy", "--output", "{drawn}/factors.csv/x"], "cannot be written"),
        (
            ["{drawn}/train_teacher.npy", "--root-dir", "{here}", "--output", "{here}/o", "--drop"],
            "would leave nothing",
        ),
        (["{drawn}/val_teacher.npy", "{drawn}/../ears/val_teacher.npy", "--output", "{here}/o", "--drop"], "twice"),
    ],
)
def test_an_error_is_one_line(drawn: Path, tmp_path: Path, arguments: list[str], part: str) -> None:
    result = ear("check", *(text.format(drawn=drawn, here=tmp_path) for text in arguments))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert part in result.stderr


def test_every_kind_is_in_the_guide() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    for kind, about in KINDS.items():
        assert f"| `{kind}` | {'yes' if about.harmful else ''}".rstrip() in guide, kind


@pytest.mark.parametrize(("width", "meant"), [(40, False), (60, True)])
def test_a_narrow_terminal_keeps_the_counts(tmp_path: Path, width: int, meant: bool) -> None:
    with (tmp_path / "screen").open("w+") as file:
        console = Console(file=file, width=width, force_terminal=True, color_system=None)
        rows = [("leak-lookalike", "12345", "near-duplicate in another split")]
        print_table(console, ("kind", "train", "meaning"), rows, optional=("meaning",))
        file.seek(0)
        lines = file.read().splitlines()
    assert any("leak-lookalike" in line and "12345" in line for line in lines)
    assert any("near-duplicate in another" in line for line in lines) == meant
    assert max(map(len, lines)) <= width
