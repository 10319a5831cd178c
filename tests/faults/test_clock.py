"""The wall clock jumps: it is written down, and nothing depends on it."""

import datetime as dt
import re
import time
from itertools import count
from pathlib import Path

from extraction.tiny_cohorts import make_cohort
from faults.test_damaged_results import SETTINGS, contents

from radiomics_talent.cohort import review
from radiomics_talent.cohort.review import Evidence, create_review, load_review, record_verdict
from radiomics_talent.extraction.run import run_extraction

PACKAGE = Path(review.__file__).parents[1]
DAY = 86_400
# When something was done, for people to read; and names of files that no other has.
WRITTEN_DOWN = {
    "cohort/review.py",
    "extraction/provenance.py",
    "extraction/store.py",
    "features/warm_up.py",
    "scoring/score.py",
}


def test_only_what_writes_the_time_down_asks_for_it():
    asks = re.compile(r"\btime\.time(_ns)?\(|datetime\.(now|utcnow|today)\(|date\.today\(|time\.(local|gm)time\(")
    found = {p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if asks.search(p.read_text("utf-8"))}
    assert found <= WRITTEN_DOWN


def test_a_clock_that_jumps_by_days_changes_no_run(tmp_path, monkeypatch):
    cohort = make_cohort(tmp_path / "data")
    run_extraction(cohort, SETTINGS, tmp_path / "whole", jobs=2, timeout_s=60)
    real, turns = time.time, count()
    monkeypatch.setattr(time, "time", lambda: real() + DAY * (-1) ** next(turns))
    seen = []
    result = run_extraction(
        cohort, SETTINGS, tmp_path / "run", jobs=2, timeout_s=60, progress=lambda p: seen.append(p.seconds)
    )
    assert seen == sorted(seen)
    assert 0 <= result.seconds < DAY / 2
    again = run_extraction(cohort, SETTINGS, tmp_path / "run")
    assert (again.n_resumed, again.failures) == (6, ())
    names = ("features.csv", "features.parquet", "failures.csv")
    assert contents(tmp_path / "run", names) == contents(tmp_path / "whole", names)


def test_the_later_verdict_counts_though_its_clock_says_earlier(tmp_path, monkeypatch):
    cohort = make_cohort(tmp_path / "data")
    path = create_review(tmp_path / "cohort.review.sqlite").path
    lesion, evidence = cohort.lesions[0], Evidence("m", "i", "1", "")
    record_verdict(path, lesion, evidence, "accept")

    class Yesterday(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return dt.datetime.now(tz) - dt.timedelta(days=1)

    monkeypatch.setattr(review, "datetime", Yesterday)
    record_verdict(path, lesion, evidence, "reject")
    verdict = load_review(path).of(lesion)
    assert verdict is not None
    assert verdict.decision == "reject"
