"""What families and methods share is counted once a lesion, and never for another one."""

import numpy as np
import pytest
from features.ibsi.drawn_lesions import of_levels

from radiomics_talent.feature_dictionary import ibsi_names
from radiomics_talent.features.ibsi import glcm, gldzm, glrlm, glszm, neighbour_counts, ngldm, ngtdm, zones
from radiomics_talent.features.ibsi.aggregation import DIRECTED, UNDIRECTED
from radiomics_talent.features.ibsi.lesion import once_a_lesion

LEVELS = np.random.default_rng(0).integers(0, 4, (3, 5, 6))
FAMILIES = {
    "glcm": (glcm.glcm_features, DIRECTED),
    "glrlm": (glrlm.glrlm_features, DIRECTED),
    "glszm": (glszm.glszm_features, UNDIRECTED),
    "gldzm": (gldzm.gldzm_features, UNDIRECTED),
    "ngtdm": (ngtdm.ngtdm_features, UNDIRECTED),
    "gldm": (ngldm.ngldm_features, UNDIRECTED),
}
VALUES = [(family, method) for family, (_, methods) in FAMILIES.items() for method in methods]


def values(lesion, family, method):
    return FAMILIES[family][0](lesion, method, ibsi_names()[family])


def test_it_is_kept_by_lesion_and_way():
    calls = []
    count = once_a_lesion(lambda lesion, in_slices: calls.append((lesion.n_levels, in_slices)) or len(calls))
    one, other = of_levels([[1]]), of_levels([[2]])
    assert [count(one, True), count(one, False), count(one, True), count(other, True)] == [1, 2, 1, 3]
    assert calls == [(1, True), (1, False), (2, True)]


@pytest.mark.parametrize(
    ("module", "name", "families", "calls"),
    [
        (glcm, "count_pairs", ["glcm"], 3 + 1),  # slices, and the volume
        (glrlm, "run_matrices", ["glrlm"], 3 + 1),
        (zones, "zones_of_voxels", ["glszm", "gldzm"], 1 + 1),
        (neighbour_counts, "count_neighbours", ["ngtdm", "gldm"], 3 + 1),
    ],
)
def test_all_methods_count_once_in_slices_and_once_in_the_volume(monkeypatch, module, name, families, calls):
    seen = []
    original = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a, **k: (seen.append(name), original(*a, **k))[1])
    lesion = of_levels(LEVELS)
    for family, method in VALUES:
        if family in families:
            values(lesion, family, method)
    assert len(seen) == calls


@pytest.mark.parametrize(("family", "method"), VALUES)
def test_a_method_after_all_others_gives_what_it_gives_alone(family, method):
    lesion = of_levels(LEVELS)
    for other in VALUES:
        values(lesion, *other)
    np.testing.assert_equal(values(lesion, family, method), values(of_levels(LEVELS), family, method))
