"""Both engines on a share of the lesions: which ones, what is recorded, and what happens when they disagree."""

import json
from dataclasses import replace
from unittest import mock

import pytest

from radiomics_talent.cohort.manifest import CohortTable
from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.extraction.verification import DisagreementError, rows_to_verify
from radiomics_talent.features import engine
from radiomics_talent.features.native import compute
from radiomics_talent.settings import with_engine


def records(out):
    return json.loads((out / "provenance.json").read_text(encoding="utf-8"))["lesions"]


def test_the_share_is_of_the_lesions_and_at_least_one(cohort):
    assert rows_to_verify(cohort, 0) == frozenset()
    assert len(rows_to_verify(cohort, 0.01)) == 1
    assert len(rows_to_verify(cohort, 0.5)) == 3
    assert rows_to_verify(cohort, 1) == {lesion.row for lesion in cohort.lesions}


def test_the_choice_depends_on_names_alone(cohort):
    chosen = {lesion.key for lesion in cohort.lesions if lesion.row in rows_to_verify(cohort, 0.3)}
    turned = CohortTable(tuple(replace(x, row=n) for n, x in enumerate(reversed(cohort.lesions), start=2)), cohort.path)
    again = {lesion.key for lesion in turned.lesions if lesion.row in rows_to_verify(turned, 0.3)}
    assert chosen == again


@pytest.mark.parametrize("name", ["native", "reference"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_verified_run_says_how_near_the_engines_are(cohort, settings, tmp_path, name, jobs):
    pytest.importorskip("radiomics")
    out = tmp_path / "run"
    result = run_extraction(cohort, with_engine(settings, name), out, jobs=jobs, verify=1.0)
    assert (result.n_done, result.n_verified, result.failures) == (6, 6, ())
    assert 0 <= result.largest_difference <= 1e-9
    for record in records(out):
        assert record["verification"]["largest"] <= 1e-9


def test_lesions_of_an_earlier_run_are_verified_when_that_is_asked_for(cohort, settings, tmp_path):
    pytest.importorskip("radiomics")
    out = tmp_path / "run"
    native = with_engine(settings, "native")
    assert run_extraction(cohort, native, out).n_verified == 0
    with mock.patch.object(engine, "extract", side_effect=AssertionError("nothing is computed again")):
        again = run_extraction(cohort, native, out, verify=0.5)
    assert (again.n_resumed, again.n_verified) == (6, 3)
    with mock.patch.object(engine, "verify", side_effect=AssertionError("nor verified twice")):
        assert run_extraction(cohort, native, out, verify=0.5).n_verified == 3


def test_the_run_stops_where_the_engines_disagree(cohort, settings, tmp_path):
    pytest.importorskip("radiomics")
    out = tmp_path / "run"
    real = compute.compute

    def wrong(prepared, settings):
        values, warnings, timings = real(prepared, settings)
        return values | {"original_glcm_Contrast": values["original_glcm_Contrast"] * (1 + 1e-8)}, warnings, timings

    native = with_engine(settings, "native")
    sentence = (
        r"p\d/L\d: the engines disagree in 1 feature by more than 1e-09 of the value, first original_glcm_Contrast"
    )
    with mock.patch.object(compute, "compute", wrong), pytest.raises(DisagreementError, match=sentence):
        run_extraction(cohort, native, out, verify=1.0)
    statuses = [record["status"] for record in records(out)]
    assert statuses.count("failed") == 6
    assert [r["stage"] for r in records(out)].count("verify") >= 1
    assert [r["stage"] for r in records(out)].count("not-run") >= 1


def test_a_difference_near_zero_is_none(cohort, settings):
    pytest.importorskip("radiomics")
    from radiomics_talent.cohort.case import load_case

    case = load_case(cohort.lesions[0])
    native = with_engine(settings, "native")
    features = dict(engine.extract(case.image, case.voxels, native))
    assert engine.verify(case.image, case.voxels, native, features).beyond == ()
    name = "original_firstorder_Skewness"
    shifted = engine.verify(case.image, case.voxels, native, features | {name: features[name] + 9e-13})
    assert shifted.beyond == ()
    gone = engine.verify(case.image, case.voxels, native, {k: v for k, v in features.items() if k != name})
    assert [b.split(",")[0] for b in gone.beyond] == [f"{name}: absent"]
    undefined = engine.verify(case.image, case.voxels, native, features | {name: float("nan")})
    assert [b.split(":")[0] for b in undefined.beyond] == [name]


def test_verifying_needs_both_engines(cohort, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "is_installed", lambda name: name == "native")
    native = with_engine(settings, "native")
    with pytest.raises(
        ConfigError, match=r"^--verify needs PyRadiomics, which is not installed; `radiomics-talent doc"
    ):
        run_extraction(cohort, native, tmp_path / "run", verify=0.1)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r"^engine: reference needs PyRadiomics"):
        run_extraction(cohort, with_engine(settings, "reference"), tmp_path / "run")
    with pytest.raises(ConfigError, match="--engine fast: unknown; give native, reference or auto"):
        with_engine(settings, "fast")
