"""Serving the app on this machine, and on no other."""

from __future__ import annotations

import webbrowser
from typing import Any

from metasci.errors import InputError
from metasci.extras import needed

__all__ = ["application", "run"]

HOST = "127.0.0.1"
_MOST_SENT = 4 * 2**20  # bytes of a message: a file of 2 MB as base64, and its name


def application() -> Any:
    """The app behind its guard, as an ASGI application.

    Raises
    ------
    MissingExtra
        If Shiny is not installed.
    """
    needed("shiny", "app", "the app")
    from metasci.app.guard import Guard
    from metasci.app.server import app

    return Guard(app())


def run(port: int = 8000, open_browser: bool = True) -> None:
    """Serve until interrupted.

    Raises
    ------
    InputError
        If the port is taken.
    MissingExtra
        If Shiny is not installed.
    """
    import socket

    uvicorn = needed("uvicorn", "app", "the app")
    served = application()
    _get_ready()
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((HOST, port))
    except OSError:
        taken.close()
        raise InputError(f"--port: {port} is taken; give another one.") from None
    address = f"http://{HOST}:{taken.getsockname()[1]}"
    print(f"metasci is at {address} (Ctrl+C ends it)", flush=True)
    if open_browser:
        webbrowser.open(address)
    config = uvicorn.Config(served, log_level="warning", ws_max_size=_MOST_SENT, ws="websockets-sansio")
    uvicorn.Server(config).run(sockets=[taken])


def _get_ready() -> None:
    """Calibrate once before anybody asks: what is loaded then would delay the first answer."""
    from metasci.app.choices import example_of
    from metasci.app.fitting import Fitted, try_to_fit
    from metasci.app.page import FIRST
    from metasci.app.parts import face_of, fit_part

    ready = try_to_fit(FIRST, example_of(FIRST))
    if isinstance(ready, Fitted):
        fit_part(ready.fit, 700.0)
        face_of(ready.fit, "alloy", 700.0)
