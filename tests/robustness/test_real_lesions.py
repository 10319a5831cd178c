"""Perturbations of real lesions, as talent-perturb makes them: sarcomas on cropped scans, and IBSI's CT phantom."""

import math

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import Lesion, cohort_from_index, write_cohort
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.features import engine
from radiomics_talent.features.table import KEY_COLUMNS
from radiomics_talent.robustness.noise import noise_sd_hu
from radiomics_talent.robustness.perturb import Perturbations
from radiomics_talent.robustness.stability import stability
from radiomics_talent.robustness.versions import VersionTable
from radiomics_talent.robustness_settings import STEPS, PerturbationSettings
from radiomics_talent.settings import ExtractionSettings

pytestmark = pytest.mark.slow

TALENT, IBSI = ExtractionSettings.from_yaml("talent-ct"), ExtractionSettings.from_yaml("ibsi-ct")
PRESET = PerturbationSettings.from_yaml("talent-perturb")


def with_few_versions(number):
    chains = {name: chain.model_copy(update={"versions": number}) for name, chain in PRESET.chains.items()}
    return PRESET.model_copy(update={"chains": chains})


def without_strength():
    none = dict.fromkeys(type(PRESET.strengths).model_fields, 0)
    return PerturbationSettings.model_validate({"strengths": none, "chains": {"all": {"steps": STEPS, "versions": 2}},
                                                "stability": {"chain": "all"}})  # fmt: skip


@pytest.fixture(scope="module")
def cases(shared_data, sts_root, tmp_path_factory):
    """Three sarcomas and the phantom's tumour."""
    path = tmp_path_factory.mktemp("cohort") / "c.csv"
    phantom = shared_data / "ibsi" / "ct_phantom" / "dicom"
    tumour = Lesion(2, "phantom", "1", phantom / "image", next((phantom / "mask").iterdir()), "GTV-1")
    rows = [*write_cohort(cohort_from_index(index_dicom(sts_root), path), path).lesions, tumour]
    assert len(rows) == 4
    return [load_case(row, TALENT) for row in rows]


@pytest.mark.parametrize(("which", "settings"), [(0, TALENT), (-1, IBSI)], ids=["sarcoma-talent-ct", "phantom-ibsi-ct"])
def test_every_version_of_every_chain_has_the_features_of_the_lesion(cases, which, settings):
    plan = Perturbations(with_few_versions(2))
    make = plan.begin(cases[which], settings)
    own = make("original")[0]
    undefined = {name for name, value in own.items() if math.isnan(value)}
    for chain, number in plan.chains.items():
        made = make(chain)
        assert len(made) == number
        for version in made:
            assert list(version) == list(own), chain
            assert {name for name, value in version.items() if math.isnan(value)} == undefined, chain


@pytest.mark.parametrize("settings", [TALENT, IBSI], ids=["talent-ct", "ibsi-ct"])
@pytest.mark.parametrize("which", [0, -1], ids=["sarcoma", "phantom"])
def test_versions_without_strength_are_the_lesion_to_the_bit(cases, which, settings):
    case = cases[which]
    own = engine.extract(case.image, case.voxels, settings)
    for version in Perturbations(without_strength()).begin(case, settings)("all"):
        assert list(version) == list(own)
        assert np.array_equal(list(version.values()), list(own.values()), equal_nan=True)


def test_scans_have_the_noise_of_a_ct(cases):
    for case in cases:
        about = case.voxels.box.padded((20, 20, 6), case.image.GetSize()).cut(case.image)
        assert 3 <= noise_sd_hu(sitk.GetArrayFromImage(about)) <= 60, case.lesion.key


def test_lesions_differ_more_than_their_versions(cases):
    plan = Perturbations(with_few_versions(2))
    made = [(make("original")[0], make("combined")) for make in (plan.begin(case, TALENT) for case in cases)]
    names = tuple(made[0][0])
    keys = pd.DataFrame({name: [str(i) for i in range(len(cases))] for name in KEY_COLUMNS})
    original = np.array([list(own.values()) for own, _ in made])
    combined = np.array([[list(version.values()) for version in versions] for _, versions in made])
    found = stability(VersionTable(keys, names, original, {"combined": combined})).set_index("feature")
    assert np.isfinite(found["icc_1_1"]).all()
    assert (found["remark"] == "").all()
    assert found.loc["original_shape_MeshVolume", "icc_1_1"] > 0.95
    assert found["icc_1_1"].median() > 0.75
