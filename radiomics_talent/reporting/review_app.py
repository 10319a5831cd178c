"""The local page on which a researcher accepts or rejects lesions: an application for 127.0.0.1 and one browser.

Names of patients are in what the page shows, never in an address: lesions have index numbers there. Every request
needs the session's token, by cookie to read and by header to write, and the Host that the server listens on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
from collections import OrderedDict
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from radiomics_talent.cohort.case import inspect_case, inspect_scan
from radiomics_talent.cohort.review import Evidence, gather_evidence, load_review, record_verdict, state_of
from radiomics_talent.errors import ConfigError, TalentError
from radiomics_talent.findings import Finding
from radiomics_talent.reporting.html import page_text
from radiomics_talent.reporting.viewer import own_file, viewer_script, viewer_style, viewer_volume

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from radiomics_talent.cohort.case import Case, Scan
    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.settings import ExtractionSettings

_LOG = logging.getLogger(__name__)
TOKEN_HEADER = "x-review-token"  # noqa: S105  # the name of a header
_SCANS_KEPT, _LESIONS_KEPT = 2, 8
_LONGEST_BODY = 65_536
_K = TypeVar("_K")
_V = TypeVar("_V")
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data: 'self'; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class StaleVerdictError(ConfigError):
    """A verdict is not about what there is to see: to send it again would not help, to look again would."""


class ReviewSession:
    """One review of one cohort: its lesions as the page needs them, read when they are asked for.

    Parameters
    ----------
    cohort : CohortTable
        The lesions.
    verdicts : Path
        The review file.
    settings : ExtractionSettings
        What lesions are judged by.
    reviewer : str
        Name that goes with each verdict.
    """

    def __init__(
        self, cohort: CohortTable, verdicts: Path, settings: ExtractionSettings, *, reviewer: str = ""
    ) -> None:
        self.lesions: Sequence[Lesion] = cohort.lesions
        self.verdicts = verdicts
        self.settings = settings
        self.reviewer = reviewer
        self.token = secrets.token_urlsafe(32)
        self._evidence: dict[int, Evidence] = {}
        self._scans: OrderedDict[tuple[str, ...], tuple[tuple[Finding, ...], Scan | None]] = OrderedDict()
        self._shown: OrderedDict[tuple[int, str], bytes] = OrderedDict()
        self._readable: dict[tuple[int, str], bool] = {}
        # Two, so that a verdict never waits for a scan that is being read ahead.
        self._loading, self._saving = threading.Lock(), threading.Lock()

    def state(self) -> dict[str, Any]:
        """Return how every lesion stands, as the list of the page shows it."""
        review = load_review(self.verdicts)
        known: dict[Path, str] = {}
        rows = []
        for index, lesion in enumerate(self.lesions):
            verdict = review.of(lesion)
            if verdict is not None and index not in self._evidence:
                self._evidence[index] = gather_evidence(lesion, known=known)
            rows.append(
                {
                    "name": lesion.key,
                    "state": state_of(verdict, self._evidence.get(index)),
                    "comment": verdict.comment if verdict else "",
                    "number": verdict.number if verdict else 0,
                    "reviewer": verdict.reviewer if verdict else "",
                    "time": verdict.time_utc if verdict else "",
                }
            )
        return {"lesions": rows, "reviewer": self.reviewer}

    def counts(self) -> dict[str, int]:
        """Count lesions by state."""
        states = [row["state"] for row in self.state()["lesions"]]
        return {name: states.count(name) for name in ("accepted", "rejected", "open", "changed")}

    def shown(self, index: int) -> bytes | None:
        """Return a lesion as the page got it before, if its files are still the same; else None."""
        self._evidence[index] = gather_evidence(self.lesions[index])
        return self._shown.get((index, self._evidence[index].digest))

    def load(self, index: int) -> bytes:
        """Read a lesion: picture and findings, as JSON."""
        lesion = self.lesions[index]
        with self._loading:
            evidence = gather_evidence(lesion)
            key = (index, evidence.digest)
            if key not in self._shown:
                findings, volume = self._read(lesion, evidence)
                record = {
                    "seen": evidence.digest,
                    "volume": volume,
                    "findings": [{"code": f.code, "level": f.level, "sentence": f.sentence} for f in findings],
                }
                self._shown[key] = json.dumps(record, separators=(",", ":")).encode()
                self._readable[key] = volume is not None
            self._evidence[index] = evidence
            return _kept(self._shown, key, _LESIONS_KEPT)

    def save(self, index: int, wanted: dict[str, Any]) -> dict[str, Any]:
        """Record a verdict on what the page showed and return the new state.

        Raises
        ------
        StaleVerdictError
            The files are not what was shown, or an unreadable lesion would be accepted.
        ConfigError
            The verdict could not be written.
        """
        lesion = self.lesions[index]
        with self._saving:
            evidence = self._evidence[index] = gather_evidence(lesion)
            if evidence.digest != wanted["seen"]:
                raise StaleVerdictError("mask or scan changed on disk since they were shown; look at the lesion again")
            if wanted["decision"] == "accept" and not self._readable.get((index, evidence.digest)):
                raise StaleVerdictError("a lesion that cannot be shown cannot be accepted; mend it, or reject it")
            before = load_review(self.verdicts).of(lesion)
            record_verdict(
                *(self.verdicts, lesion, evidence, wanted["decision"]),
                comment=wanted["comment"],
                reviewer=self.reviewer,
            )
        replaced = before is not None and before.number != wanted["known"]
        return self.state() | {"replaced": before.decision if before is not None and replaced else None}

    def _read(self, lesion: Lesion, evidence: Evidence) -> tuple[tuple[Finding, ...], dict[str, Any] | None]:
        try:
            findings, case = self._inspect(lesion, evidence)
            return findings, None if case is None else viewer_volume(case.image, case.mask, context_mm=25.0)
        except Exception as error:  # noqa: BLE001  # what nobody foresaw costs this lesion, not the review
            # Without the error's own text, which may quote a header.
            _LOG.debug("unexpected error", exc_info=error)
            sentence = f"cannot be read: unexpected {type(error).__name__}; run check with --debug and report it"
            return (Finding("unreadable-file", sentence, lesion.key, "error"),), None

    def _inspect(self, lesion: Lesion, evidence: Evidence) -> tuple[tuple[Finding, ...], Case | None]:
        key = (*lesion.scan_key, evidence.image_sha256)
        if key not in self._scans:
            self._scans[key] = inspect_scan(lesion, self.settings)
        findings, scan = _kept(self._scans, key, _SCANS_KEPT)
        return (findings, None) if scan is None else inspect_case(lesion, self.settings, scan=scan)


def review_app(session: ReviewSession, port: int, *, finish: Callable[[], None]) -> ASGIApp:
    """Return the application.

    Parameters
    ----------
    session : ReviewSession
        What is reviewed.
    port : int
        Port that the server listens on: part of the only Host that is answered.
    finish : callable
        Called when the page's Finish button was pressed.
    """
    pages = _Pages(session, port, finish)
    routes = [
        Route("/", pages.page),
        Route("/viewer.js", pages.script),
        Route("/review.js", pages.script),
        Route("/api/state", pages.state),
        Route("/api/lesions/{index}", pages.lesion, methods=["GET"]),
        Route("/api/lesions/{index}", pages.verdict, methods=["POST"]),
        Route("/api/finish", pages.end, methods=["POST"]),
    ]
    return _guarded(Starlette(routes=routes, exception_handlers={TalentError: pages.refused}), session.token, port)


class _Pages:
    """What is answered to whom the guard lets in."""

    def __init__(self, session: ReviewSession, port: int, finish: Callable[[], None]) -> None:
        self.session, self.port, self.finish = session, port, finish
        self.turn = asyncio.Lock()
        self.ahead: set[asyncio.Task[None]] = set()

    async def page(self, _: Request) -> Response:
        token, reviewer = self.session.token, self.session.reviewer
        text = page_text("review.html.j2", token=token, reviewer=reviewer, viewer_style=viewer_style())
        answer = HTMLResponse(text)
        answer.set_cookie(_cookie(self.port), token, httponly=True, samesite="strict", path="/")
        return answer

    async def script(self, request: Request) -> Response:
        text = viewer_script() if request.url.path == "/viewer.js" else own_file("review.js")
        return Response(text, media_type="text/javascript")

    async def state(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.session.state))

    async def lesion(self, request: Request) -> Response:
        index = self.number(request.path_params["index"])
        if index is None:
            return _refusal(404, "there is no such lesion")
        body = await run_in_threadpool(self.session.shown, index)
        if body is None:
            async with self.turn:
                # Whoever pages on quickly leaves requests behind that nobody waits for.
                if await request.is_disconnected():
                    return Response(status_code=204)
                body = await run_in_threadpool(self.session.load, index)
        following = self.number(request.query_params.get("next", ""))
        if following is not None:
            task = asyncio.create_task(self.prefetch(following))
            self.ahead.add(task)
            task.add_done_callback(self.ahead.discard)
        return Response(body, media_type="application/json")

    def number(self, text: str) -> int | None:
        """Return the number of a lesion; None for anything else, of any length."""
        return int(text) if text.isdecimal() and len(text) < 10 and int(text) < len(self.session.lesions) else None

    async def prefetch(self, index: int) -> None:
        async with self.turn:
            await run_in_threadpool(self.session.load, index)

    async def verdict(self, request: Request) -> Response:
        index = self.number(request.path_params["index"])
        body = await request.body()
        wanted = _wanted(body) if len(body) <= _LONGEST_BODY else None
        if wanted is None or index is None:
            return _refusal(400, "this is no verdict; reload the page")
        return JSONResponse(await run_in_threadpool(self.session.save, index, wanted))

    async def end(self, _: Request) -> Response:
        counts = await run_in_threadpool(self.session.counts)
        return JSONResponse(counts, background=BackgroundTask(self.finish))

    async def refused(self, _: Request, error: Exception) -> Response:
        return _refusal(409 if isinstance(error, StaleVerdictError) else 503, str(error))


def serve_review(session: ReviewSession, listener: socket.socket) -> None:
    """Answer requests on a bound socket until Ctrl-C (which rises as KeyboardInterrupt) or the Finish button."""

    def finish() -> None:
        server.should_exit = True

    app = review_app(session, listener.getsockname()[1], finish=finish)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=3,
        ws="none",
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])


def _guarded(app: ASGIApp, token: str, port: int) -> ASGIApp:
    """Wrap the application: who may ask, and the headers of every answer."""
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host") not in hosts:
            # A page of another site whose name was made to mean 127.0.0.1 (DNS rebinding).
            answer: ASGIApp = PlainTextResponse("this is not the address of the review\n", status_code=403)
        elif not _is_allowed(scope, headers, token, port):
            answer = PlainTextResponse("open the address that `radiomics-talent review` printed\n", status_code=403)
        else:
            answer = app
        await answer(scope, receive, send_with_headers)

    return guard


def _is_allowed(scope: Scope, headers: dict[str, str], token: str, port: int) -> bool:
    offered = [headers.get(TOKEN_HEADER, "")]
    if scope["method"] in {"GET", "HEAD"}:
        # A cookie, or a link, is sent without the page's doing: neither may write.
        offered.append(_cookie_value(headers.get("cookie", ""), _cookie(port)))
        if scope["path"] == "/":
            offered += parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    elif headers.get("origin", f"http://{headers['host']}") != f"http://{headers['host']}":
        return False
    return any(secrets.compare_digest(text.encode(), token.encode()) for text in offered)


def _cookie(port: int) -> str:
    # Browsers share cookies between the ports of a host: two reviews must not take each other's.
    return f"radiomics_review_{port}"


def _cookie_value(header: str, name: str) -> str:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _wanted(body: bytes) -> dict[str, Any] | None:
    """Return a verdict as the page sends it; None when it is something else."""
    kinds = {"decision": str, "comment": str, "seen": str, "known": int}
    try:
        wanted = json.loads(body)
    except ValueError:
        return None
    if not isinstance(wanted, dict) or not all(isinstance(wanted.get(k), kind) for k, kind in kinds.items()):
        return None
    return wanted


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status_code=status)


def _kept(cache: OrderedDict[_K, _V], key: _K, most: int) -> _V:
    """Return an entry as the newest and let the oldest go."""
    cache.move_to_end(key)
    while len(cache) > most:
        cache.popitem(last=False)
    return cache[key]
