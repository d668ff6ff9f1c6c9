"""A good file of every kind that `ear` reads, how each is read, and what hostile ones are put together from."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MIB = 1 << 20
PNG_START = b"\x89PNG\r\n\x1a\n"


class Call:
    """Unpickles into a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


# -- parts of files


def npy(payload: bytes) -> bytes:
    """A `.npy` with the header of an object array and any pickle behind it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue() + payload


def pickled(steps: bytes) -> bytes:
    return b"\x80\x04" + steps + b"."


def text(name: str) -> bytes:
    return b"X" + struct.pack("<I", len(name.encode())) + name.encode()


def array(
    shape: bytes, code: str, content: bytes, state: bytes = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
) -> bytes:
    """The pickle of an array as numpy writes it: the shape's, the content's and the dtype's state as instructions."""
    return (
        b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01" + shape
        + b"cnumpy\ndtype\n" + text(code) + b"\x89\x88\x87R(K\x03" + text("|") + state + b"tb\x89" + content + b"tb"
    )  # fmt: skip


def columns(paths: bytes, boxes: bytes) -> bytes:
    return npy(pickled(b"}(" + text("image_paths") + paths + text("bboxes") + boxes + b"u"))


def nested(levels: int, width: int, kind: bytes = b"list") -> bytes:
    """Lists (or tuples) that hold the one before several times: a few bytes a level, width ** levels values."""
    steps = text("x")
    opening, close = (b"](", b"e") if kind == b"list" else (b"(", b"t")
    for level in range(levels):
        steps = opening + steps + b"q" + bytes([level]) + (b"h" + bytes([level])) * (width - 1) + close
    return steps


def stored_zip(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
    return PNG_START + header + b"".join(chunks) + chunk(b"IEND", b"")


def tiff(**tags: tuple[int, int, int]) -> bytes:
    """A TIFF of one directory; each tag is its kind, how many, and value or place."""
    rows = [struct.pack("<2H2I", int(name[1:]), *value) for name, value in sorted(tags.items())]
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(rows) + bytes(4)


def torch_bytes(content: Any, **options: Any) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def with_pickle(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A file of torch with another `data.pkl`, and checksums that are right."""
    members = members_of(data)
    name = next(name for name in members if name.endswith("data.pkl"))
    return stored_zip({**members, name: change(members[name])})


# -- a good file of every kind


def good() -> dict[str, bytes]:
    """By file name, a small file that its reader takes."""
    import torch
    from safetensors.torch import save

    from earcli.config.teacher import TrainConfig

    state = {f"model.layer{i}.weight": torch.arange(12.0).reshape(3, 4) + i for i in range(4)}
    knobs = TrainConfig.resolve("tiny", {}, {}).to_dict()
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(3, 4), "exp_avg_sq": torch.zeros(3, 4)}}
    checkpoint = {
        "state_dict": state,
        "hyper_parameters": knobs,
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.99), "params": [0]}]}],
        "ear": {"epochs_done": 1, "sums": {"loss": torch.tensor(0.5, dtype=torch.float64)}, "anneal_start": None},
    }
    boxes = np.empty(3, dtype=object)
    boxes[:] = [[1, 2, 3, 4], None, np.array([1.5, 2, 3, 4])]
    keypoints = [[[1, 2], [3, 4]], None, np.ones((2, 3))]
    manifest = io.BytesIO()
    content = {"image_paths": np.array(["a.jpg", "b/ä.png", "c"]), "bboxes": boxes, "subjects": ["x", None, 3]}
    np.save(manifest, np.array({**content, "keypoints": keypoints}, dtype=object), allow_pickle=True)
    coco = {
        "images": [{"id": 0, "file_name": "a.jpg", "width": 9, "height": 9}],
        "categories": [{"id": 1, "name": "ear", "keypoints": ["top", "lobe"]}],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3.5, 4], "keypoints": [1, 2, 2, 3, 4, 1]},
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "subject": "kim"},
        ],
    }
    index = io.BytesIO()
    notes = {name: np.array("x") for name in ("fingerprint", "checkpoint", "part", "precision")}
    np.savez(index, embeddings=np.ones((2, 3), np.float32), paths=np.array(["a", "b"]), boxes=np.full((2, 4), np.nan),
             subjects=np.array(["", "x"]), image_size=np.array(64), clusters=np.array([0, 1]), **notes)  # fmt: skip
    space = io.BytesIO()
    np.savez(space, mean=np.zeros(4, np.float32), components=np.eye(4, dtype=np.float32)[:2],
             variances=np.ones(2, np.float32), total_variance=np.array(3.0), images=np.array(9))  # fmt: skip
    files = {
        "m.npy": manifest.getvalue(),
        "m.csv": b'filename,class,xmin,ymin,xmax,ymax,subject\r\na.jpg,ear,1,2,3,4,kim\r\n"b\n.jpg",ear,,,,,\r\n',
        "m.json": json.dumps(coco).encode(),
        "a.pts": b"version: 1\nn_points: 3\n{\n1 2\n3.5 4\n1e1 9\n}\n",
        "k.yaml": TrainConfig.resolve("tiny", {}, {}).to_yaml().encode(),
        "x.ckpt": torch_bytes(checkpoint),
        "w.pth": torch_bytes(state),
        "old.pth": torch_bytes(state, _use_new_zipfile_serialization=False),
        "w.safetensors": save(state),
        "index.npz": index.getvalue(),
        "eigenears.npz": space.getvalue(),
        "n.onnx": network(),
        "config.json": json.dumps({"latent_dim": 8, "image_size": 64, "encoder": "resnet18"}).encode(),
    }
    return files | {f"p.{kind}": picture(kind) for kind in PICTURES}


PICTURES = ("jpg", "png", "webp", "bmp", "tif", "ppm", "gif", "jp2", "avif")


def picture(kind: str) -> bytes:
    """Some pixels with EXIF data."""
    pixels = np.random.default_rng(3).integers(0, 255, (24, 16, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    options: dict[str, Any] = {"exif": exif} if kind in ("jpg", "png", "webp", "avif") else {}
    formats = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}
    image.save(file, formats.get(kind, kind.upper()), **options)
    return file.getvalue()


def read(path: Path) -> object:
    """What `ear` does with a file of that name; raises whatever that raises."""
    from earcli.analysis.eigenears import EigenEars
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.checkpoints.pretrained import read_pretrained
    from earcli.checkpoints.safetensors_folder import read_folder
    from earcli.config.teacher import TrainConfig
    from earcli.curation.scan import examine
    from earcli.data import images
    from earcli.data.embeddings import read_embeddings
    from earcli.data.formats.pts import read_pts
    from earcli.data.manifest import read_manifest
    from earcli.errors import CheckpointError
    from earcli.exporting.runtime import OnnxModel

    name = path.name
    if name.startswith("m."):
        return read_manifest(path, on_bad_row=lambda reason: None)
    if name.endswith(".pts"):
        return read_pts(path)
    if name.endswith(".yaml"):
        return TrainConfig.resolve("tiny", TrainConfig.read_file(path), {})
    if name.endswith(".ckpt"):
        checkpoint = Checkpoint.open(path, "teacher")
        with suppress(CheckpointError):  # the good one holds no whole teacher, which would take a second to read
            checkpoint.teacher()
        return checkpoint.config
    if name.endswith((".pth", ".safetensors")):
        return read_pretrained("weights", str(path), "")
    if name == "config.json":
        return read_folder(path.parent)
    if name.startswith("eigenears"):
        return EigenEars.load(path)
    if name.endswith(".npz"):
        return read_embeddings(path)
    if name.endswith(".onnx"):
        return OnnxModel(path, 1)(np.zeros((1, 1, 64), np.float32))
    with images.quiet_decoding():
        examine(path, np.full(4, np.nan))
        images.read_header(path)
        images.picture_size(path)
        return images.read_picture(path)


def network(place: str = "") -> bytes:
    """An ONNX file that `OnnxModel` takes, a convolution; its numbers lie in the file `place`, where that is given."""
    from onnx import TensorProto, helper

    facts = {"part": "encoder", "precision": "fp32", "image_size": "64", "latent_dim": "62"}
    facts |= {"encoder": "resnet18", "fingerprint": "x", "run": "", "checkpoint": "c"}
    weight = helper.make_tensor("w", TensorProto.FLOAT, (1, 1, 3), [1.0, 2.0, 3.0])
    if place:
        weight.ClearField("float_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=place)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 64])
    mean = helper.make_tensor_value_info("mu", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Conv", ["images", "w"], ["mu"])], "g", [images], [mean], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, facts)
    content: bytes = model.SerializeToString()
    return content
