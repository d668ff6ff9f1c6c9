"""Tests of `earcli/curation/set_checks.py`."""

import base64
from pathlib import Path

import numpy as np

from earcli.curation.scan import PictureFacts
from earcli.curation.set_checks import find_set_faults
from earcli.curation.split_part import SplitPart
from earcli.data.manifest import Manifest

WHOLE = (np.nan, np.nan, np.nan, np.nan)


def ear(checksum: str, look: int) -> PictureFacts:
    """Ears of one `look` have the same hash and thumbnail."""
    rng = np.random.default_rng(look)
    pixels = rng.integers(0, 256, (32, 32), dtype=np.uint8)
    code = base64.b64encode(pixels.tobytes()).decode()
    low, high = rng.integers(0, 2**63, 2).tolist()
    return PictureFacts(checksum=checksum, hash=low, mirror_hash=high, thumbnail=code)


def part(
    index: int,
    facts: list[PictureFacts],
    boxes: list[tuple[float, ...]] | None = None,
    subjects: list[str] | None = None,
) -> SplitPart:
    name = ("train", "val")[index]
    paths = [f"{name}{row}.jpg" for row in range(len(facts))]
    manifest = Manifest(paths, np.array(boxes or [WHOLE] * len(facts), float), subjects)
    return SplitPart(index, Path(f"{name}.csv"), manifest, facts, [])


def found(*parts: SplitPart) -> list[tuple[str, str, str]]:
    return sorted((fault.kind, fault.path, fault.detail) for fault in find_set_faults(parts))


def test_the_later_of_two_equal_crops_is_a_copy_and_of_two_that_look_alike_a_lookalike() -> None:
    facts = [ear("a", 1), ear("b", 2), ear("a", 1), ear("c", 2)]
    assert found(part(0, facts)) == [
        ("copy", "train2.jpg", "the same crop as train0.jpg"),
        ("lookalike", "train3.jpg", "looks like train1.jpg"),
    ]


def test_a_leak_is_reported_for_the_larger_part_and_for_the_first_of_equal_ones() -> None:
    large, small = [ear("a", 1), ear("b", 2), ear("c", 3)], [ear("d", 2), ear("a", 1)]
    leaks = [
        ("leak-copy", "{0}0.jpg", "the same file as {1}1.jpg of {1}.csv"),
        ("leak-lookalike", "{0}1.jpg", "looks like {1}0.jpg of {1}.csv"),
    ]
    for names, parts in (
        (("train", "val"), (part(0, large), part(1, small))),
        (("val", "train"), (part(0, small), part(1, large))),
        (("train", "val"), (part(0, large[:2]), part(1, small))),
    ):
        assert found(*parts) == [tuple(text.format(*names) for text in leak) for leak in leaks]


def test_other_ears_of_one_file_leak_between_parts_but_are_no_copies() -> None:
    boxes = [(0.0, 0.0, 40.0, 50.0), (50.0, 0.0, 40.0, 50.0)]
    train = part(0, [ear("a", 1), ear("b", 2)], [boxes[0], WHOLE])
    assert found(train, part(1, [ear("a", 3)], [boxes[1]])) == [
        ("leak-copy", "train0.jpg", "the same file as val0.jpg of val.csv")
    ]
    assert "copy" not in {kind for kind, _, _ in found(part(0, [ear("a", 1), ear("a", 3)], boxes))}


def test_ears_of_one_person_leak_only_between_parts_and_only_if_the_person_is_known() -> None:
    train = part(0, [ear("a", 1), ear("b", 2), ear("c", 3)], subjects=["kim", "kim", ""])
    val = part(1, [ear("d", 4), ear("e", 5)], subjects=["", "kim"])
    expected = [("leak-subject", f"train{row}.jpg", "the same person as val1.jpg of val.csv") for row in range(2)]
    assert found(train, val) == expected
    assert found(train) == []


def test_files_that_could_not_be_read_equal_nothing() -> None:
    missing = [PictureFacts("missing"), PictureFacts("missing")]
    assert found(part(0, missing), part(1, missing)) == []
