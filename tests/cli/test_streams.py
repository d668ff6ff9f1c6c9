"""Tests of `earcli/cli/streams.py`."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import EAR, posix

from earcli.cli.streams import Outlet, resilient_stream


def pipe(encoding: str = "utf-8") -> tuple[int, io.TextIOWrapper]:
    read, write = os.pipe()
    return read, open(write, "w", encoding=encoding)  # noqa: PTH123


def test_a_reader_that_goes_away_does_not_stop_a_writer() -> None:
    read, stream = pipe()
    with stream, resilient_stream(stream) as out:
        out.write("one\n")
        out.flush()
        assert os.read(read, 100) == b"one\n"
        os.close(read)
        for _ in range(3):
            out.write("more\n" * 10000)
            out.flush()


def test_a_character_that_an_output_lacks_becomes_a_question_mark() -> None:
    read, stream = pipe("ascii")
    with stream, resilient_stream(stream) as out:
        out.write("3 × 4 − \udcff")
    assert os.read(read, 100) == b"3 ? 4 ? ?"
    os.close(read)


def test_an_output_that_cannot_be_written_is_an_error_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with (tmp_path / "log").open("w") as file, resilient_stream(file) as out, monkeypatch.context() as patch:
        patch.setattr(Outlet, "write", full)
        out.write("x")
        with pytest.raises(OSError, match="No space left"):
            out.flush()


def test_a_closed_output_is_written_to_nowhere() -> None:
    with resilient_stream(None) as out:
        print("x", file=out)


@posix
def test_no_file_takes_the_place_of_a_closed_output() -> None:
    code = (
        "import os; from earcli.cli.streams import reopen_closed_streams; reopen_closed_streams(); os._exit(os.dup(0))"
    )
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code], check=False)
    assert done.returncode == 3  # the first number that is free


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([EAR, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: The output cannot be written (No space left on device). Free space there, or send it elsewhere."
    ]


def test_a_command_whose_reader_goes_away_ends_as_it_would_have() -> None:
    process = subprocess.Popen([EAR, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), said) == (0, b"")
