"""Tests of `earcli/curation/sample_checks.py`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earcli.curation.findings import Finding
from earcli.curation.sample_checks import find_sample_faults
from earcli.curation.scan import PictureFacts
from earcli.curation.split_part import SplitPart
from earcli.data.manifest import Manifest

GOOD = PictureFacts(
    checksum="ab" * 32, format="JPEG", size=(100, 120), crop=(80, 90), contrast=40.0, sharpness=0.5, thumbnail="AA=="
)


def faults(
    facts: PictureFacts,
    name: str = "ear.jpg",
    box: tuple[float, ...] = (np.nan, np.nan, np.nan, np.nan),
    checksum: str = "",
) -> list[Finding]:
    manifest = Manifest([name], np.array([box], float), checksums=[checksum])
    return list(find_sample_faults(SplitPart(0, Path("set.csv"), manifest, [facts], [])))


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({"contrast": 3.0, "sharpness": 0.2, "crop": (32, 32)}, []),
        ({"contrast": 2.9, "sharpness": 0.0}, ["constant"]),
        ({"sharpness": 0.19}, ["blurred"]),
        ({"crop": (31, 300)}, ["tiny"]),
        ({"crop": (31, 300), "contrast": 1.0}, ["tiny", "constant"]),
        ({"fault": "truncated", "crop": (0, 0), "contrast": 0.0}, ["truncated"]),
        ({"orientation": 0}, []),
        ({"orientation": 6}, ["turned"]),
    ],
)
def test_a_crop_is_judged_by_what_was_measured_of_it(values: dict[str, object], kinds: list[str]) -> None:
    assert [fault.kind for fault in faults(replace(GOOD, **values))] == kinds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "form", "detail"),
    [
        ("ear.JPEG", "JPEG", None),
        ("ear.jpg", "MPO", None),
        ("ear.png", "JPEG", "JPEG in a file with extension .png"),
        ("ear", "PNG", "PNG in a file with extension (none)"),
    ],
)
def test_the_extension_must_be_of_the_format_of_the_content(name: str, form: str, detail: str | None) -> None:
    found = [(fault.kind, fault.detail) for fault in faults(replace(GOOD, format=form), name)]
    assert found == ([] if detail is None else [("extension", detail)])


def test_a_checksum_is_compared_in_either_case_and_only_if_both_are_known() -> None:
    assert faults(GOOD, checksum="AB" * 32) == []
    assert faults(replace(GOOD, checksum=""), checksum="cd" * 32) == []
    changed = faults(GOOD, checksum="cd" * 32)
    assert [fault.kind for fault in changed] == ["changed"]
    assert changed[0].detail == "checksum is abababababab…, expected cdcdcdcdcdcd…"


@pytest.mark.parametrize(
    ("box", "fault", "kind", "detail"),
    [
        ((40, 30, 90, 110), "", "box-convention", "box [40, 30, 90, 110] fits 100×120 pixels only as xmin, ymin, "),
        ((40, 30, -10, -5), "box-empty", "box-convention", "if x, y, width, height were read as corners"),
        ((10, 10, 0, 20), "box-empty", "box-empty", "as measured"),
        ((50, 0, 53, 120), "", "box-overhang", "6% of box [50, 0, 53, 120] is outside 100×120 pixels"),
        ((50, 0, 52, 120), "", None, ""),
        ((0, 0, 100, 120), "", None, ""),
    ],
)
def test_a_box_of_another_convention_is_told_from_one_that_is_empty_or_hangs_over(
    box: tuple[float, ...], fault: str, kind: str | None, detail: str
) -> None:
    found = faults(replace(GOOD, fault=fault, detail="as measured"), box=box)
    assert [finding.kind for finding in found] == ([] if kind is None else [kind])
    assert all(detail in finding.detail for finding in found)
