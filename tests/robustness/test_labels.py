"""Every label is on its own picture, exact, or left out with a reason, whatever happens to a label file."""

import copy
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw import fill

from earcli.data.formats.columns import Columns
from earcli.data.formats.cvat import write_cvat
from earcli.data.formats.label_studio import write_label_studio
from earcli.data.formats.labelme import write_labelme
from earcli.data.formats.yolo import write_yolo
from earcli.data.manifest import write_columns
from earcli.data.samples import SourceContents
from earcli.data.sources import collect_samples
from earcli.errors import EarError

COUNT = 6
FORMATS = ("coco", "csv", "npy", "cvat", "label-studio", "labelme", "yolo")


def box_of(number: int) -> list[float]:
    """A box that no other picture has."""
    return [5.0 + number, 7.0 + 2 * number, 40.0 + number, 50.0 + number]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    fill(folder, COUNT)
    return folder


def write_labels(folder: Path, format: str) -> list[Path]:
    columns = Columns([f"{n:03d}.png" for n in range(COUNT)], np.array([box_of(n) for n in range(COUNT)]))
    sizes = [(90, 120)] * COUNT
    if format in ("csv", "npy", "coco"):
        file = folder / f"labels.{'json' if format == 'coco' else format}"
        write_columns(file, columns, sizes)
        return [file]
    if format == "cvat":
        write_cvat(folder / "labels.xml", columns, sizes)
        return [folder / "labels.xml"]
    if format == "label-studio":
        write_label_studio(folder / "labels.json", columns, sizes)
        tasks = json.loads((folder / "labels.json").read_text())
        for task in tasks:
            task["annotations"] = task.pop("predictions")
        (folder / "labels.json").write_text(json.dumps(tasks))
        return [folder / "labels.json"]
    (write_labelme if format == "labelme" else write_yolo)(folder, columns, sizes)
    return sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".txt"))


def drop(text: str, draw: random.Random) -> str:
    """Deletes a line or, in JSON, a value."""
    lines = text.splitlines(keepends=True)
    return text if len(lines) < 2 else "".join(lines[:-1] if draw.random() < 0.5 else lines[:1] + lines[2:])


def change_value(text: str, draw: random.Random) -> str:
    """Replaces a number or a name in the text by something else."""
    places = [(i, c) for i, c in enumerate(text) if c.isdigit()]
    if not places:
        return text
    at, _ = draw.choice(places)
    return text[:at] + draw.choice(["x", "-", "9", "00", '"', ""]) + text[at + 1 :]


def rename(text: str, draw: random.Random) -> str:
    number = draw.randrange(COUNT)
    return text.replace(f"{number:03d}.png", draw.choice(["gone.png", f"{(number + 1) % COUNT:03d}.png", "a/b.png"]), 1)


def respell(text: str, draw: random.Random) -> str:
    return text.replace(".png", draw.choice([".PNG", "%2Epng"]))


def damage_json(text: str, draw: random.Random) -> str:
    """Doubles, removes or retypes one value anywhere in JSON."""
    try:
        content = json.loads(text)
    except ValueError:
        return text
    content = copy.deepcopy(content)
    node: Any = content
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = draw.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and draw.random() < 0.8:
            node = node[key]
            continue
        action = draw.randrange(3)
        if action == 0:
            del node[key]
        elif action == 1 and isinstance(node, list):
            node.append(copy.deepcopy(node[key]))
        else:
            node[key] = draw.choice([None, "7", 7, 0.5, [], {}, -1, True, 1e9])
        break
    return json.dumps(content)


FAULTS: tuple[Callable[[str, random.Random], str], ...] = (drop, change_value, rename, respell, damage_json)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=2))
def test_no_label_is_lost_moved_or_invented(
    pictures: Path, format: str, seed: int, faults: list[Callable[[str, random.Random], str]]
) -> None:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "set"
        shutil.copytree(pictures, root)
        files = write_labels(root, format)
        file = draw.choice(files)
        if format != "npy":
            text = file.read_text(encoding="utf-8")
            for fault in faults:
                text = fault(text, draw)
            file.write_text(text, encoding="utf-8")
        try:
            contents = collect_samples([root], lambda below: "")
        except EarError:
            return  # one line, and nothing is written
        check(contents, root, len(faults))


def check(contents: SourceContents, root: Path, faults: int) -> None:
    names = {f"{n:03d}.png" for n in range(COUNT)}
    used = [Path(sample.path).name for sample in contents.samples]
    assert set(used) <= names
    explained = {Path(item.path).stem for item in contents.left_out} | {
        Path(item.source).stem for item in contents.left_out
    }
    said = " ".join(item.reason for item in contents.left_out)
    for number in range(COUNT):
        name = f"{number:03d}.png"
        own = [sample for sample in contents.samples if Path(sample.path).name == name]
        assert not any(np.isnan(sample.box).all() for sample in own), f"{name} came back as a whole picture"
        silent = not own and Path(name).stem not in explained and name not in said
        assert not silent or str(root / name) in contents.empty, f"{name} is lost without a reason"
    strange = [
        sample.box
        for sample in contents.samples
        if not np.allclose(sample.box, box_of(int(Path(sample.path).stem)), atol=1e-6)
    ]
    assert len(strange) <= faults, f"{faults} faults moved {len(strange)} labels"
