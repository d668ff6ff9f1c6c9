"""Tests of `earcli/untrusted/torch_files.py`."""

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from corpus import Call
from safetensors.torch import save_file

from earcli.untrusted.pickles import ForbiddenError
from earcli.untrusted.torch_files import read_safetensors, read_torch_file

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3).T,
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "steps": torch.tensor(7),
}
formats = pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])


@formats
def test_both_formats_of_torch_are_read(tmp_path: Path, new: bool) -> None:
    path = tmp_path / "w.pth"
    content = {"state_dict": OrderedDict(TENSORS), "epoch": 3, "name": "ear", "list": [None, 1.5]}
    torch.save(content, path, _use_new_zipfile_serialization=new)
    read = read_torch_file(path)
    torch.testing.assert_close(read.pop("state_dict"), content.pop("state_dict"), rtol=0, atol=0)
    assert read == content


@formats
def test_code_in_a_file_is_named_and_not_run(tmp_path: Path, new: bool) -> None:
    path, touched = tmp_path / "w.pth", tmp_path / "touched"
    torch.save([Call(os.system, f"touch {touched}")], path, _use_new_zipfile_serialization=new)
    with pytest.raises(ForbiddenError, match=r"^\w+\.system$"):
        read_torch_file(path)
    assert not touched.exists()


def test_a_changed_weight_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"weight": torch.full((9,), 7.0)}, path)
    number = np.float32(7).tobytes()
    path.write_bytes(path.read_bytes().replace(number * 9, number * 8 + np.float32(8).tobytes()))
    with pytest.raises(ValueError, match=r"checksum of .* does not match"):
        read_torch_file(path)
    path.write_bytes(b"\x80\x04N.")
    with pytest.raises(ValueError, match=r"not a file that torch\.save wrote"):
        read_torch_file(path)


def test_safetensors_are_read_by_name_and_only_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {name: value.contiguous() for name, value in TENSORS.items()}
    save_file(tensors, path)
    torch.testing.assert_close(read_safetensors(path), tensors, rtol=0, atol=0)
    with pytest.raises(OSError, match="not a regular file"):
        read_safetensors(tmp_path)
