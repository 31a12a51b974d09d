"""The page that the router shows beside the endpoint: files of the folder `web`.

Nothing on it comes from elsewhere, and its rules tell the browser to load and send nothing elsewhere.
"""

import json
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from model.schema import CONTOURS, INTENDED_USE

FOLDER: Final = Path(__file__).with_name("web")
_RULES: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    def file_response(self, *arguments: object, **options: object) -> Response:
        """With the page's rules."""
        response: Response = super().file_response(*arguments, **options)  # type: ignore[arg-type]
        response.headers.update(_RULES)
        return response


def page_routes() -> list[Route | Mount]:
    """The page at `/`, what it loads below `/web`."""
    return [Route("/", _page, methods=["GET"]), Mount("/web", _Files(directory=FOLDER))]


def _page(_: Request) -> Response:
    values = {"intended_use": escape(INTENDED_USE), "contours": json.dumps(CONTOURS)}
    return HTMLResponse(Template((FOLDER / "index.html").read_text()).substitute(values), headers=_RULES)
