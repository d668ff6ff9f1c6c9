"""Annotation files as programs write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from earcli.data.formats.columns import Columns, Keypoints


def saved(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


NAMES = ["plain.jpg", "=cmd|' /C calc'!A0.jpg", "+1.jpg", "-x/y.jpg", "@SUM(A1)", "'quoted'.jpg", "'=x", "''", "-5",
         "a,b.jpg", 'say "ear".jpg', " leading", "耳/أذن/אוזן/👂.jpg", "line\nbreak.jpg", "tab\t.jpg", "\tx", "＝1",
         "bytes\udcff.jpg", "../up.jpg", "a\\b.jpg"]  # fmt: skip


def columns() -> Columns:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 500, (len(NAMES), 4))
    boxes[3] = np.nan
    boxes[4] = [-0.1, 1e-7, 0.1 + 0.2, 1e6]
    points = Keypoints(("a", "b", "c"), np.array([[1.5, 2.25, 2], [3, 4, 1], [0, 0, 0]]))
    keypoints = [points, None] * (len(NAMES) // 2)
    sums = [f"{row:064x}" for row in range(len(NAMES))]
    return Columns(NAMES, boxes, list(reversed(NAMES)), keypoints=keypoints, checksums=sums, sources=NAMES)
