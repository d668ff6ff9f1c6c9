"""Faults planted among good ears, for `ear check` to find."""

import csv
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter, ImageOps


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
    Image.new("1", (20_001, 10_000)).save(plan.folder / "bomb.png")
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
