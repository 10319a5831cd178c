"""Write the software bill of materials: what is installed, with the hashes of requirements/lock.txt and licences.

cyclonedx-py says what is installed and how it is licensed; the lock file adds the hashes; what neither the program nor
the extras asked for need is left out. Addresses are taken out: which registry somebody uses is no part of the program.
"""  # noqa: INP001 - a script beside the pins

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "lock.txt"
PYPROJECT = ROOT / "pyproject.toml"
TABLE = ROOT / "docs" / "dependencies.md"
BEGIN, END = "<!-- licences: written by `make sbom` -->", "<!-- end of licences -->"
LICENCES = {
    "contourpy": "BSD-3-Clause",
    "cycler": "BSD-3-Clause",
    "ecos": "GPL-3.0-or-later",
    "jinja2": "BSD-3-Clause",
    "kiwisolver": "BSD-3-Clause",
    "nbformat": "BSD-3-Clause",
    "numba": "BSD-2-Clause",
    "packaging": "Apache-2.0 OR BSD-2-Clause",
    "patsy": "BSD-2-Clause",
    "pyradiomics": "BSD-3-Clause",
    "scikit-image": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
    "simpleitk": "Apache-2.0",
    "seaborn": "BSD-3-Clause",
    "skops": "MIT",
    "traitlets": "BSD-3-Clause",
    "umap-learn": "BSD-3-Clause",
}
"""Licences of packages whose metadata do not name one as SPDX does; read in their licence files."""
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def locked(file: Path = LOCK) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return version and SHA-256 hashes of every package of a lock file, by its canonical name."""
    pins: dict[str, tuple[str, tuple[str, ...]]] = {}
    for block in file.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if pin := _PIN.match(block):
            pins[canonicalize_name(pin[1])] = (pin[2], tuple(sorted(_HASH.findall(block))))
    return pins


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the canonical names of what requirements need in this environment, to the last level."""
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in found:
                found.add((name, wanted))
                waiting += [(Requirement(r), wanted) for r in importlib.metadata.requires(name) or ()]
    return {name for name, _ in found}


def wanted_packages(extras: Iterable[str] = (), groups: Iterable[str] = ()) -> set[str]:
    """Return the canonical names of what the program needs, with extras and dependency groups of pyproject.toml."""
    data = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    texts = [*data["project"]["dependencies"]]
    for extra in extras:
        texts += data["project"]["optional-dependencies"][extra]
    for group in groups:
        texts += data["dependency-groups"][group]
    return closure(texts)


def make_sbom(names: set[str]) -> dict[str, Any]:
    """Return a CycloneDX document of these packages.

    Raises
    ------
    SystemExit
        An installed version is not the locked one, or the document is not valid.
    """
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--no-validate"]
    # The program's own environment, and its own files: nothing here comes from outside.
    written = subprocess.run(  # noqa: S603
        [*command, "--pyproject", str(PYPROJECT), sys.executable], capture_output=True, text=True, check=True
    )
    bom: dict[str, Any] = json.loads(written.stdout)
    pins = locked()
    components = {canonicalize_name(c["name"]): c for c in bom["components"]}
    bom["components"] = [_component(name, components, pins) for name in sorted(names)]
    kept = {c["bom-ref"] for c in bom["components"]} | {"root-component"}
    bom["dependencies"] = [
        {"ref": d["ref"], **({"dependsOn": on} if (on := sorted(set(d.get("dependsOn", ())) & kept)) else {})}
        for d in bom["dependencies"]
        if d["ref"] in kept
    ]
    _drop_addresses(bom["metadata"])
    text = json.dumps(bom, indent=2, sort_keys=True) + "\n"
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        sys.exit(f"the SBOM is not valid CycloneDX 1.6: {error}")
    return bom


def _component(
    name: str, components: dict[str, dict[str, Any]], pins: dict[str, tuple[str, tuple[str, ...]]]
) -> dict[str, Any]:
    if name not in components:
        sys.exit(f"{name} is not installed; run `make setup`")
    component = components[name]
    version, hashes = pins.get(name, ("", ()))
    if component["version"] != version:
        sys.exit(f"{name} {component['version']} is installed, {version or 'nothing'} is locked; run `make setup`")
    _drop_addresses(component)
    if expression := licence_of(component):
        component["licenses"] = [{"expression": expression}]
    # Every archive of the release that the lock admits: source, and wheels of all platforms.
    archives = [{"alg": "SHA-256", "content": digest} for digest in hashes]
    component["externalReferences"] = [{"type": "distribution", "url": component["purl"], "hashes": archives}]
    return component


def licence_of(component: dict[str, Any]) -> str:
    """Return the SPDX expression of a component's licence, '' where neither its metadata nor `LICENCES` tells."""
    name = canonicalize_name(component["name"])
    known = [x.get("expression") or x["license"].get("id") for x in component.get("licenses", ())]
    return LICENCES.get(name) or " AND ".join(dict.fromkeys(x for x in known if x))


def _drop_addresses(part: Any) -> None:
    if isinstance(part, dict):
        part.pop("externalReferences", None)
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _drop_addresses(inner)


def licence_table(bom: dict[str, Any]) -> str:
    """Return a Markdown table of package, version and licence.

    Raises
    ------
    SystemExit
        The licence of a package is not known.
    """
    for component in bom["components"]:
        if not licence_of(component):
            sys.exit(f"the licence of {component['name']} is not known; read it and add it to LICENCES in {__file__}")
    rows = [f"| {c['name']} | {c['version']} | {licence_of(c)} |" for c in bom["components"]]
    return "\n".join(["| package | version | licence |", "|---|---|---|", *rows])


def write_table(bom: dict[str, Any], page: Path = TABLE) -> None:
    """Write the table of licences between its marks in a page."""
    text = page.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    page.write_text(f"{head}{BEGIN}\n\n{licence_table(bom)}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    """Write the SBOM, and for the program alone the table of licences in docs/dependencies.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sbom.cdx.json")
    parser.add_argument("--extra", action="append", default=[], help="an extra of pyproject.toml; may be repeated")
    parser.add_argument("--group", action="append", default=[], help="a dependency group (dev); may be repeated")
    options = parser.parse_args()
    bom = make_sbom(wanted_packages(options.extra, options.group))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(bom, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if not options.extra and not options.group:
        write_table(bom)
    sys.stdout.write(f"{len(bom['components'])} packages: {options.out}\n")


if __name__ == "__main__":
    main()
