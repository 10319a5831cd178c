import importlib
import json
import sys
from importlib import metadata

import pytest
from typer.testing import CliRunner

from radiomics_talent.cli import app

doctor = importlib.import_module("radiomics_talent.cli.doctor")


def report():
    result = CliRunner().invoke(app, ["doctor", "--json"])
    data = json.loads(result.stdout)
    return result.exit_code, data["ok"], {i["name"]: i for i in data["items"]}


def only(monkeypatch, *names, versions=None):
    """Have the module radiomics come from these distributions alone."""
    version = metadata.version
    monkeypatch.setattr(doctor.metadata, "packages_distributions", lambda: {"radiomics": list(names)})
    monkeypatch.setattr(doctor.metadata, "version", lambda n: (versions or {}).get(n) or version(n))
    monkeypatch.setattr(doctor, "_FIND_REFERENCE", "pass")


def test_all_is_well_here():
    code, ok, items = report()
    assert (code, ok) == (0, True)
    assert items["native"]["value"].startswith(f"Numba {metadata.version('numba')}: compile")
    assert "pyjpegls" in items["JPEG-LS"]["value"]
    text = CliRunner().invoke(app, ["doctor"])
    assert "all is well" in text.output


def test_reference_engine_is_there():
    pytest.importorskip("radiomics")
    items = report()[2]
    assert items["reference"]["value"].startswith("pyradiomics")
    assert items["reference: C extensions"]["value"] == "import"


def test_every_line_is_there_once():
    lines = CliRunner().invoke(app, ["doctor"]).output.splitlines()
    names = [line.split()[1] for line in lines if line.startswith(("  ok ", "  BAD"))]
    assert names.count("scipy") == 1


def test_reference_engine_is_optional_and_so_is_what_it_needs(monkeypatch):
    only(monkeypatch, versions={"scipy": "1.18.1"})
    code, ok, items = report()
    assert (code, ok) == (0, True)
    assert "optional" in items["reference"]["value"]
    assert "reference: C extensions" not in items
    only(monkeypatch, "pyradiomics", versions={"pyradiomics": "3.0.1", "scipy": "1.18.1"})
    assert "<1.17" in report()[2]["scipy"]["mend"]


@pytest.mark.parametrize(("name", "version"), [("pyradiomics", "3.0.1"), ("pyradiomics_bhklab", "3.1.4")])
def test_either_reference_is_right(monkeypatch, name, version):
    only(monkeypatch, name, versions={name: version})
    assert [(i.value, i.ok) for i in doctor._reference()] == [(f"{name} {version}", True), ("import", True)]


@pytest.mark.parametrize(
    ("versions", "value"),
    [
        ({"pyradiomics": "3.1.0"}, "expected 3.0.1"),
        ({"pyradiomics-bhklab": "3.2.0"}, "expected 3.1.4"),
        ({"pyradiomics-cuda": "1.0"}, "is a fork"),
        ({"pyradiomics": "3.0.1", "pyradiomics-bhklab": "3.1.4"}, "overwrite each other"),
    ],
)
def test_wrong_reference(monkeypatch, versions, value):
    only(monkeypatch, *versions, versions=versions)
    code, ok, items = report()
    assert (code, ok) == (1, False)
    assert value in items["reference"]["value"]
    right = "'pyradiomics==3.0.1'" if sys.version_info < (3, 12) else "'pyradiomics-bhklab==3.1.4'"
    mend = items["reference"]["mend"]
    assert mend.startswith(f"python -m pip uninstall --yes {' '.join(versions)} && ")
    assert right in mend


def test_engines_that_do_not_import(monkeypatch):
    only(monkeypatch, "pyradiomics", versions={"pyradiomics": "3.0.1"})
    monkeypatch.setattr(doctor, "_FIND_NATIVE", "import no_such_module")
    monkeypatch.setattr(doctor, "_FIND_REFERENCE", "import os; os.abort()")
    native, extensions = doctor._native(), doctor._reference()[1]
    assert "No module named 'no_such_module'" in native.value
    assert "--force-reinstall numba" in native.mend
    assert extensions.value == "does not import: the process crashed"
    assert "uninstall" in extensions.mend
    assert not native.ok
    assert not extensions.ok


@pytest.mark.parametrize(("warm", "value"), [(True, ": compiled"), (False, ": compiles at the first extraction")])
def test_native_says_whether_it_is_compiled(monkeypatch, warm, value):
    monkeypatch.setattr("radiomics_talent.features.warm_up.is_warm", lambda: warm)
    monkeypatch.setattr(doctor, "_FIND_NATIVE", "pass")
    assert doctor._native().ok
    assert value in doctor._native().value


def test_numba_is_needed(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    assert (doctor._native().ok, doctor._native().mend) == (False, "python -m pip install numba")


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
