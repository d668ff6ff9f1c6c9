"""Raw pictures and annotations, for `ear prepare`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from earcli.curation.subjects import parse_subject_rule

NO_SUBJECTS = parse_subject_rule("none")


def picture(seed: int, size: tuple[int, int] = (90, 120)) -> Image.Image:
    """A sharp image unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)


def fill(folder: Path, count: int, first: int = 0) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:03d}.png" for number in range(first, first + count)]
    for number, name in enumerate(names, first):
        picture(number).save(folder / name)
    return names


def coco(names: list[str], boxes: list[Any], **more: Any) -> str:
    annotations = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": box, **more}
        for i, box in enumerate(boxes)
        if box is not None
    ]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": annotations, "categories": []})
