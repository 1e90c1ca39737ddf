"""The report over HTTP on this machine alone, and the live test beside it.

Whoever can make a browser on this machine open a page could also try to reach this server, so a request has to name it as
this machine (DNS rebinding), may not come from a page of another origin, and gets files of the report alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from stages import paths
from stages.errors import GlossaError
from stages.given import dvc_cache
from stages.params import Params
from stages.serve.answer import Known, answer, check_wanted

if TYPE_CHECKING:
    from stages.serve.reading import Reader

HERE = Path(__file__).parent
SITE = HERE.parent / "site" / "assets"
PAGE = {
    "/live.html": HERE / "live.html",
    "/live/live.js": HERE / "live.js",
    "/live/live.css": HERE / "live.css",
    "/assets/served.js": HERE / "link.js",
    **{f"/live/{name}": SITE / name for name in ("site.css", "theme.js", "dom.js")},
}
"""What the live test shows itself with; the report that is served may be older than this code."""
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
UNKNOWN_TYPE = "application/octet-stream"
MOST_BYTES = 2**18
"""Of a request: far more than a row of tokens."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

THIS_MACHINE = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")
"""With any port: behind an SSH tunnel it is that of the other end."""

LOGGER = logging.getLogger("aiohttp.server")
"""Where aiohttp writes what went wrong in answering."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(live: Live | None) -> web.Application:
    """Returns what answers: files of the report and, with ``live``, the live test."""
    LOGGER.addFilter(_is_of_ours)
    app = web.Application(middlewares=[_guard], client_max_size=MOST_BYTES)
    if live is not None:
        app.router.add_get("/api/about", live.about)
        app.router.add_post("/api/test", live.test)
        for path in PAGE:
            app.router.add_get(path, _page)
    app.router.add_get("/{path:.*}", _file)
    return app


def _is_of_ours(record: logging.LogRecord) -> bool:
    """Whether a fault is not the sender's, such as of a browser that tries https first; that one has been answered 400."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


class Live:
    """The live test, one at a time; the subject and the coders are loaded when they are first needed."""

    def __init__(self, p: Params) -> None:
        self._p = p
        self._reader: Reader | None = None
        self._known: dict[str, Known] = {}
        self._one_at_a_time = asyncio.Lock()

    async def about(self, request: web.Request) -> web.Response:
        """What can be tested."""
        coders = {name: getattr(coder, "hookpoint", None) for name, coder in self._p.coders.items()}
        return _json(
            {"coders": coders, "subject": self._p.subject.model, "context_length": self._p.corpus.context_length}
        )

    async def test(self, request: web.Request) -> web.Response:
        """``{coder, text, latents?}`` -> what ``answer`` returns."""
        coder, text, wanted = _question(await request.read())
        async with self._one_at_a_time:
            answering = asyncio.ensure_future(asyncio.to_thread(self._answer, coder, text, wanted))
            try:
                return _json(await asyncio.shield(answering))
            except (
                asyncio.CancelledError
            ):  # whoever asked has left; a thread can't be stopped, and the next waits for it
                await asyncio.wait([answering])
                raise

    def _answer(self, coder: str, text: str, wanted: list[int] | None) -> dict[str, Any]:
        from stages.serve.reading import Reader  # torch takes seconds, which nobody should wait for who only reads

        self._reader = self._reader or Reader(self._p)
        n_latents = self._reader.opened(coder).coder.n_latents
        if wanted is not None:
            check_wanted(wanted, n_latents, coder)
        if coder not in self._known:
            self._known[coder] = Known.of(self._p, coder)
        return answer(coder, self._reader.read(coder, text), self._known[coder], wanted)


def _question(body: bytes) -> tuple[str, str, list[int] | None]:
    """Returns coder, text and latents of a request; raises GlossaError unless it has them."""
    form = (
        'a test should be JSON like {"coder": "…", "text": "…", "latents": [17]}, the latents if only some are wanted'
    )
    try:
        question = json.loads(body)
    except (ValueError, RecursionError):
        raise GlossaError(f"{form}; found something else") from None
    if not isinstance(question, dict) or not all(isinstance(question.get(key), str) for key in ("coder", "text")):
        raise GlossaError(f"{form}; found no coder or no text in it")
    wanted = question.get("latents")
    if wanted is None:
        return question["coder"], question["text"], None
    if not isinstance(wanted, list) or not wanted or not all(type(latent) is int for latent in wanted):
        raise GlossaError(f"{form}; found latents that are no list of numbers")
    return question["coder"], question["text"], wanted


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses requests that name another host or come from a page of another origin; puts errors into one sentence."""
    try:
        _check(request)
        response = await handler(request)
    except web.HTTPException as error:
        response = _error(request, error.status, _reason(error))
    except GlossaError as error:
        response = _error(request, 400, str(error))
    response.headers.update(HEADERS)
    return response


def _check(request: web.Request) -> None:
    host = request.headers.get("Host", "")
    if not THIS_MACHINE.fullmatch(host) or len(request.headers.getall("Host")) > 1:
        raise web.HTTPForbidden(reason="this server answers to 127.0.0.1 and localhost alone")
    if request.method != "POST":
        return
    # Every browser says where a POST comes from; what is no browser (curl) says nothing.
    if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
        raise web.HTTPForbidden(reason="this server answers to pages of its own alone")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise web.HTTPForbidden(reason="this server answers to pages of its own alone")
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="a test should be sent as application/json")


def _reason(error: web.HTTPException) -> str:
    if error.status == 413:
        return f"a test should be smaller than {MOST_BYTES // 1024} kB"
    return error.reason


def _error(request: web.Request, status: int, sentence: str) -> web.Response:
    if request.path.startswith("/api/"):
        return _json({"error": sentence}, status)
    return web.Response(status=status, text=f"{sentence}\n")


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=json.dumps(content, ensure_ascii=False, allow_nan=False), content_type="application/json"
    )


async def _page(request: web.Request) -> web.Response:
    """A file of the live test."""
    file = PAGE[request.path]
    headers = {"Content-Type": TYPES[file.suffix], "Content-Security-Policy": POLICY}
    return web.Response(body=file.read_bytes(), headers=headers)


async def _file(request: web.Request) -> web.StreamResponse:
    """A file of the report, or index.html."""
    wanted = request.match_info["path"] or "index.html"
    file = await asyncio.to_thread(_inside, wanted)
    if file is None:
        raise web.HTTPNotFound(reason=f"the report has no file of that name; {_instead(wanted)}")
    return web.FileResponse(file, headers={"Content-Type": TYPES.get(Path(wanted).suffix, UNKNOWN_TYPE)})


def _instead(wanted: str) -> str:
    return "it is served without the live test" if wanted == "live.html" else "begin at /"


def _inside(wanted: str) -> Path | None:
    """The file of the report that a path names, None if there is none; a link is followed into the report or DVC's cache alone."""
    if "\0" in wanted or "\\" in wanted or any(part in ("", ".", "..") for part in wanted.split("/")):
        return None
    root = paths.REPORT.resolve()
    try:
        file = (root / wanted).resolve(strict=True)
    except OSError:
        return None
    if not file.is_file():
        return None
    if file.is_relative_to(root) or ((cached := dvc_cache()) is not None and file.is_relative_to(cached)):
        return file
    return None
