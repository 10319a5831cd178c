"""What the program is made of: pinned with hashes, listed, licensed, and from nowhere in particular."""

import importlib.util
import json
import re
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PINS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "requirements" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SBOM = script("sbom")
LOCKED = SBOM.locked()


@pytest.fixture(scope="module")
def bom() -> dict:
    return SBOM.make_sbom(SBOM.wanted_packages())


def dependencies() -> list[str]:
    project = PROJECT["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    return [*project["dependencies"], *extras, *PROJECT["dependency-groups"]["dev"]]


@pytest.mark.parametrize("text", dependencies())
def test_every_dependency_is_locked_to_a_version_that_fits(text):
    requirement = Requirement(text)
    if requirement.marker is not None and not requirement.marker.evaluate({"python_version": "3.11", "extra": ""}):
        pytest.skip("not of the locked Python")
    version, hashes = LOCKED[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(Version(version), prereleases=True)
    assert hashes


@pytest.mark.parametrize("file", PINS, ids=lambda p: p.name)
def test_every_pin_has_hashes(file):
    pins = SBOM.locked(file)
    assert pins
    assert [name for name, (_, hashes) in pins.items() if not hashes] == []


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").iterdir()), ids=lambda p: p.name)
def test_no_pin_comes_from_a_named_place(file):
    if file.is_dir():
        pytest.skip("no file of pins")
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host| @ ", text)


def test_the_sbom_lists_the_locked_runtime_packages_alone(bom):
    listed = {canonicalize_name(c["name"]): c["version"] for c in bom["components"]}
    names = SBOM.wanted_packages()
    assert listed == {name: LOCKED[name][0] for name in names}
    assert {canonicalize_name(Requirement(t).name) for t in PROJECT["project"]["dependencies"]} <= names
    # Of the tools, the extras and PyRadiomics nothing is needed to run the program.
    assert not {"pytest", "ruff", "dask", "snakemake", "pyradiomics"} & names


def test_the_sbom_names_the_program_and_has_every_hash(bom):
    assert (bom["metadata"]["component"]["name"], bom["metadata"]["component"]["version"]) == (
        PROJECT["project"]["name"],
        PROJECT["project"]["version"],
    )
    for component in bom["components"]:
        hashes = {h["content"] for r in component["externalReferences"] for h in r["hashes"]}
        assert hashes == set(LOCKED[canonicalize_name(component["name"])][1])


def test_the_sbom_is_valid_and_the_same_each_time_and_names_no_host(bom):
    text = json.dumps(bom, indent=2, sort_keys=True)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert json.dumps(SBOM.make_sbom(SBOM.wanted_packages()), indent=2, sort_keys=True) == text
    assert set(re.findall(r"https?://([^/\"]+)", text)) == {"cyclonedx.org"}
    assert "timestamp" not in bom["metadata"]
    assert "serialNumber" not in bom


def test_every_licence_is_known_and_in_the_docs(bom):
    # `make sbom` writes the table.
    assert SBOM.licence_table(bom) in SBOM.TABLE.read_text(encoding="utf-8")
    assert all("expression" in c["licenses"][0] for c in bom["components"])


def test_a_package_that_is_not_as_locked_is_refused(monkeypatch):
    monkeypatch.setattr(SBOM, "locked", lambda: LOCKED | {"numpy": ("0.0", ())})
    with pytest.raises(SystemExit, match=r"numpy .* is installed, 0\.0 is locked; run `make setup`"):
        SBOM.make_sbom({"numpy"})


def test_a_licence_that_nobody_read_is_refused():
    with pytest.raises(SystemExit, match="the licence of new is not known"):
        SBOM.licence_table({"components": [{"name": "new", "version": "1", "licenses": []}]})


def fake_services(monkeypatch, audit, *answers):
    """Let pip-audit answer as given for every lock file, service after service."""

    def answer(command, **_):
        number = audit.SERVICES.index(command[command.index("--vulnerability-service") + 1])
        return subprocess.CompletedProcess(command, 0, stdout=answers[number], stderr="")

    monkeypatch.setattr(audit.subprocess, "run", answer)


CLEAN = json.dumps({"dependencies": [{"name": "a", "version": "1", "vulns": []}]})
UNKNOWN = json.dumps({"dependencies": [{"name": "a", "skip_reason": "not found"}]})
BAD = json.dumps({"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}]})


@pytest.mark.parametrize(
    ("answers", "options", "code", "told"),
    [
        ((CLEAN, ""), [], 0, "lock.txt: 1 packages, no known vulnerability"),
        ((BAD, ""), [], 1, "VULNERABLE: a 1: X-1, mended in 2"),
        ((UNKNOWN, ""), [], 0, "NOT AUDITED: lock.txt: 1 of 1 packages are unknown"),
        ((UNKNOWN, CLEAN), [], 0, "lock.txt: 1 packages, no known vulnerability"),
        (("", BAD), [], 1, "VULNERABLE"),
        (("", ""), [], 0, "NOT AUDITED: lock.txt: no service could be reached"),
        (("", ""), ["--required"], 1, "NOT AUDITED"),
        ((UNKNOWN, UNKNOWN), ["--required"], 1, "NOT AUDITED"),
    ],
)
def test_silence_is_no_all_clear(monkeypatch, capsys, answers, options, code, told):
    audit = script("audit")
    fake_services(monkeypatch, audit, *answers)
    monkeypatch.setattr("sys.argv", ["audit.py", *options])
    assert audit.main() == code
    assert told in capsys.readouterr().out


def test_an_update_says_what_changed():
    before, after = "a==1 \\\n    --hash=sha256:0\nb==1\n", "a==2 \\\n    --hash=sha256:1\nc==1\n"
    assert script("show_changes").changes(before, after) == ["a: 1 -> 2", "b: 1 -> gone", "c: new -> 1"]
