import importlib
import json
from importlib import metadata

import pytest
from typer.testing import CliRunner

from radiomics_talent.cli import app

doctor = importlib.import_module("radiomics_talent.cli.doctor")


def report():
    result = CliRunner().invoke(app, ["doctor", "--json"])
    data = json.loads(result.stdout)
    return result.exit_code, data["ok"], {i["name"]: i for i in data["items"]}


def test_all_is_well_here():
    code, ok, items = report()
    assert (code, ok) == (0, True)
    assert items["distribution"]["value"].startswith("pyradiomics 3.0.1")
    assert items["C extensions"]["value"] == "import"
    assert "pyjpegls" in items["JPEG-LS"]["value"]
    text = CliRunner().invoke(app, ["doctor"])
    assert "all is well" in text.output


def test_every_line_is_there_once():
    lines = CliRunner().invoke(app, ["doctor"]).output.splitlines()
    names = [line.split()[1] for line in lines if line.startswith(("  ok ", "  BAD"))]
    assert names.count("scipy") == 1


@pytest.mark.parametrize(
    ("names", "value"),
    [
        ([], "no distribution supplies the module radiomics"),
        (["pyradiomics-bhklab"], "is a fork"),
        (["pyradiomics", "pyradiomics-bhklab"], "overwrite each other"),
    ],
)
def test_wrong_radiomics(monkeypatch, names, value):
    version = metadata.version
    monkeypatch.setattr(doctor.metadata, "packages_distributions", lambda: {"radiomics": names})
    monkeypatch.setattr(doctor.metadata, "version", lambda n: "3.1.4" if n.startswith("pyradiomics") else version(n))
    code, ok, items = report()
    assert (code, ok) == (1, False)
    assert value in items["distribution"]["value"]
    assert "--no-build-isolation 'pyradiomics==3.0.1'" in items["distribution"]["mend"]


def test_broken_version(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "version", lambda n: "3.1.0")
    assert not doctor._radiomics()[0].ok


def test_extensions_that_do_not_import(monkeypatch):
    monkeypatch.setattr(doctor, "_FIND_VERSION", "import no_such_module")
    item = doctor._extensions("mend it")
    assert not item.ok
    assert "No module named 'no_such_module'" in item.value
    monkeypatch.setattr(doctor, "_FIND_VERSION", "import os; os.abort()")
    assert "the process crashed" in doctor._extensions("mend it").value


def test_missing_dependency_and_decoder(monkeypatch):
    def version(name):
        if name.lower() == "simpleitk":
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "pydicom" else "99"

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    items = {i.name.lower(): i for i in doctor._dependencies()}
    assert items["simpleitk"].mend.lower() == "python -m pip install 'simpleitk>=2.4'"
    assert items["pydicom"].value == "0.1, expected >=3.0"
    assert all(not i.ok and i.mend for i in doctor._decoders())
    out = CliRunner().invoke(app, ["doctor"])
    assert out.exit_code == 1
    assert "to mend them:" in out.output
