"""``review`` in a real browser, and ``extract --reviewed`` on what was said there."""

import csv
import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, browser, opened
from extraction.tiny_cohorts import make_cohort, write_mask
from factories import heed_interrupts
from typer.testing import CliRunner

from radiomics_talent.cli import app
from radiomics_talent.cohort.manifest import load_cohort
from radiomics_talent.cohort.review import create_review, gather_evidence, load_review, record_verdict, review_path

__all__ = ["browser"]

FAST = "featureClass: {firstorder: [Mean, Energy]}\nsetting: {binWidth: 10}\n"
MAIN = "from radiomics_talent.cli import main; main()"


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    make_cohort(tmp_path / "data")
    (tmp_path / "fast.yaml").write_text(FAST, encoding="utf-8")
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def extract(trial: Path, *more: object, out: str = "run"):
    cohort = trial / "data" / "cohort.csv"
    return run(
        "extract", cohort, "--config", trial / "fast.yaml", "--out", trial / out, "--jobs", 1, "--timeout", 0, *more
    )


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def say(trial: Path, *decisions: str) -> Path:
    """Give these verdicts to the first lesions."""
    cohort = load_cohort(trial / "data" / "cohort.csv")
    file = create_review(review_path(cohort.path)).path
    for lesion, decision in zip(cohort.lesions, decisions, strict=False):
        comment = "=vessel" if decision == "reject" else ""
        record_verdict(file, lesion, gather_evidence(lesion), decision, comment=comment, reviewer="AB")
    return file


@contextmanager
def served(trial: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program as a user starts it, and the address that it prints."""
    arguments = ["review", str(trial / "data" / "cohort.csv"), "--no-browser", *more]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", MAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    try:
        assert "6 lesions to review" in process.stdout.readline()
        yield process, process.stdout.readline().strip()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=30)
    assert process.returncode == 0, complained
    return said.strip(), complained


def is_shown(page, name: str) -> None:
    """Wait until a lesion is there with its picture."""
    page.wait_for_function(
        "n => document.getElementById('name').textContent === n"
        " && document.getElementById('wait').textContent === ''"
        " && document.querySelector('#viewer.is-live') !== null",
        arg=name,
    )


def states(page) -> list[str]:
    return page.eval_on_selector_all("#list .badge", "nodes => nodes.map(n => n.textContent)")


def say_and_wait(page, key: str, text: str) -> None:
    page.keyboard.press(key)
    page.wait_for_function("t => document.getElementById('status').textContent.includes(t)", arg=text)


def test_a_review_by_keyboard_and_an_extraction_of_what_was_accepted(browser, trial):
    with served(trial, "--reviewer", "Ä. B.") as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", address)
        with opened(browser, address) as visit:
            page = visit.page
            is_shown(page, "p1/L0")
            assert "token" not in page.url
            page.keyboard.press("a")
            is_shown(page, "p2/L0")
            # Typing is not judging.
            page.keyboard.press("/")
            page.keyboard.type("a rather round vessel")
            assert states(page) == ["accepted", *["open"] * 5]
            # A comment that is not saved yet stays while the reader looks elsewhere.
            page.keyboard.press("Escape")
            page.keyboard.press("n")
            is_shown(page, "p2/L1")
            assert page.input_value("#comment") == ""
            page.keyboard.press("p")
            is_shown(page, "p2/L0")
            assert page.input_value("#comment") == "a rather round vessel"
            say_and_wait(page, "r", "rejected, saved")
            page.keyboard.press("j")
            is_shown(page, "p2/L1")
            page.keyboard.press("Tab")
            page.keyboard.type("ask")
            page.keyboard.press("Control+Enter")
            page.wait_for_function("() => document.getElementById('unsaved').textContent === ''")
            assert page.evaluate("document.activeElement.id") == "name"
            page.keyboard.press("a")
            is_shown(page, "p3/L0")
            page.keyboard.press("a")
            is_shown(page, "p3/L1")
            page.keyboard.press("k")
            is_shown(page, "p3/L0")
            say_and_wait(page, "u", "open again, saved")
            before = states(page)
            assert before == ["accepted", "rejected", "accepted", "open", "open", "open"]
            page.reload()
            is_shown(page, "p3/L0")
            assert states(page) == before
            page.click("#list li:nth-child(2) button")
            is_shown(page, "p2/L0")
            assert page.input_value("#comment") == "a rather round vessel"
            visit.check()
        said, complained = stop(process)
        assert said.splitlines()[-1] == "2 accepted, 1 rejected, 3 open"
        assert complained == ""
    verdict = load_review(trial / "data" / "cohort.review.sqlite").latest["p2", "L1"]
    assert (verdict.comment, verdict.reviewer) == ("ask", "Ä. B.")
    done = extract(trial, "--reviewed")
    assert done.exit_code == 1
    assert [(x["patient_id"], x["lesion_id"]) for x in table(trial / "run" / "features.csv")] == [
        ("p1", "L0"),
        ("p2", "L1"),
    ]


def test_a_click_with_the_mouse_and_the_finish_button(browser, trial):
    with served(trial) as (process, address):
        with opened(browser, address) as visit:
            is_shown(visit.page, "p1/L0")
            visit.page.click("#reject")
            visit.page.wait_for_function("() => document.getElementById('state').textContent === 'rejected'")
            visit.page.click("#finish")
            visit.page.wait_for_selector("#end:not([hidden])")
            assert visit.page.inner_text("#sum") == "0 accepted, 1 rejected, 5 open."
            assert visit.complaints == []
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert said.strip() == "0 accepted, 1 rejected, 5 open"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_page_fits(browser, trial, width, scheme):
    with served(trial) as (_, address), opened(browser, address, width=width, scheme=scheme) as visit:
        is_shown(visit.page, "p1/L0")
        visit.check()


def test_a_key_held_down_judges_one_lesion(browser, trial):
    with served(trial) as (_, address), opened(browser, address) as visit:
        page = visit.page
        is_shown(page, "p1/L0")
        page.keyboard.down("a")
        is_shown(page, "p2/L0")
        page.keyboard.down("a")
        page.keyboard.up("a")
        say_and_wait(page, "r", "rejected, saved")
        assert states(page) == ["accepted", "rejected", *["open"] * 4]


def test_on_a_phone_the_next_lesion_is_in_sight(browser, trial):
    with served(trial) as (_, address), opened(browser, address, width=PHONE, height=700) as visit:
        page = visit.page
        is_shown(page, "p1/L0")
        page.evaluate("document.getElementById('accept').scrollIntoView({block: 'start'})")
        page.click("#accept")
        is_shown(page, "p2/L0")
        top = page.evaluate("document.getElementById('name').getBoundingClientRect().top")
        assert 0 <= top < 350
        visit.check()


def test_two_tabs_see_each_other(browser, trial):
    with served(trial) as (_, address), opened(browser, address) as one:
        is_shown(one.page, "p1/L0")
        other = one.page.context.new_page()
        other.goto(address)
        is_shown(other, "p1/L0")
        say_and_wait(other, "r", "rejected, saved")
        one.page.evaluate("window.dispatchEvent(new Event('focus'))")
        one.page.wait_for_function("() => document.getElementById('state').textContent === 'rejected'")
        assert "Changed elsewhere: p1/L0 rejected" in one.page.inner_text("#status")


def test_a_verdict_that_cannot_be_saved_is_loud_and_kept(browser, trial):
    with served(trial) as (_, address), opened(browser, address) as visit:
        page = visit.page
        is_shown(page, "p1/L0")
        page.fill("#comment", "do not lose me")
        page.route(
            "**/api/lesions/0", lambda route: route.abort() if route.request.method == "POST" else route.continue_()
        )
        page.keyboard.press("Escape")
        page.keyboard.press("r")
        page.wait_for_selector("#banner:not([hidden])")
        assert "NOT SAVED: p1/L0, reject: the server does not answer" in page.inner_text("#trouble")
        assert page.input_value("#comment") == "do not lose me"
        assert states(page)[0] == "open"
        assert page.evaluate("() => !window.dispatchEvent(new Event('beforeunload', {cancelable: true}))")
        page.unroute("**/api/lesions/0")
        page.click("#retry")
        page.wait_for_selector("#banner", state="hidden")
        assert states(page)[0] == "rejected"
        assert not page.evaluate("() => !window.dispatchEvent(new Event('beforeunload', {cancelable: true}))")
        assert load_review(trial / "data" / "cohort.review.sqlite").latest["p1", "L0"].comment == "do not lose me"


def test_a_mask_replaced_while_it_is_looked_at_is_shown_again(browser, trial):
    with served(trial) as (_, address), opened(browser, address) as visit:
        page = visit.page
        is_shown(page, "p1/L0")
        write_mask(trial / "data", "p1_0", (1, 1, 1), 6)
        page.keyboard.press("a")
        page.wait_for_selector("#banner:not([hidden])")
        assert "changed on disk since they were shown" in page.inner_text("#trouble")
        assert page.is_hidden("#retry")
        is_shown(page, "p1/L0")
        page.keyboard.press("a")
        is_shown(page, "p2/L0")
        assert page.is_hidden("#banner")
        assert states(page)[0] == "accepted"


def test_a_lesion_without_a_picture_can_only_be_rejected(browser, trial):
    (trial / "data" / "p1_0.nii.gz").unlink()
    with served(trial) as (_, address), opened(browser, address) as visit:
        page = visit.page
        page.wait_for_function("() => document.getElementById('wait').textContent.startsWith('No picture')")
        assert "missing-file" in page.inner_text("#findings")
        say_and_wait(page, "a", "cannot be accepted")
        say_and_wait(page, "r", "rejected, saved")
        visit.check()


def test_only_accepted_lesions_are_extracted_and_the_others_told(trial):
    say(trial, "accept", "reject", "accept", "accept", "accept", "reject")
    write_mask(trial / "data", "p3_0", (1, 1, 1), 4)
    done = extract(trial, "--reviewed")
    assert done.exit_code == 1
    assert [x["lesion_id"] for x in table(trial / "run" / "features.csv")] == ["L0", "L1", "L1"]
    (failure,) = table(trial / "run" / "failures.csv")
    assert (failure["row"], failure["patient_id"], failure["stage"]) == ("5", "p3", "review")
    assert "changed since the review of" in failure["sentence"]
    excluded = table(trial / "run" / "excluded.csv")
    assert [(x["row"], x["comment"], x["reviewer"]) for x in excluded] == [
        ("3", "'=vessel", "AB"),
        ("7", "'=vessel", "AB"),
    ]
    record = json.loads((trial / "run" / "provenance.json").read_text(encoding="utf-8"))
    assert [(x["patient_id"], x["lesion_id"], x["comment"]) for x in record["excluded_by_review"]] == [
        ("p2", "L0", "=vessel"),
        ("p3", "L2", "=vessel"),
    ]
    assert all(x["time_utc"] for x in record["excluded_by_review"])
    assert [x["row"] for x in record["lesions"]] == [2, 4, 5, 6]
    assert "2 left out: rejected in the review, see" in done.stdout
    assert "row 3 (p2/L0): =vessel" in done.stdout


def test_rejected_lesions_are_no_failures_and_a_run_goes_on(trial):
    say(trial, "accept", "reject", "accept", "reject", "reject")
    assert extract(trial, "--reviewed").exit_code == 1
    (failure,) = table(trial / "run" / "failures.csv")
    assert "the lesion was not reviewed; look at it with" in failure["sentence"]
    say(trial, "accept", "reject", "accept", "reject", "reject", "accept")
    done = extract(trial, "--reviewed", "--json")
    assert done.exit_code == 0
    record = json.loads(done.stdout)
    assert (record["lesions"], record["resumed"], record["failures"]) == (3, 2, [])
    assert [x["row"] for x in record["excluded_by_review"]] == [3, 5, 6]
    # Without --reviewed the same folder takes all, and nothing says that a review was asked for.
    done = extract(trial, "--json")
    assert json.loads(done.stdout)["resumed"] == 3
    assert not (trial / "run" / "excluded.csv").exists()
    assert json.loads((trial / "run" / "provenance.json").read_text(encoding="utf-8"))["excluded_by_review"] is None


def test_everything_may_be_rejected(trial):
    say(trial, *["reject"] * 6)
    done = extract(trial, "--reviewed")
    assert done.exit_code == 0, done.output
    assert "0 lesions with" in done.stdout
    assert len(table(trial / "run" / "excluded.csv")) == 6


def test_a_dry_run_of_reviewed_lesions(trial):
    say(trial, "accept", "reject", "accept")
    done = run("extract", trial / "data" / "cohort.csv", "--config", trial / "fast.yaml", "--dry-run", "--reviewed")
    assert done.exit_code == 1
    assert "2 lesions can be extracted, 3 would fail" in done.stdout
    assert "1 left out: rejected in the review\n" in done.stdout
    assert done.stdout.count("would fail: the lesion was not reviewed") == 3


def test_without_a_review_nothing_is_begun(trial):
    done = extract(trial, "--reviewed")
    assert done.exit_code == 2
    assert "there is no review file; make it with `radiomics-talent review COHORT.CSV`" in done.output
    assert not (trial / "run").exists()


def test_the_export(trial):
    say(trial, "accept", "reject")
    done = run("review", trial / "data" / "cohort.csv", "--export", trial / "verdicts.csv")
    assert (done.exit_code, done.output) == (0, f"6 rows: {trial / 'verdicts.csv'}\n")
    assert [x["state"] for x in table(trial / "verdicts.csv")] == ["accepted", "rejected", *["open"] * 4]
    before = (trial / "data" / "cohort.csv").read_bytes()
    done = run("review", trial / "data" / "cohort.csv", "--export", trial / "data" / "cohort.csv")
    assert (done.exit_code, "would be overwritten" in done.output) == (2, True)
    assert (trial / "data" / "cohort.csv").read_bytes() == before


def test_an_export_without_a_review_is_wrong_usage(trial):
    done = run("review", trial / "data" / "cohort.csv", "--export", trial / "verdicts.csv")
    assert (done.exit_code, "there is no review file" in done.output) == (2, True)


def test_a_port_in_use_is_wrong_usage(trial):
    with served(trial) as (_, address):
        port = re.search(r":(\d+)/", address)[1]
        done = run("review", trial / "data" / "cohort.csv", "--no-browser", "--port", port)
        assert done.exit_code == 2
        assert f"--port: port {port} cannot be used: Address already in use" in done.output


def test_a_file_that_is_no_review_is_wrong_usage(trial):
    file = trial / "data" / "cohort.review.sqlite"
    sqlite3.connect(file).execute("CREATE TABLE mine (x)").connection.close()
    done = run("review", trial / "data" / "cohort.csv", "--no-browser")
    assert (done.exit_code, "no review file; move it away" in done.output) == (2, True)
