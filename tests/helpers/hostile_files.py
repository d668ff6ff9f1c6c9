"""Files that nobody should have sent. None is kept: all are made here."""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from corpus import (
    MIB,
    Call,
    array,
    chunk,
    columns,
    good,
    members_of,
    nested,
    network,
    npy,
    pickled,
    png,
    stored_zip,
    text,
    tiff,
    torch_bytes,
    with_pickle,
)


def hostile(touched: Path) -> dict[str, tuple[str, bytes]]:
    """By what is wrong with it, the name and the content of a file that must be refused.

    Args:
        touched: a file that comes into being when one of them runs its code.
    """
    return _pickles(touched) | _archives(touched) | _texts() | _pictures()


def attacks(touched: Path) -> dict[str, Any]:
    """Objects whose unpickling makes a file."""
    command, code = f"touch {touched}", f"open({str(touched)!r}, 'w')"
    return {
        "os.system": Call(os.system, command),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(open, str(touched), "w"),
        "getattr chain": Call(getattr, Call(__import__, "os"), "system"),
        "numpy's load": Call(np.load, str(touched), None, True),
        "numpy's save": Call(np.save, str(touched), 1),
        "a file's writer": Call(Path.write_text, touched, "x"),
        "hidden in a list": {"image_paths": ["a"], "bboxes": [Call(os.system, command)]},
        "hidden in an array": {"image_paths": np.array([Call(os.system, command)], dtype=object), "bboxes": [None]},
    }


def _pickles(touched: Path) -> dict[str, tuple[str, bytes]]:
    one = b"](" + text("a.jpg") + b"e"
    none = b"](Ne"
    count = struct.pack("<Q", 1 << 44)
    deep = b"\x85" * 150_000
    payloads = {
        f"{name}, protocol {protocol}": npy(pickle.dumps(attack, protocol))
        for name, attack in attacks(touched).items()
        for protocol in (0, 2, 5)
    }
    payloads |= {
        "text of 16 TiB": npy(pickled(b"\x8d" + count)),
        "bytes of 16 TiB": npy(pickled(b"\x8e" + count)),
        "a frame of 16 TiB": npy(pickled(b"\x95" + count)),
        "a class whose name is a page long": npy(pickled(b"c" + b"m" * 3000 + b"\nx\n")),
        "nothing remembered": npy(pickled(b"h\x07")),
        "lists in lists as a box": columns(one, b"](" + nested(12, 8) + b"e"),
        "lists in lists as boxes": columns(b"](" + text("a.jpg") * 8 + b"e", nested(12, 8)),
        "lists in lists as a name": columns(nested(12, 8), nested(12, 8)),
        "lists in lists as a subject": npy(pickled(b"}(" + text("image_paths") + one + text("bboxes") + none
            + text("subjects") + b"](" + nested(12, 8) + b"eu")),
        "lists in lists as key points": npy(pickled(b"}(" + text("image_paths") + one + text("bboxes") + none
            + text("keypoints") + b"](" + nested(12, 8) + b"eu")),
        "a tuple so deep, as a box": columns(one, b"](N" + deep + b"e"),
        "a number of a million digits": columns(one, b"](](\x8b" + struct.pack("<i", 500_000) + b"\x7f" * 500_000
            + b"K\x01K\x01K\x01ee"),
        "a number too large for a float": columns(one, b"](](\x8a\xff" + b"\x7f" * 255 + b"K\x01K\x01K\x01ee"),
        "an array made by numpy's class": columns(b"cnumpy\nndarray\n(J\xff\xff\xff\x7ftR", none),
        "an array made by numpy's class, anew": columns(b"cnumpy\nndarray\n(J\xff\xff\xff\x7ft\x81", none),
        "an array of nothing, endless": columns(array(b"J\xff\xff\xff\x7fK\x00\x86", "f8", b"C\x00"), none),
        "letters of no width, endless": columns(array(b"J\xff\xff\xff\x7f\x85", "U0", b"C\x00"), none),
        "an array larger than its bytes": columns(array(b"J\xff\xff\xff\x7f\x85", "u1", b"C\x01a"), none),
        "a letter behind the last one": columns(array(b"K\x01\x85", "U1", b"C\x04\x00\x00\x11\x00"), none),
        "letters that are none": columns(array(b"K\x01\x85", "U1", b"C\x04\xff\xff\xff\xff"), none),
        "a dtype of a terabyte": columns(array(b"K\x01\x85", "S1000000000000", b"C\x01a"), none),
        "a dtype of records": columns(array(b"K\x01\x85", "i4,O", b"C\x0cabcdefghijkl"), none),
        # numpy would take the eight bytes for the address of an object
        "a dtype that hides an object": columns(array(b"K\x01\x85", "V8", b"C\x08AAAAAAAA", b"N(" + text("a") + b"t}("
            + text("a") + b"cnumpy\ndtype\n" + text("O8") + b"\x89\x88\x87RK\x00\x86uK\x08K\x01K\x00"), none),
        "an array in itself": npy(pickled(b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
            b"K\x00\x85C\x01b\x87Rq\x00(K\x01)cnumpy\ndtype\n" + text("O8") + b"\x89\x88\x87R\x89](h\x00etb")),
        "a header that promises terabytes": b"\x93NUMPY\x02\0\xff\xff\xff\xff{'descr'",
        "a header nested without end": b"\x93NUMPY\x01\0\x00\x20" + b"(" * 0x2000,
        "a header of minus signs": b"\x93NUMPY\x01\0\x00\x20" + b"-" * 0x2000,
    }  # fmt: skip
    return {f"manifest: {name}": ("m.npy", content) for name, content in payloads.items()}


def _archives(touched: Path) -> dict[str, tuple[str, bytes]]:
    import torch
    from safetensors.torch import save

    whole = good()
    plain = whole["x.ckpt"]
    members = members_of(whole["index.npz"])
    header = b"\x93NUMPY\x01\0"

    def index(**changes: bytes) -> bytes:
        return stored_zip({**members, **{f"{name}.npy": content for name, content in changes.items()}})

    def claims(shape: str, descr: str) -> bytes:
        fields = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}".encode()
        return header + struct.pack("<H", len(fields)) + fields

    def checkpoint(steps: bytes) -> bytes:
        return with_pickle(plain, lambda old: b"\x80\x02" + steps + b".")

    def tensor(shape: bytes, stride: bytes, numbers: bytes = b"K\x01", key: str = "0") -> bytes:
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + numbers + b"tQ"
        return (
            b"ctorch._utils\n_rebuild_tensor_v2\n("
            + storage
            + b"K\x00"
            + shape
            + stride
            + b"\x89ccollections\nOrderedDict\n)RtR"
        )

    def holding(steps: bytes) -> bytes:
        return checkpoint(b"}(" + text("state_dict") + b"}" + text("w") + steps + b"s" + text("hyper_parameters") + b"}"
            + text("latent_dim") + b"K\x08su")  # fmt: skip

    flipped = bytearray(plain)
    flipped[plain.index(np.float32(7).tobytes())] ^= 1  # within the numbers of a tensor
    many = b"J" + struct.pack("<i", 1 << 18)
    big = b"J\xff\xff\xff\x7f"
    found = {
        "a flipped bit in a tensor": ("x.ckpt", bytes(flipped)),
        "compressed": ("x.ckpt", stored_zip(members_of(plain), zipfile.ZIP_DEFLATED)),
        "a bomb": ("x.ckpt", bomb("a/data.pkl")),
        "a bomb of weights": ("w.pth", bomb("a/data.pkl")),
        "members that share bytes": ("x.ckpt", _overlapping()),
        "a program": ("x.ckpt", stored_zip({"a/data.pkl": b"\x80\x02}.", "a/constants.pkl": b"\x80\x02)."})),
        "a tensor out of numbers": ("x.ckpt", holding(b"ctorch\nFloatTensor\n" + big + b"\x85R")),
        "a tensor without numbers behind it": ("x.ckpt", holding(tensor(big + big + b"\x86", b"K\x00K\x00\x86"))),
        "a tensor larger than its storage": ("x.ckpt", holding(tensor(big + b"\x85", b"K\x01\x85", b"K\x0c"))),
        "a storage larger than its bytes": ("x.ckpt", holding(tensor(big + b"\x85", b"K\x01\x85", big))),
        "a storage that is not there": ("x.ckpt", holding(tensor(b"K\x01\x85", b"K\x01\x85", b"K\x0c", "77"))),
        "one megabyte as a gigabyte": ("x.ckpt", stored_zip({"a/data/0": bytes(4 << 18), "a/data.pkl": b"\x80\x02}("
            + text("state_dict") + b"](" + tensor(many + b"\x85", b"K\x01\x85", many) * 999 + b"eu."})),
        "a number as a state dict": ("x.ckpt", torch_bytes({"state_dict": 3, "hyper_parameters": {"latent_dim": 3}})),
        "a latent space of 10**12": (
            "x.ckpt", torch_bytes({"state_dict": {}, "hyper_parameters": {"latent_dim": 10**12}})
        ),
        "lists in lists as a knob": ("x.ckpt", checkpoint(b"}(" + text("state_dict") + b"}" + text("hyper_parameters")
            + b"}(" + text("latent_dim") + nested(30, 8) + text("encoder") + nested(1, 2) + b"uu")),
        "another protocol": ("x.ckpt", with_pickle(plain, lambda old: pickle.dumps({}, 4))),
        "an old file, a storage of gigabytes": ("old.pth", whole["old.pth"].replace(b"K\x0c", big)),
        "an old file without its tensors": ("old.pth", whole["old.pth"][:-40]),
        "a tar": ("old.pth", _tar()),
        "a header of gigabytes": ("w.safetensors", struct.pack("<Q", 1 << 40) + b"{}"),
        "a tensor beyond the file": ("w.safetensors", save({"a": torch.zeros(9)})[:-8]),
        "an endless shape": ("index.npz", index(embeddings=claims("(1000000000000, 3)", "<f4"))),
        "names of no width, endless": ("index.npz", index(paths=claims("(1000000000000,)", "<U0"))),
        "rows of nothing, endless": ("index.npz", index(boxes=claims("(1000000000000, 0)", "<f8"))),
        "objects": ("index.npz", index(paths=claims("(2,)", "|O") + pickle.dumps(Call(os.system, f"touch {touched}")))),
        "a header of brackets": ("index.npz", index(paths=header + b"\0\x20" + b"[" * 0x2000)),
        "a compressed space": ("eigenears.npz", bomb("mean.npy")),
        "a space of words": ("eigenears.npz", stored_zip({**members_of(whole["eigenears.npz"]),
            "images.npy": claims("(1,)", "<U1") + b"x\0\0\0"})),
        "numbers outside its folder": ("n.onnx", network("../../../../etc/passwd")),
        "numbers in a device": ("n.onnx", network("/dev/zero")),
        "a million members": ("index.npz", _many_members()),
    }  # fmt: skip
    for name, attack in attacks(touched).items():
        found[f"{name} in a checkpoint"] = ("x.ckpt", torch_bytes({"state_dict": {}, "hyper_parameters": attack}))
        found[f"{name} in old weights"] = ("old.pth", torch_bytes([attack], _use_new_zipfile_serialization=False))
    return {f"archive: {name}": file for name, file in found.items()}


@cache
def zeros() -> bytes:
    """150 MiB, compressed."""
    return zlib.compress(bytes(150 * MIB), 1)


@cache
def bomb(name: str) -> bytes:
    """An archive of a few hundred KiB that unpacks to 150 MiB."""
    return stored_zip({name: bytes(150 * MIB)}, zipfile.ZIP_DEFLATED)


def _overlapping() -> bytes:
    """Two thousand members that are all the same megabyte."""
    data = bytearray(stored_zip({"a/data.pkl": b"x" * MIB}))
    end = struct.unpack_from("<I", data, len(data) - 6)[0]
    entry, rest = bytes(data[end:-22]), 2000
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, rest, rest, len(entry) * rest, end, 0)
    return bytes(data[:end]) + entry * rest + tail


def _many_members() -> bytes:
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    directory = entry * 200_000
    start = b"PK\3\4" + bytes(26)
    return start + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), len(start), 0)


def _tar() -> bytes:
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("storages")
        info.size = 9
        archive.addfile(info, io.BytesIO(b"123456789"))
    return file.getvalue()


def _texts() -> dict[str, tuple[str, bytes]]:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(24)
    )
    merges = "a: &a {x: 1}\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [*{chr(97 + i)}, *{chr(97 + i)}]}}\n" for i in range(24)
    )
    configs = {
        "names that refer to names": bomb + f"latent_dim: *{chr(97 + 24)}\n",
        "merges of merges": merges,
        "brackets without end": "latent_dim: " + "[" * 20_000,
        "lists": "latent_dim: [[1, 2], [3]]",
        "a number of many digits": "latent_dim: " + "9" * 5000,
        "no such day": "lr: 2001-99-99",
        "an empty number": "lr: !!int ''",
        "no truth": "low_memory: !!bool maybe",
        "code": "!!python/object/apply:os.system ['true']",
        "a megabyte": "run_name: " + "x" * MIB,
        "bytes that are no text": "\udcff\udcfe",
        "a document twice": "lr: 1\n---\nlr: 2\n",
    }
    tables = {
        "a line of 2 MiB": "filename\n" + "ab," * (MIB // 2),
        "a header of 2 MiB": "ab," * (MIB // 2),
        "a row of many lines": "filename\n" + '"a\n",' * (MIB // 2),
        "a name that leaves": "filename\n/etc/passwd\n",
        "a name that climbs": "filename\n../../../etc/passwd\n",
        "a name with a zero": "filename\na\0.jpg\n",
    }
    annotations = {
        "brackets without end": "[" * MIB,
        "objects without end": '{"a":' * 100_000,
        "a number of many digits": '{"images": [{"id": ' + "9" * 5000 + '}], "annotations": []}',
        "half a letter": json.dumps(
            {"images": [{"id": 0, "file_name": "\ud800.jpg"}], "annotations": [{"image_id": 0, "bbox": [1, 2, 3, 4]}]}
        ),
        "a name that climbs": json.dumps(
            {"images": [{"id": 0, "file_name": "../../x"}], "annotations": [{"image_id": 0, "bbox": [1, 2, 3, 4]}]}
        ),
    }
    points = {
        "a count of many digits": "version: 1\nn_points: " + "9" * 5000 + "\n{\n1 2\n}\n",
        "a count that is endless": "version: 1\nn_points: 1000000000000\n{\n1 2\n}\n",
    }
    folders = {
        "brackets without end": "[" * 100_000,
        "a latent space that is none": '{"latent_dim": 1e999, "image_size": 64, "encoder": "resnet18"}',
    }  # fmt: skip
    kinds = {"k.yaml": configs, "m.csv": tables, "m.json": annotations, "a.pts": points, "config.json": folders}
    return {
        f"{name}: {what}": (name, content.encode("utf-8", "surrogateescape"))
        for name, files in kinds.items()
        for what, content in files.items()
    }


def _pictures() -> dict[str, tuple[str, bytes]]:
    side = 60_000
    gif = (
        b"GIF89a"
        + struct.pack("<2H3B", side, side, 0, 0, 0)
        + b","
        + struct.pack("<4HB", 0, 0, side, side, 0)
        + b"\x08"
    )
    bmp = b"BM" + struct.pack("<3I", 99, 0, 54) + struct.pack("<I2i2H6I", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    jpeg = (
        b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">2H", side, side) + b"\x03\x01\x22\0\x02\x11\1\x03\x11\1\xff\xda"
    )
    plain = {f"t{tag}": (3, 1, value) for tag, value in ((258, 8), (259, 1), (262, 1), (277, 1))}
    place = {"t273": (4, 1, 8), "t278": (4, 1, 9), "t279": (4, 1, 9)}
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    files = {
        "png: pixels without end": png(side, side),
        "png: text that unpacks to 150 MiB": png(9, 9, chunk(b"zTXt", b"a\0\0" + zeros())),
        "png: a profile that unpacks to 150 MiB": png(9, 9, chunk(b"iCCP", b"a\0\0" + zeros())),
        "png: a chunk that promises 2 GiB": png(9, 9)[:-12] + b"\x7f\xff\xff\xffIDAT",
        "gif: pixels without end": gif,
        "bmp: pixels without end": bmp,
        "jpg: pixels without end": jpeg,
        "ppm: pixels without end": b"P6 999999999 999999999 255\n",
        "ppm: digits without end": b"P6 " + b"9" * MIB,
        "tif: pixels without end": tiff(**plain, **place, t256=(4, 1, side), t257=(4, 1, side)),
        "tif: a tag of billions": tiff(**plain, **place, t256=(4, 1, 9), t257=(4, 1, 9), t270=(2, 0xFFFFFFFF, 8)),
        "tif: strips without end": tiff(**plain, **{**place, "t273": (4, 1 << 30, 8)}, t256=(4, 1, 9), t257=(4, 1, 9)),
        "tif: a directory in itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "webp: pixels without end": b"RIFF\xff\xff\xff\x7fWEBPVP8X\n\0\0\0\0\0\0\0" + b"\xff" * 6,
        "jp2: pixels without end": b"\xff\x4f\xff\x51\0\x29\0\0"
        + struct.pack(">8I", side, side, 0, 0, side, side, 0, 0) + b"\0\1\7\1\1",
        "png: a PostScript program": postscript,
        "jpg: a PDF": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
        "png: an animation (FLI)": struct.pack("<I5H", 128, 0xAF12, 9, 9, 9, 8) + bytes(112),
        "png: an icon": b"\0\0\1\0\1\0\x09\x09\0\0\1\0\x20\0\xff\xff\xff\x7f\x16\0\0\0",
    }  # fmt: skip
    return {f"picture: {name}": (f"p.{name.split(':')[0]}", content) for name, content in files.items()}
