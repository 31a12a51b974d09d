"""The page beside the endpoint: in this process, and in a real browser before the real server."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright
from starlette.applications import Starlette

from benchmarks.sample_face import sample_face
from model.schema import EXPRESSIONS, INTENDED_USE, Box, Deployment
from model.serving.page import page_routes

POINT_RGB = (255, 120, 150)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    not CHROMIUM and os.environ.get("RMTL_TEST_BROWSER") != "required",
    reason="no Chromium here (Debian: chromium)",
)


def get(path: str) -> httpx.Response:
    """What a router of the page alone answers."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=page_routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_the_page_tells_the_intended_use_and_loads_only_what_lies_beside_it() -> None:
    page = get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert INTENDED_USE in page.text
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    scripts = {path: get(path) for path in loaded if path.startswith("web/")}
    assert {path.rpartition(".")[2] for path in scripts} == {"js", "css"}
    assert all(answer.status_code == 200 for answer in scripts.values())
    assert not [text for text in [page.text, *(item.text for item in scripts.values())] if "http" in text]


@pytest.mark.parametrize("path", ["/", "/web/page.js", "/web/page.css"])
def test_a_browser_may_load_and_send_nothing_elsewhere(path: str) -> None:
    rules = get(path).headers
    assert "default-src 'none'" in rules["content-security-policy"]
    assert "unsafe" not in rules["content-security-policy"]
    assert rules["x-content-type-options"] == "nosniff"
    assert "camera=(self)" in rules["permissions-policy"]


@pytest.mark.parametrize("path", ["/web/", "/web/../page.py", "/web/%2e%2e/page.py", "/web/none.js"])
def test_nothing_but_its_files_is_there(path: str) -> None:
    """T44."""
    assert get(path).status_code == 404


@pytest.fixture(scope="module")
def face() -> bytes:
    """A drawn face that the detector finds."""
    with BytesIO() as stream:
        sample_face().resize((480, 480)).save(stream, format="PNG")
        return stream.getvalue()


def count_colour(content: bytes, rgb: tuple[int, int, int]) -> int:
    """Pixels near a colour."""
    image = np.asarray(Image.open(BytesIO(content)).convert("RGB"), dtype=int)
    return int((np.abs(image - rgb).max(axis=2) < 40).sum())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # As root in a container there is no sandbox to be had; the page is our own.
    options = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, endpoint: Deployment) -> Iterator[Page]:
    """The page of the running endpoint; a complaint of the browser or a request to elsewhere fails the test."""
    complaints: list[str] = []
    with browser.new_context(viewport={"width": 1100, "height": 800}) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.extend(elsewhere(request.url, endpoint.url)))
        page.goto(endpoint.url)
        yield page
    assert complaints == []


def elsewhere(address: str, home: str) -> list[str]:
    return [] if address.startswith((home, "blob:", "data:")) else [address]


def upload(page: Page, content: bytes, name: str = "face.png") -> None:
    page.locator("#picture").set_input_files(FilePayload(name=name, mimeType="image/png", buffer=content))


@needs_browser
@pytest.mark.service
def test_without_the_token_the_page_asks_for_it(page: Page, picture: tuple[bytes, list[Box]]) -> None:
    expect(page.locator("#notice")).to_have_text(INTENDED_USE)
    upload(page, picture[0])
    expect(page.locator("#state")).to_have_text("The endpoint asks for its token.")
    expect(page.locator("#faces table")).to_have_count(0)


@needs_browser
@pytest.mark.service
def test_a_picture_is_answered_and_drawn(page: Page, face: bytes, token: str) -> None:
    page.locator("#token").fill(token)
    upload(page, face)
    expect(page.locator("#state")).to_have_text("1 face(s) found")
    rows = page.locator("#faces table tr")
    expect(rows).to_have_count(len(EXPRESSIONS))
    shown = dict(rows.nth(index).inner_text().split("\t")[::2] for index in range(len(EXPRESSIONS)))
    assert set(shown) == set(EXPRESSIONS)
    shares = [float(text.removesuffix(" %")) for text in shown.values()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.5)
    expect(page.locator("#version")).to_contain_text("Model version 7, data dddddddddddd")
    drawn = page.locator("#canvas").screenshot()
    assert count_colour(drawn, POINT_RGB) > 68


@needs_browser
@pytest.mark.service
def test_what_is_no_picture_is_told_and_the_next_one_answered(page: Page, face: bytes, token: str) -> None:
    page.locator("#token").fill(token)
    upload(page, b"hello", "notes.png")
    expect(page.locator("#state")).to_have_class("error")
    expect(page.locator("#faces table")).to_have_count(0)
    upload(page, face)
    expect(page.locator("#faces table")).to_have_count(1)
    expect(page.locator("#state")).not_to_have_class("error")


@needs_browser
@pytest.mark.service
def test_camera_frames_are_answered_until_it_is_stopped(page: Page, token: str) -> None:
    """The browser's made camera shows no face."""
    page.locator("#token").fill(token)
    page.locator("#camera").click()
    expect(page.locator("#state")).to_have_text("No face found")
    expect(page.locator("#camera")).to_have_attribute("aria-pressed", "true")
    page.locator("#camera").click()
    expect(page.locator("#camera")).to_have_attribute("aria-pressed", "false")
