"""Some spoilt files for every reader, the same at each run; `fuzz.py` gives them a hundred thousand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.readers import readers

FUZZ = Path(__file__).with_name("fuzz.py")
INPUTS = 2000


@pytest.mark.parametrize("reader", readers().values(), ids=lambda r: r.name)
def test_what_is_not_spoilt_is_taken(tmp_path, reader):
    for k, seed in enumerate(reader.seeds(tmp_path)):
        place = tmp_path / f"seed{k}"
        for name, data in seed.files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        assert reader.read(place) == [], seed.target


@pytest.mark.slow
def test_every_reader_takes_or_refuses_what_is_spoilt(tmp_path):
    table = tmp_path / "table.json"
    options = ["--inputs", str(INPUTS), "--seed", "0", "--jobs", "2", "--bomb-mib", "200"]
    command = [sys.executable, str(FUZZ), *options, "--bugs", str(tmp_path / "bugs"), "--json", str(table)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    tallies = json.loads(table.read_text())
    assert sum(t["inputs"] for t in tallies.values()) == pytest.approx(INPUTS, abs=20)
    assert {n for n, t in tallies.items() if not t["refused"] or not t["accepted"]} == set()
