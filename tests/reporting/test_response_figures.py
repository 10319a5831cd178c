"""Waterfall and spider plot: what is drawn, and for whom."""

import pytest
from matplotlib.colors import to_hex

from radiomics_talent.cohort.recist import assess_patient
from radiomics_talent.cohort.visit_response import FollowedLesion, PatientCourse, Reading, ResponseRules
from radiomics_talent.reporting.response_figures import COLOURS, draw_spider, draw_waterfall, write_response_figures


def patient(name, *diameters, new=None):
    days = (0.0, 56.0, 112.0, 168.0)
    readings = tuple(Reading(d, mm) for d, mm in zip(days, diameters, strict=False))
    lesions = [FollowedLesion("T1", "target", readings)]
    if new is not None:
        lesions.append(FollowedLesion("X", "new", (Reading(new, None, "present"),)))
    return assess_patient(PatientCourse(name, tuple(lesions)), ResponseRules())


@pytest.fixture
def responses():
    return [
        patient("shrinks", 50, 40, 25, 25),
        patient("stays", 50, 50, 50),
        patient("grows", 50, 70),
        patient("gone", 50, 0, 0),
        patient("new lesion", 50, 45, 40, new=168.0),
        patient("never seen", 50),
        patient("$id_1", 50, 48),
    ]


def test_waterfall(responses):
    (axes,) = draw_waterfall(responses).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([40, 0, -4, -20, -50, -100])
    assert to_hex(axes.patches[0].get_facecolor()).upper() == COLOURS["PD"]
    assert axes.get_xticklabels()[0].get_text() == "grows"
    assert "6 of 7 patients; 1 without a whole sum" in axes.get_title(loc="left")
    assert axes.get_ylabel().endswith("(%)")
    low, high = axes.get_ylim()
    assert low < -100
    assert high > 40


def test_spider(responses):
    (axes,) = draw_spider(responses).axes
    crosses = [line for line in axes.lines if line.get_marker() == "X"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses] == [(56, 40), (168, -20)]
    curves = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(curves) == 6
    assert list(curves[0].get_ydata()) == [0, -20, -50, -50]
    assert "(days)" in axes.get_xlabel()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["CR", "PR", "SD", "PD", "progression"]


def test_written(responses, tmp_path):
    waterfall, spider = tmp_path / "w.png", tmp_path / "s.png"
    write_response_figures(responses, waterfall, spider)
    assert waterfall.read_bytes().startswith(b"\x89PNG")
    assert spider.read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("n", [0, 1, 150])
def test_any_number_of_patients(tmp_path, n):
    made = [patient(f"patient {i}", 50, 50 - i % 40) for i in range(n)] or [patient("unseen", 50)]
    write_response_figures(made, tmp_path / "w.png", tmp_path / "s.png")
    (axes,) = draw_waterfall(made).axes
    assert len(axes.patches) == n
    assert bool(axes.get_xticklabels()) == (n == 1)
