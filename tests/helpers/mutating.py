"""Reads files that are hostile or damaged, in a process of its own, and tells what came of it.

    python tests/helpers/mutating.py FOLDER COUNT SEED

It reads the hostile files, then COUNT mutations of each good one, and prints JSON: how many gave a result and how many
an `EarError`, by name; which of the hostile ones were `read`; and as `failures` whatever else happened. An input that
takes more than `SECONDS` ends the process with a traceback; one that takes more than `MOST_MEMORY` is a failure.
"""

import json
import re
import resource
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from faulthandler import cancel_dump_traceback_later, dump_traceback_later
from pathlib import Path
from typing import Any

import numpy as np
from corpus import MIB, good, members_of, read, stored_zip
from hostile_files import hostile
from PIL import Image

MOST_MEMORY = 128 * MIB
"""What reading one of these small files may add to the process at its peak."""
BYTES_A_PIXEL = 24
"""And for each pixel that a picture under Pillow's limit says it has."""
SECONDS = 60
ADDRESSES = 4096 * MIB
"""What the process may map beyond what it starts with, so that a bomb ends it and not the machine."""
NUMBERS = [b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\xff\xff", b"\xff\xff\xff\x7f", b"\xff" * 4, b"\xff" * 8]
NUMBERS += [b"\0\0\0\x80", b"\x7f\xff\xff\xff", (1 << 40).to_bytes(8, "little"), (1 << 40).to_bytes(8, "big")]
WORDS = [b"[" * 900, b"{" * 900, b"(" * 900, b"9" * 5000, b"1e999", b"NaN", b"\0", b"\xff", b'"', b"\r", b"&a [*a]"]
WORDS += [b"../", b"-", b":", b"null", b"\xf0\x9f\x91\x82", b"<<: *a", b"!!int ''", b"\x85" * 900, b"h\0" * 900]


def main() -> None:
    folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("error")  # a warning would be a line on somebody's screen
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    files = good()
    (folder / "model.safetensors").write_bytes(files["w.safetensors"])
    for name, content in files.items():  # imports what reading takes, and proves that each is read
        (folder / name).write_bytes(content)
        read(folder / name)
    refused, damaged = Result(folder), Result(folder)
    resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + ADDRESSES,) * 2)
    for what, (name, content) in hostile(folder / "touched").items():
        refused.take(what, name, content)
        if (folder / "touched").exists():
            refused.fail(what, name, "it ran")
            (folder / "touched").unlink()
    for name in files:
        for number, content in enumerate(mutations(files[name], count, seed)):
            damaged.take(f"mutation {number} of seed {seed}", name, content)
    found = {"hostile": refused.total(), "read": refused.read, "damaged": damaged.counts}
    print(json.dumps({**found, "failures": refused.failures + damaged.failures}))


class Result:
    """What came of the files so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: dict[str, Counter[str]] = {}
        self.failures: list[dict[str, Any]] = []
        self.read: list[str] = []

    def take(self, what: str, name: str, content: bytes) -> None:
        """Writes a file and reads it."""
        from earcli.errors import EarError

        path = self.folder / name
        path.write_bytes(content)
        before = path.stat()
        counts = self.counts.setdefault(name, Counter())
        used = reset_peak()
        dump_traceback_later(SECONDS, exit=True)
        try:
            read(path)
            counts["results"] += 1
            self.read.append(what)
        except EarError as error:
            counts["errors"] += 1
            if "\n" in str(error) or len(str(error)) > 2000:
                self.fail(what, name, f"a message of {len(str(error))} characters: {str(error)[:300]}")
        except BaseException:
            self.fail(what, name, traceback.format_exc(-6))
        cancel_dump_traceback_later()
        taken = memory("VmHWM") - used
        if taken > MOST_MEMORY + len(content) + BYTES_A_PIXEL * pixels(path):
            self.fail(what, name, f"{taken // MIB} MiB of memory")
        if path.read_bytes() != content or path.stat().st_mtime_ns != before.st_mtime_ns:
            self.fail(what, name, "it was changed")

    def fail(self, what: str, name: str, reason: str) -> None:
        kept = self.folder / f"failure-{len(list(self.folder.glob('failure-*')))}-{name}"
        kept.write_bytes((self.folder / name).read_bytes())
        self.failures.append({"what": what, "name": name, "reason": reason, "file": str(kept)})

    def total(self) -> int:
        return sum(sum(counts.values()) for counts in self.counts.values())


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Damaged copies; half of those of an archive are damaged inside of it, under checksums that are right."""
    rng = np.random.default_rng((seed, len(data)))
    members = members_of(data) if data[:2] == b"PK" else {}
    for _ in range(count):
        if members and rng.random() < 0.5:
            # what describes the rest is the first or a short one
            name = list(members)[0 if rng.random() < 0.5 else rng.integers(len(members))]
            yield stored_zip({**members, name: mutate(members[name], rng)})
        else:
            yield mutate(data, rng)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: bits, bytes that are numbers of some size, words, pieces left out, doubled, cut off."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        # headers are at the beginning
        place = int(rng.integers(len(changed) + 1) if rng.random() < 0.6 else rng.integers(min(len(changed), 256) + 1))
        length = int(rng.integers(1, 64))
        match int(rng.integers(7)):
            case 0 if place < len(changed):
                changed[place] ^= 1 << int(rng.integers(8))
            case 1:
                number = NUMBERS[rng.integers(len(NUMBERS))]
                changed[place : place + len(number)] = number
            case 2:
                changed[place:place] = WORDS[rng.integers(len(WORDS))]
            case 3:
                del changed[place : place + length]
            case 4:
                changed[place:place] = changed[place : place + length] * int(rng.integers(1, 40))
            case 5:
                changed[place : place + length] = rng.bytes(length)
            case 6 if rng.random() < 0.3:
                del changed[place:]
    return bytes(changed)


def pixels(path: Path) -> int:
    """How many a picture says it has, if it is one that may be read."""
    with suppress(Exception), Image.open(path) as image:
        return image.width * image.height
    return 0


def memory(name: str) -> int:
    """Bytes of this process, by their name in /proc."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def reset_peak() -> int:
    """Forgets the peak so far; what the process uses now."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


if __name__ == "__main__":
    main()
