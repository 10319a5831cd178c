"""The page of a scoring, in a real browser."""

import pytest
from browser import DESKTOP, PHONE, browser, opened  # noqa: F401  # a fixture

from radiomics_talent.reporting.score_page import write_score_page
from radiomics_talent.scoring.score import score
from radiomics_talent.scoring.scored_cases import scored_cases


@pytest.fixture(scope="module")
def scored(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("scored") / "score"
    return out, score(study.model, study.new, out)


@pytest.fixture(scope="module")
def page(scored):
    out, report = scored
    return write_score_page(report, scored_cases(report, out), out / "report.html")


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_whole(browser, page, width, scheme):  # noqa: F811
    with opened(browser, page.as_uri(), width=width, scheme=scheme) as visit:
        visit.check()
        assert visit.page.locator(".patient").count() == 2


def test_the_viewer_scrolls_by_key_and_by_wheel(browser, page):  # noqa: F811
    with opened(browser, page.as_uri()) as visit:
        viewer = visit.page.locator(".viewer").first
        viewer.scroll_into_view_if_needed()
        shown = "Number(document.querySelector('.viewer').dataset.slice)"
        visit.wait_until(f"{shown} > 0")
        start = visit.page.evaluate(f"() => {shown}")
        viewer.locator(".viewer-stage").focus()
        visit.page.keyboard.press("ArrowUp")
        visit.wait_until(f"{shown} !== {start}")
        by_key = visit.page.evaluate(f"() => {shown}")
        viewer.locator(".viewer-stage").hover()
        visit.page.mouse.wheel(0, 120)
        visit.wait_until(f"{shown} !== {by_key}")
        visit.check()


def test_the_numbers_are_those_of_the_report(browser, page, scored):  # noqa: F811
    _, report = scored
    with opened(browser, page.as_uri()) as visit:
        text = visit.page.locator("main").inner_text()
    assert report.notice in text
    for patient in report.patients:
        assert f"{patient.score:.3f}" in text
        assert f"{patient.interval.low:.3f}–{patient.interval.high:.3f}" in text
        assert all(r.sentence in text for r in patient.domain.reasons)
        assert all(f"{c.contribution:+.3f}" in text for c in patient.contributions)


def test_a_hostile_name_stays_a_name(browser, scored, tmp_path):  # noqa: F811
    out, report = scored
    bad = "<script>document.title='owned'</script>"
    patient = report.patients[0].model_copy(update={"patient_id": bad, "warnings": (bad,)})
    spoilt = report.model_copy(update={"patients": (patient,)})
    cases = (
        type(case)(patient, case.lesion, case.case)
        for case in scored_cases(report, out, [report.patients[0].patient_id])
    )
    path = write_score_page(spoilt, cases, tmp_path / "page.html")
    with opened(browser, path.as_uri()) as visit:
        assert visit.page.title() != "owned"
        assert bad in visit.page.locator("h2").all_inner_texts()
        visit.check()
