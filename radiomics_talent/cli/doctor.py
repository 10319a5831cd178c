"""``radiomics-talent doctor``: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec

import typer

_REFERENCES = {
    "pyradiomics": ("3.0.1", "(3.1.0 on the registry is broken)"),
    "pyradiomics-bhklab": ("3.1.4", "(the one that was compared with 3.0.1)"),
}
"""Distributions of the module radiomics that compute the definition, each with its version and why that one."""
_MEND_REFERENCE = (
    "python -m pip install numpy 'setuptools<81' wheel && "
    "python -m pip install --no-build-isolation 'pyradiomics==3.0.1' 'scipy<1.17'"
    if sys.version_info < (3, 12)
    else "python -m pip install 'pyradiomics-bhklab==3.1.4' 'scipy<1.17'"
)
_FIND_NATIVE = "import radiomics_talent.features.native.compute"  # Numba, and a place where its code can be kept
_FIND_REFERENCE = "import radiomics; from radiomics import _cmatrices, _cshape"
_DECODERS = {
    "uncompressed, deflated, RLE": (("pydicom", "pydicom"),),
    "JPEG (baseline, extended, lossless)": (("gdcm", "python-gdcm"), ("libjpeg", "pylibjpeg-libjpeg")),
    "JPEG-LS": (("jpeg_ls", "pyjpegls"), ("gdcm", "python-gdcm")),
    "JPEG 2000": (("openjpeg", "pylibjpeg-openjpeg"), ("gdcm", "python-gdcm")),
}
"""Transfer syntaxes, and the modules (with their distributions) any of which decodes them."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the report; `mend` is empty when all is well."""

    section: str
    name: str
    value: str
    ok: bool = True
    mend: str = ""


def doctor(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Say what is installed, what is missing, and how to mend it.

    Ends with exit code 1 when something needed is missing.

    Example: radiomics-talent doctor
    """
    items = [*_system(), *_dependencies(), _native(), *_reference(), *_decoders()]
    if as_json:
        import json

        typer.echo(json.dumps({"ok": all(i.ok for i in items), "items": [asdict(i) for i in items]}, indent=2))
    else:
        _print(items)
    if not all(i.ok for i in items):
        raise typer.Exit(1)


def _print(items: list[Item]) -> None:
    width = max(len(i.name) for i in items)
    section = ""
    for item in items:
        if item.section != section:
            section = item.section
            typer.echo(f"\n{section}")
        typer.echo(f"  {'ok ' if item.ok else 'BAD'} {item.name:{width}}  {item.value}".rstrip())
    bad = [i for i in items if not i.ok]
    typer.echo("\nall is well" if not bad else f"\n{len(bad)} problems; to mend them:")
    for command in dict.fromkeys(i.mend for i in bad if i.mend):
        typer.echo(f"  {command}")


def _system() -> list[Item]:
    from radiomics_talent import __version__

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    python_ok = sys.version_info >= (3, 11)
    return [
        Item("system", "radiomics-talent", __version__),
        Item(
            "system",
            "Python",
            platform.python_version(),
            python_ok,
            "" if python_ok else "install Python 3.11 or later",
        ),
        Item("system", "operating system", platform.platform()),
        Item("system", "processors", f"{cores} usable"),
        Item("system", "memory", _memory()),
    ]


def _memory() -> str:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return "unknown"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"


def _dependencies() -> list[Item]:
    try:
        from packaging.requirements import Requirement
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return [Item("dependencies", "packaging", "missing", ok=False, mend="python -m pip install packaging")]
    try:
        texts = metadata.requires("radiomics-talent") or []
    except metadata.PackageNotFoundError:
        mend = "python -m pip install ."
        return [Item("dependencies", "radiomics-talent", "not installed, only on the path", ok=False, mend=mend)]
    extra = "reference" if _radiomics() else ""  # what the reference engine needs counts where it is installed
    wanted: dict[str, SpecifierSet] = {}  # the program and its extra may both name a distribution
    for requirement in sorted((Requirement(t) for t in texts), key=lambda r: r.name.lower()):
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if requirement.name.lower() not in _REFERENCES:  # judged by the module that they supply
            wanted[requirement.name] = wanted.get(requirement.name, SpecifierSet()) & requirement.specifier
    return [_dependency(name, str(specifier), specifier.contains) for name, specifier in wanted.items()]


def _dependency(name: str, wanted: str, fits: object) -> Item:
    mend = f"python -m pip install '{name}{wanted}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Item("dependencies", name, f"missing, expected {wanted}", ok=False, mend=mend)
    if callable(fits) and not fits(version, prereleases=True):
        return Item("dependencies", name, f"{version}, expected {wanted}", ok=False, mend=mend)
    return Item("dependencies", name, version)


def _radiomics() -> list[str]:
    """Return the distributions that supply the module radiomics."""
    return sorted(set(metadata.packages_distributions().get("radiomics", [])))


def _native() -> Item:
    try:
        version = metadata.version("numba")
    except metadata.PackageNotFoundError:
        mend = "python -m pip install numba"
        return Item("engines", "native", "Numba is not installed", ok=False, mend=mend)
    failure = _failure(_FIND_NATIVE)
    if failure:
        mend = "python -m pip install --upgrade --force-reinstall numba"
        return Item("engines", "native", f"Numba {version}: {failure}", ok=False, mend=mend)
    from radiomics_talent.features.warm_up import is_warm

    state = "compiled" if is_warm() else "compiles at the first extraction, about a minute, once on this machine"
    return Item("engines", "native", f"Numba {version}: {state}")


def _reference() -> list[Item]:
    names = _radiomics()
    if not names:
        return [Item("engines", "reference", "PyRadiomics is not installed: optional, native computes the same")]
    mend = f"python -m pip uninstall --yes {' '.join(names)} && {_MEND_REFERENCE}"
    value, ok = _judged(names)
    failure = _failure(_FIND_REFERENCE)
    return [
        Item("engines", "reference", value, ok, "" if ok else mend),
        Item("engines", "reference: C extensions", failure or "import", not failure, mend if failure else ""),
    ]


def _judged(names: list[str]) -> tuple[str, bool]:
    """Return what is to be said about the distributions of the module radiomics, and whether all is well."""
    found = [f"{name} {metadata.version(name)}" for name in names]
    if len(names) > 1:
        return f"{' and '.join(found)} supply the same module and overwrite each other", False
    expected = _REFERENCES.get(names[0].lower().replace("_", "-"))
    if expected is None:
        return f"{found[0]} is a fork that nobody compared; its features need not be PyRadiomics'", False
    version, why = expected
    right = metadata.version(names[0]) == version
    return found[0] if right else f"{found[0]}, expected {version} {why}", right


def _failure(code: str) -> str:
    """Import compiled parts in a process of its own, which a bad build may crash; return what went wrong, or ""."""
    try:
        run = subprocess.run(  # noqa: S603 (our own interpreter, a constant)
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "importing takes forever"
    if run.returncode == 0:
        return ""
    return f"does not import: {(run.stderr.strip().splitlines() or ['the process crashed'])[-1]}"


def _decoders() -> list[Item]:
    items = []
    for syntax, choices in _DECODERS.items():
        there = [distribution for module, distribution in choices if find_spec(module) is not None]
        mend = "" if there else f"python -m pip install {choices[0][1]}"
        value = ", ".join(there) or "no decoder"
        items.append(Item("DICOM transfer syntaxes", syntax, value, bool(there), mend))
    return items
