"""Serves the chat page: static files of this package, under a policy that lets no foreign script in."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob: http: https:; media-src 'self' http: https:; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Pictures may come from anywhere: bots send links. Everything else comes from here."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "geolocation=(self)",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[Route]:
    """Return the routes of the page: `/` and `/chat/{phone_number_id}` are one document, the rest are its files."""
    folder = files("comanda_simulator") / "page"
    documents = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}

    async def document(_request: Request) -> Response:
        return _answer("index.html", documents["index.html"])

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in documents:
            return PlainTextResponse("Not found", 404)
        return _answer(name, documents[name])

    return [
        Route("/", document),
        Route("/chat/{phone_number_id}", document),
        Route("/page/{name}", asset),
    ]


def _answer(name: str, content: bytes) -> Response:
    return Response(content, headers=_HEADERS | {"Content-Type": _TYPES["." + name.rpartition(".")[2]]})
