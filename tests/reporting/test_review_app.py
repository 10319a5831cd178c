import json
import warnings
from pathlib import Path

import pytest
from extraction.tiny_cohorts import make_cohort, make_settings, write_mask

from radiomics_talent.cohort.manifest import CohortTable
from radiomics_talent.cohort.review import create_review, load_review, record_verdict, review_path
from radiomics_talent.errors import ConfigError
from radiomics_talent.reporting import review_app as module
from radiomics_talent.reporting.review_app import TOKEN_HEADER, ReviewSession, review_app

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have httpx2; httpx serves as well
    from starlette.testclient import TestClient

PORT = 8765
HOST = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def cohort(tmp_path: Path) -> CohortTable:
    return make_cohort(tmp_path / "data")


@pytest.fixture
def session(cohort: CohortTable) -> ReviewSession:
    file = create_review(review_path(cohort.path)).path
    return ReviewSession(cohort, file, make_settings(), reviewer="AB")


@pytest.fixture
def ends() -> list[str]:
    return []


@pytest.fixture
def stranger(session, ends) -> TestClient:
    return TestClient(review_app(session, PORT, finish=lambda: ends.append("end")), base_url=HOST)


@pytest.fixture
def client(stranger, session) -> TestClient:
    stranger.headers[TOKEN_HEADER] = session.token
    return stranger


def verdict(client: TestClient, index: int, decision: str, *, known: int = 0, comment: str = "", seen: str = ""):
    seen = seen or client.get(f"/api/lesions/{index}").json()["seen"]
    body = {"decision": decision, "comment": comment, "seen": seen, "known": known}
    return client.post(f"/api/lesions/{index}", json=body)


ADDRESSES = ("/", "/viewer.js", "/review.js", "/api/state", "/api/lesions/0", "/nonsense", "/?token=wrong", "/?token=")


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_the_token_nothing_is_told(stranger, address):
    answer = stranger.get(address)
    assert answer.status_code == 403
    assert "p1" not in answer.text


def test_the_first_visit_gives_a_cookie_that_reads_and_does_not_write(stranger, session):
    page = stranger.get(f"/?token={session.token}")
    assert page.status_code == 200
    cookie = page.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/", f"radiomics_review_{PORT}="))
    assert stranger.get("/api/state").status_code == 200
    seen = stranger.get("/api/lesions/0").json()["seen"]
    assert verdict(stranger, 0, "accept", seen=seen).status_code == 403
    assert stranger.post(f"/api/finish?token={session.token}").status_code == 403
    assert session.counts()["accepted"] == 0


def test_the_token_in_an_address_opens_the_page_alone(stranger, session):
    assert stranger.get(f"/api/state?token={session.token}").status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "localhost:80", ""]
)
def test_another_host_is_refused_even_with_the_token(client, host):
    for answer in (client.get("/", headers={"host": host}), client.post("/api/finish", headers={"host": host})):
        assert answer.status_code == 403
        assert answer.text == "this is not the address of the review\n"


def test_localhost_is_answered(client):
    assert client.get("/", headers={"host": f"localhost:{PORT}"}).status_code == 200


def test_a_post_of_another_origin_is_refused(client, ends):
    assert client.post("/api/finish", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/api/finish", headers={"origin": "null"}).status_code == 403
    assert ends == []
    assert client.post("/api/finish", headers={"origin": HOST}).status_code == 200
    assert ends == ["end"]


@pytest.mark.parametrize("address", ["/", "/review.js", "/api/state", "/api/lesions/99", "/nonsense"])
@pytest.mark.parametrize("token", ["right", "wrong"])
def test_every_answer_has_the_headers(client, address, token):
    headers = {} if token == "right" else {TOKEN_HEADER: token}
    answer = client.get(address, headers=headers).headers
    assert answer["cache-control"] == "no-store"
    policy = answer["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "connect-src 'self'", "img-src data: 'self'"):
        assert part in policy
    assert "frame-ancestors 'none'" in policy
    assert answer["referrer-policy"] == "no-referrer"
    assert answer["x-content-type-options"] == "nosniff"


def test_a_lesion_comes_with_picture_and_findings(client):
    lesion = client.get("/api/lesions/0?next=1").json()
    assert lesion["volume"]["mask"]
    assert [set(f) for f in lesion["findings"]] == [{"code", "level", "sentence"}] * len(lesion["findings"])
    assert client.get("/api/lesions/99").status_code == 404


def test_no_address_of_the_page_names_a_patient(client):
    page = client.get("/").text + client.get("/review.js").text
    assert "p1" not in page
    assert "L0" not in page


def test_accept_reject_undo(client, session, cohort):
    state = verdict(client, 0, "accept").json()
    assert state["lesions"][0]["state"] == "accepted"
    state = verdict(client, 1, "reject", comment="vessel").json()
    assert (state["lesions"][1]["state"], state["lesions"][1]["comment"]) == ("rejected", "vessel")
    state = verdict(client, 1, "open", comment="vessel", known=2).json()
    assert state["lesions"][1]["state"] == "open"
    assert state["replaced"] is None
    assert session.counts() == {"accepted": 1, "rejected": 0, "open": 5, "changed": 0}
    assert load_review(session.verdicts).of(cohort.lesions[0]).reviewer == "AB"


def test_the_later_of_two_tabs_wins_and_is_told(client):
    verdict(client, 0, "accept")
    answer = verdict(client, 0, "reject", known=0).json()
    assert answer["replaced"] == "accept"
    assert answer["lesions"][0]["state"] == "rejected"


def test_a_mask_that_changes_under_the_reader_is_not_accepted_unseen(client, session, cohort):
    seen = client.get("/api/lesions/0").json()["seen"]
    write_mask(cohort.path.parent, "p1_0", (1, 1, 1), 6)
    answer = verdict(client, 0, "accept", seen=seen)
    assert answer.status_code == 409
    assert "changed on disk since they were shown" in answer.json()["error"]
    assert session.counts()["open"] == 6
    again = client.get("/api/lesions/0").json()
    assert again["seen"] != seen
    assert verdict(client, 0, "accept", seen=again["seen"]).status_code == 200


def test_a_verdict_that_is_void_shows_as_changed(session, cohort, client):
    verdict(client, 0, "accept")
    write_mask(cohort.path.parent, "p1_0", (1, 1, 1), 6)
    client.get("/api/lesions/0")
    assert client.get("/api/state").json()["lesions"][0]["state"] == "changed"
    assert session.counts() == {"accepted": 0, "rejected": 0, "open": 5, "changed": 1}


def test_a_lesion_that_cannot_be_read_says_so_and_can_only_be_rejected(client, cohort):
    cohort.lesions[2].mask.write_bytes(b"damaged")
    cohort.lesions[3].image.unlink()
    for index, code in ((2, "mask-unreadable"), (3, "missing-file")):
        lesion = client.get(f"/api/lesions/{index}").json()
        assert lesion["volume"] is None
        assert code in [f["code"] for f in lesion["findings"]]
        refused = verdict(client, index, "accept")
        assert refused.status_code == 409
        assert "cannot be shown cannot be accepted" in refused.json()["error"]
        assert verdict(client, index, "reject").status_code == 200


def test_what_nobody_foresaw_costs_one_lesion(client, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("Secret^Name")

    monkeypatch.setattr(module, "inspect_case", fail)
    lesion = client.get("/api/lesions/0").json()
    assert "unexpected ZeroDivisionError" in lesion["findings"][0]["sentence"]
    assert "Secret" not in json.dumps(lesion)


def test_a_verdict_that_is_not_on_disk_is_an_error(client, monkeypatch):
    def full(*_, **__):
        raise ConfigError("cannot be read or written (database or disk is full)")

    monkeypatch.setattr(module, "record_verdict", full)
    answer = verdict(client, 0, "accept")
    assert answer.status_code == 503
    assert "disk is full" in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", '{"decision": "accept"}', '{"decision": 1, "comment": "", "seen": "", "known": 0}', "x" * 70_000],
    ids=["empty", "cut", "list", "parts", "types", "long"],
)
def test_a_body_that_is_no_verdict_is_refused(client, body):
    assert client.post("/api/lesions/0", content=body).status_code == 400


def test_an_unknown_decision_is_not_kept(client, session):
    assert verdict(client, 0, "maybe").status_code == 503
    assert session.counts()["open"] == 6


def test_scans_are_read_once_and_few_are_kept(session, monkeypatch):
    read = []
    inspect_scan = module.inspect_scan
    monkeypatch.setattr(module, "inspect_scan", lambda *a: read.append(a[0].image.name) or inspect_scan(*a))
    for index in range(6):
        session.load(index)
        assert session.shown(index) == session.load(index)
    assert read == ["p1.nii.gz", "p2.nii.gz", "p3.nii.gz"]
    assert len(session._scans) == 2


def test_names_are_text_to_the_page(cohort, tmp_path):
    session = ReviewSession(cohort, create_review(tmp_path / "x.sqlite").path, make_settings(), reviewer="<b>AB</b>")
    client = TestClient(review_app(session, PORT, finish=list), base_url=HOST, headers={TOKEN_HEADER: session.token})
    assert "&lt;b&gt;AB" in client.get("/").text


def test_verdicts_of_another_program_are_seen(client, session, cohort):
    evidence = module.gather_evidence(cohort.lesions[5])
    record_verdict(session.verdicts, cohort.lesions[5], evidence, "reject", comment="elsewhere")
    assert client.get("/api/state").json()["lesions"][5]["comment"] == "elsewhere"
