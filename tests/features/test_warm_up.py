"""The native engine is compiled once a machine: by whoever comes first, for every process after that."""

import json
import os
import subprocess
import sys

import pytest

from radiomics_talent.features import warm_up

WARM_UP = """
import json, sys
from radiomics_talent.features.warm_up import is_warm, warm_up
before, told = is_warm(), []
seconds = warm_up(lambda: told.append(1))
from radiomics_talent.imaging.compiled import n_compiled
found = {"before": before, "after": is_warm(), "told": len(told), "seconds": seconds, "compiled": n_compiled()}
print(json.dumps(found))
"""
EVERY_SETTING = """
import numpy as np, SimpleITK as sitk
from radiomics_talent import ExtractionSettings, extract
from radiomics_talent.imaging.compiled import n_compiled
classes = dict.fromkeys(("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm"))
images = {t: {} for t in ("Original", "Wavelet", "Square", "Gradient", "LBP2D", "LBP3D")} | {"LoG": {"sigma": [2]}}
for dtype in (np.uint8, np.int16, np.int32, np.float32, np.float64):
    image = sitk.GetImageFromArray(np.random.default_rng(1).normal(90, 25, (12, 20, 21)).round().astype(dtype))
    mask = sitk.GetImageFromArray(np.pad(np.ones((4, 9, 8), np.uint8), ((4, 4), (5, 6), (7, 6))))
    for setting in ({}, {"resampledPixelSpacing": [2, 2, 2]}, {"force2D": True, "binCount": 16}, {"preCrop": True},
                    {"symmetricalGLCM": False, "gldm_a": 2}, {"weightingNorm": "manhattan", "distances": [1, 3]}):
        asked = {"imageType": images, "featureClass": classes, "setting": setting}
        extract(image, mask, ExtractionSettings.model_validate(asked))
    for spacing, kind in (([0, 0, 0], "linear"), ([1.5, 1.5, 0], "linear"), ([2, 2, 2], "cubic-spline")):
        asked = {"interpolation": {"spacing_mm": spacing, "interpolator": kind}, "discretisation": {"bin_count": 16},
                 "aggregation": ["2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb"]}
        extract(image, mask, ExtractionSettings.model_validate({"ibsi": asked}))
print(n_compiled())
"""


def environment(folder):
    return {**os.environ, "NUMBA_CACHE_DIR": str(folder / "numba"), "XDG_CACHE_HOME": str(folder / "cache")}


def start(code, folder):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code], env=environment(folder), stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_two_first_runs_at_once_compile_once_and_nothing_is_left_for_later(tmp_path):
    both = [start(WARM_UP, tmp_path) for _ in range(2)]
    first, second = sorted((json.loads(one.communicate()[0]) for one in both), key=lambda r: -r["compiled"])
    assert first["compiled"] > 10
    assert second["compiled"] == 0
    assert (first["before"], first["after"], first["told"]) == (False, True, 1)
    assert second["after"]
    third = json.loads(start(WARM_UP, tmp_path).communicate()[0])
    assert third == {"before": True, "after": True, "told": 0, "seconds": 0.0, "compiled": 0}
    assert int(start(EVERY_SETTING, tmp_path).communicate()[0]) == 0


def test_a_stamp_without_its_machine_code_is_not_believed(tmp_path, monkeypatch):
    stamp = tmp_path / "stamp.json"
    monkeypatch.setattr(warm_up, "_stamp", lambda: stamp)
    assert not warm_up.is_warm()
    code = tmp_path / "kernel.nbi"
    code.touch()
    stamp.write_text(json.dumps([str(code)]), encoding="utf-8")
    assert warm_up.is_warm()
    code.unlink()
    assert not warm_up.is_warm()
    stamp.write_text("{damaged", encoding="utf-8")
    assert not warm_up.is_warm()


def test_the_stamp_depends_on_the_source_and_the_machine(monkeypatch):
    warm_up._stamp.cache_clear()
    here = warm_up._stamp()
    warm_up._stamp.cache_clear()
    monkeypatch.setattr(warm_up, "_processor", lambda: "another")
    assert warm_up._stamp() != here
    warm_up._stamp.cache_clear()
