"""``glossa serve``: the report in a browser, and a live test of any text."""

from __future__ import annotations

import os
import socket

import click

from stages import paths
from stages.errors import GlossaError

HOST = "127.0.0.1"
PORT = 8642


@click.command("serve")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Where to listen; 0 takes a free one.",
)
@click.option("--no-live", is_flag=True, help="Serve the report alone, without a model.")
def command(port: int, no_live: bool) -> None:
    """Serve results/report to this machine alone, with a page where a text that you type shows which latents fire on it.

    The subject and the coders are loaded when the first text is tested. Ctrl-C ends it.
    """
    if not (paths.REPORT / "index.html").is_file():
        raise GlossaError(
            f"expected the report in {paths.REPORT}, but there is no index.html; run dvc repro, or dvc pull {paths.REPORT}"
        )
    from stages import params
    from stages.machine import runtime

    p = None if no_live else params.load()
    runtime.load()  # a mistake in it is told before anything is served
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise GlossaError(
            f"the port {port} of this machine should be free, but: {os.strerror(error.errno or 0)}; choose another with --port"
        ) from None
    port = listening.getsockname()[1]
    click.echo(f"report: http://{HOST}:{port}/")
    if not no_live:
        click.echo(f"live test: http://{HOST}:{port}/live.html")
    click.echo("Ctrl-C ends it")

    from aiohttp import web

    from stages.serve import server

    tests = None if p is None else server.Live(p)
    web.run_app(
        server.application(tests),
        sock=listening,
        print=None,
        shutdown_timeout=1,
        access_log=None,
        handler_cancellation=True,  # a test is dropped when whoever asked for it has left
    )
