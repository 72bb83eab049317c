"""The page over HTTP, for this machine alone.

Whoever asks must know the token and must mean this machine: the server listens on 127.0.0.1, a
request without the token gets 401, one with another Host header 400, and a verdict that another
page sends 403. The page loads nothing from elsewhere.
"""

from __future__ import annotations

import json
import mimetypes
import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mama_augment.core.errors import InputError
from mama_augment.people.review.session import Session, query_of
from mama_augment.people.review.verdicts import Verdict

HOST = "127.0.0.1"
HOSTS = [HOST, "localhost"]
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MOST_BODY_BYTES = 100_000
Next = Callable[[Request], Awaitable[Response]]


def make_app(session: Session, token: str) -> Starlette:
    """Everything that is answered."""
    page = _Pages(session)
    return Starlette(
        routes=[
            Route("/", page.page),
            Route("/review.js", page.script),
            Route("/review.css", page.style),
            Route("/api/about", page.about),
            Route("/api/progress", page.progress),
            Route("/api/items/{number:int}", page.item),
            Route("/api/items/{number:int}/verdict", page.judge, methods=["POST"]),
            Route("/api/undo", page.undo, methods=["POST"]),
            Route("/api/browse", page.browse),
            Route("/api/texts/{number:int}/ask", page.ask, methods=["POST"]),
            Route("/frames/{clip_id:path}/{place:int}.jpg", page.frame),
            Route("/videos/{clip_id:path}", page.video),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
            Middleware(BaseHTTPMiddleware, dispatch=_guard(token)),
        ],
        exception_handlers={InputError: _mistaken, KeyError: _missing, OSError: _broken},
    )


def _guard(token: str) -> Callable[[Request, Next], Awaitable[Response]]:
    async def dispatch(request: Request, call_next: Next) -> Response:
        given = request.query_params.get("token", "")
        if not secrets.compare_digest(given.encode(), token.encode()):
            response: Response = JSONResponse({"error": "the token is missing or wrong"}, 401)
        elif not _is_own(request):
            response = JSONResponse({"error": "another page may not ask for this"}, 403)
        else:
            response = await call_next(request)
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return dispatch


def _is_own(request: Request) -> bool:
    """Whether a request comes from this page, as browsers say who sends one."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _mistaken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


def _missing(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "there is no such thing"}, 404)


def _broken(request: Request, error: Exception) -> Response:
    """A full disk, say: the page says so, and the verdict is not taken for saved."""
    return JSONResponse({"error": f"not saved: {error}"}, 500)


class _Pages:
    """Answers; plain functions run in threads, which `Session` is made for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        files = resources.files("mama_augment.people.review")
        core = resources.files("mama_augment.core.shared")
        self._page = files.joinpath("page.html").read_text(encoding="utf-8")
        self._script = files.joinpath("review.js").read_text(encoding="utf-8")
        self._style = core.joinpath("page.css").read_text(encoding="utf-8") + files.joinpath(
            "review.css"
        ).read_text(encoding="utf-8")

    def page(self, request: Request) -> Response:
        # Only who knows the token gets here, and its own script and style ask with it, too.
        return HTMLResponse(self._page.replace("{{token}}", request.query_params["token"]))

    def script(self, request: Request) -> Response:
        return Response(self._script, media_type="text/javascript")

    def style(self, request: Request) -> Response:
        return Response(self._style, media_type="text/css")

    def about(self, request: Request) -> Response:
        return JSONResponse(self._session.about())

    def progress(self, request: Request) -> Response:
        return JSONResponse(self._session.progress())

    def item(self, request: Request) -> Response:
        return JSONResponse(self._session.item(request.path_params["number"]))

    async def judge(self, request: Request) -> Response:
        content = await _content(request)
        names = ("verdict", "text", "reason", "seconds")
        verdict = Verdict(**{name: content.get(name) for name in names})  # type: ignore[arg-type]
        number = request.path_params["number"]
        await run_in_threadpool(self._session.judge, number, verdict)
        return JSONResponse(await run_in_threadpool(self._session.progress))

    def undo(self, request: Request) -> Response:
        number = self._session.undo()
        return JSONResponse({"number": number, **self._session.progress()})

    def browse(self, request: Request) -> Response:
        given = request.query_params
        try:
            offset = int(given.get("offset") or 0)
        except ValueError as error:
            raise InputError(f"offset is {given['offset']!r}; a number is needed") from error
        return JSONResponse(self._session.browse(query_of(given), offset))

    def ask(self, request: Request) -> Response:
        return JSONResponse({"number": self._session.ask(request.path_params["number"])})

    def frame(self, request: Request) -> Response:
        data = self._session.frame(request.path_params["clip_id"], request.path_params["place"])
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(data, media_type="image/jpeg", headers=headers)

    def video(self, request: Request) -> Response:
        path = self._session.video_path(request.path_params["clip_id"])
        kind = mimetypes.guess_type(path)[0] or "video/mp4"
        return FileResponse(path, media_type=kind)  # parts of it, too, as players ask for


async def _content(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings.

    Raises:
        InputError: it is too long, or not one.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY_BYTES:
            raise InputError(f"more than {MOST_BODY_BYTES:,} bytes")
    try:
        content = json.loads(body)
    except ValueError as error:
        raise InputError(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError("not a JSON object")
    if not all(isinstance(content.get(n), str | None) for n in ("verdict", "text", "reason")):
        raise InputError("verdict, text and reason are texts")
    if not isinstance(content.get("seconds"), int | float | None):
        raise InputError("seconds is a number")
    return content


def bind(port: int) -> socket.socket:
    """A socket of this machine alone; port 0 is any that is free.

    Raises:
        InputError: the port is taken, or not one.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
        made.listen()  # who asks before the server runs is answered then
    except (OSError, OverflowError) as error:
        made.close()
        raise InputError(
            f"--port is {port}, which cannot be used here ({error}); give another, or 0 for any "
            "that is free"
        ) from error
    return made


def make_server(app: Starlette) -> uvicorn.Server:
    """Serve with `.run(sockets=[bind(port)])` until it is interrupted."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", server_header=False
    )
    return uvicorn.Server(config)


def address(bound: socket.socket, token: str) -> str:
    """What a person opens."""
    return f"http://{HOST}:{bound.getsockname()[1]}/?token={token}"
