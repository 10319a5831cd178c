"""Pages in headless Chromium: what a test needs to open one and to know what went wrong in it.

Use it as::

    from browser import browser, opened  # `browser` is a fixture: import it into the test module

    def test_page(browser, tmp_path):
        with opened(browser, (tmp_path / "page.html").as_uri(), width=390) as visit:
            visit.page.keyboard.press("PageDown")
            visit.check()  # console, requests, pictures, width

Tests skip, with a reason, where there is no Chromium.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = 1280, 390
"""Widths in px that every page is tried at."""


@dataclass(frozen=True)
class Visit:
    """One page and what it complained about so far."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Fail on console errors, failed requests, pictures that are not there, and sideways scrolling."""
        assert self.complaints == []
        assert self.broken_pictures() == []
        assert self.overflow_px() <= 0

    def wait_until(self, expression: str, *, tries: int = 500) -> None:
        """Wait for a JavaScript expression to hold; playwright's wait_for_function is stopped by our pages' CSP."""
        for _ in range(tries):
            if self.page.evaluate(f"() => Boolean({expression})"):
                return
            self.page.wait_for_timeout(20)
        pytest.fail(f"never came true: {expression}; said so far: {self.complaints}")

    def broken_pictures(self) -> list[str]:
        """Alternative texts of pictures that did not load."""
        self.page.evaluate("() => Promise.all([...document.images].map(i => i.decode().catch(() => null)))")
        return self.page.evaluate("() => [...document.images].filter(i => !(i.naturalWidth > 0)).map(i => i.alt)")

    def overflow_px(self) -> int:
        """By how much the page is wider than the window."""
        return self.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, one for a test module."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed, so no page can be opened")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield running
        running.close()


@contextmanager
def opened(
    browser: Any, url: str, *, width: int = DESKTOP, height: int = 900, scheme: str = "light", **context: Any
) -> Iterator[Visit]:
    """Open an address in a window of its own; `context` goes to playwright's `new_context`."""
    window = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **context)
    try:
        page = window.new_page()
        visit = Visit(page)
        said = visit.complaints
        page.on("console", lambda m: said.append(f"console {m.type}: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: said.append(f"page error: {error}"))
        page.on("requestfailed", lambda r: said.append(f"request failed: {r.url[:200]}"))
        page.on("response", lambda r: said.append(f"status {r.status}: {r.url[:200]}") if r.status >= 400 else None)
        page.goto(url, wait_until="load")
        yield visit
    finally:
        window.close()
