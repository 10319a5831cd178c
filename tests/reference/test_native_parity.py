"""The native engine against PyRadiomics' frozen values, on every real case; PyRadiomics itself is not needed."""

from collections.abc import Mapping
from functools import cache
from math import inf, isnan

import pytest
from reference.oracle_cases import CASES, FOLDER, SETTINGS, OracleCase, ask_pyradiomics, digest, read_oracle

from radiomics_talent import ExtractionSettings, extract
from radiomics_talent.errors import TalentError

RELATIVE = 1e-9
ABSOLUTE = 1e-12
"""The tolerance of the design (numerics.md); never wider."""
SHOWN = 5
QUICK_STS = {"STS_003", "STS_019", "STS_025"}
LONG = {case.name for case in CASES if case.source == "sts"} - QUICK_STS
"""More than a second or two each."""
LIVE = {"brain2", "breast1", "prostate 1", "prostate 7", "digital phantom", "one value", "two values"}
"""Small enough to ask PyRadiomics again, on the whole scan."""


frozen_of = cache(read_oracle)


def params(cases, slow=frozenset()):
    return [
        pytest.param(c, id=f"{c.source}: {c.name}", marks=[pytest.mark.slow] if c.name in slow else []) for c in cases
    ]


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("oracle")


def difference(ours: float, theirs: float) -> float:
    """How many times the tolerance two values are apart: 0 if both are not defined, infinite if one is."""
    if ours == theirs or (isnan(ours) and isnan(theirs)):
        return 0.0
    apart = abs(ours - theirs) / max(RELATIVE * abs(theirs), ABSOLUTE)
    return inf if isnan(apart) else apart


def differences(
    ours: Mapping[str, float], theirs: Mapping[str, float], setting: str, tolerance: float = 1
) -> list[str]:
    """One line for each of the worst differences, and one with their number."""
    if list(ours) != list(theirs):
        new, gone = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
        return [f"{setting}: names or their order differ: {new[:SHOWN]} are new, {gone[:SHOWN]} are missing"]
    apart = {name: difference(ours[name], theirs[name]) for name in theirs}
    beyond = sorted((name for name in apart if apart[name] > tolerance), key=lambda name: -apart[name])
    lines = [
        f"{setting}: {n}: ours {ours[n]!r}, PyRadiomics {theirs[n]!r}, {apart[n]:.3g} times the tolerance"
        for n in beyond[:SHOWN]
    ]
    return [*lines, f"{setting}: {len(beyond)} of {len(theirs)} features differ"] if beyond else []


@pytest.mark.parametrize("case", params(CASES))
def test_every_setting_of_every_case_is_frozen(case: OracleCase):
    oracle = frozen_of(case.source)
    frozen = {s for name, s in oracle.values if name == case.name} | set(oracle.refused[case.name])
    assert frozen == set(case.settings)
    assert {s: oracle.settings[s] for s in frozen} == {s: SETTINGS[s] for s in frozen}


def test_the_frozen_files_are_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


@pytest.mark.parametrize("case", params(CASES, slow=LONG))
def test_native_engine_gives_the_frozen_values(case: OracleCase, shared_data, scratch):
    image, mask, label = loaded = case.load(shared_data, scratch)
    oracle = frozen_of(case.source)
    assert digest(loaded) == oracle.voxels[case.name], "the case is loaded as other voxels than were frozen"
    found = []
    for name in case.settings:
        settings = ExtractionSettings.model_validate({"engine": "native"} | SETTINGS[name])
        refused = oracle.refused[case.name].get(name)
        try:
            ours = extract(image, mask, settings, label=label)
        except (TalentError, ArithmeticError, LookupError, ValueError) as error:
            # A refusal is right where PyRadiomics refuses, and in a sentence of ours.
            if refused is None or not isinstance(error, TalentError):
                found.append(f"{name}: {type(error).__name__}: {error}; PyRadiomics says {refused}")
            continue
        if refused is not None:
            found.append(f"{name}: PyRadiomics refuses the lesion: {refused}")
            continue
        found += differences(ours, oracle.values[case.name, name], name)
        said = oracle.warnings[case.name].get(name)
        if said is not None and set(said) != set(ours.warnings):
            found.append(f"{name}: PyRadiomics says {sorted(said)}, the native engine {sorted(ours.warnings)}")
    assert not found, "\n".join([f"{case.source}: {case.name}", *found])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", params([case for case in CASES if case.name in LIVE], slow={"brain2"}))
def test_pyradiomics_still_gives_the_frozen_values(case: OracleCase, shared_data, scratch):
    """PyRadiomics as its users call it, on the whole scan; eigenvalues (MCC) may differ with the linear algebra."""
    pytest.importorskip("radiomics")
    loaded = case.load(shared_data, scratch)
    oracle = frozen_of(case.source)
    found = []
    for name in case.settings:
        if name in oracle.refused[case.name]:
            with pytest.raises(ValueError, match="cannot compute length"):
                ask_pyradiomics(loaded, SETTINGS[name])
            continue
        live, frozen = ask_pyradiomics(loaded, SETTINGS[name]), oracle.values[case.name, name]
        assert list(live) == list(frozen)
        for eigen, tolerance in ((True, 1), (False, 1e-3)):
            part = [n for n in frozen if n.endswith("_MCC") == eigen]
            found += differences({n: live[n] for n in part}, {n: frozen[n] for n in part}, name, tolerance)
    assert not found, "\n".join([f"{case.source}: {case.name}", *found])
