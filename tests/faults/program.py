"""Runs of the program that may be killed, and what a folder looks like to who comes later."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MAIN = "from radiomics_talent.cli import main; main()"
WARM = Path(__file__).with_name("warm_program.py")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", MAIN, *map(str, arguments)]


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=180, **options)


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line that a refused command says, progress left out."""
    said = [x for x in done.stderr.strip().splitlines() if not x.startswith(("extracting", "perturbing", "training"))]
    assert len(said) == 1, done.stderr
    assert done.returncode == 2, done.stderr
    return said[0]


@dataclass
class WarmProgram:
    """Runs that begin with their imports done."""

    said: Path
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WARM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def begin(self, arguments: tuple[object, ...]) -> int:
        """Begin a run and return its process."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([[str(a) for a in arguments], str(self.said)]) + "\n")
        self.process.stdin.flush()
        return int(self._answer())

    def end(self) -> int:
        """Wait for the run and return its exit code, or less the signal that ended it."""
        return int(self._answer())

    def finish(self, arguments: tuple[object, ...]) -> float:
        """Run to the end, which must be a good one, and return the seconds."""
        start = time.monotonic()
        self.begin(arguments)
        code = self.end()
        assert code == 0, self.said.read_text(encoding="utf-8")[-3000:]
        return time.monotonic() - start

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def processes_of(session: int) -> list[psutil.Process]:
    """Return every process of a run."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            pass
    return found


def all_ended(session: int, seconds: float = 30.0) -> bool:
    """Tell whether every process of a run ends by itself."""
    return waited(lambda: not processes_of(session), seconds)


def waited(holds: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def unfinished(folder: Path) -> list[str]:
    """Return the files that are there under no name of their own."""
    return sorted(
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if p.is_file() and (p.name.startswith(".tmp-") or p.suffix == ".tmp" or ".json." in p.name)
    )


def is_whole(path: Path) -> bool:
    """Tell whether a file of a known kind has its end."""
    content = path.read_bytes()
    if path.parent.name in {"shards", "folds"} and path.name != "run.json":
        checksum, _, body = content.partition(b"\n")
        return hashlib.sha256(body.removesuffix(b"\n")).hexdigest().encode() == checksum
    if path.suffix == ".json":
        try:
            json.loads(content)
        except ValueError:
            return False
        return True
    ends = {
        ".csv": b"\n", ".parquet": b"PAR1", ".png": b"IEND\xaeB`\x82", ".html": b"</html>",
        ".yaml": b"\n", ".md": b"\n",
    }  # fmt: skip
    return content.rstrip(b"\n" if path.suffix == ".html" else b"").endswith(ends.get(path.suffix, b""))


def halves(folder: Path) -> list[str]:
    """Return files under their final name that are not whole; logs and journals grow, and are no results."""
    return sorted(
        str(p.relative_to(folder))
        for p in folder.rglob("[!.]*")
        if p.is_file() and p.suffix != ".txt" and "journal" not in p.parts and not is_whole(p)
    )
