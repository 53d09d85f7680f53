"""Serving the app on this machine, and on no other."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path
from typing import Any

from metasci.errors import InputError
from metasci.extras import needed

__all__ = ["application", "run"]

HOST = "127.0.0.1"
_STATIC = Path(__file__).parent / "static"
_REPORT = Path(__file__).parent.parent / "report"
_ASSETS: dict[str, str | Path] = {
    "/static/app.css": _STATIC / "app.css",
    "/static/app.js": _STATIC / "app.js",
    "/static/page.css": _REPORT / "page.css",
    "/static/values.js": _REPORT / "values.js",
}
_LOADING = threading.Lock()
"""Held while the libraries that calibrate load: the page is there before, and sessions begin after. Two threads that
import the same libraries at once could see halves of them."""
_MOST_SENT = 4 * 2**20  # bytes of a message: a file of 2 MB as base64, and its name


def application() -> Any:
    """The app behind its guard, as an ASGI application.

    Raises
    ------
    MissingExtra
        If Shiny is not installed.
    """
    shiny = needed("shiny", "app", "the app")
    from metasci.app.guard import Guard
    from metasci.app.page import page

    def serve(input: Any, output: Any, session: Any) -> None:
        with _LOADING:
            from metasci.app.server import serve as compute

        compute(input, output, session)

    served = shiny.App(shiny.ui.page_html(page()), serve, static_assets=_ASSETS)
    return Guard(served)


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
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((HOST, port))
        taken.listen()  # from here on a browser waits for its answer, and is not turned away
    except OSError:
        taken.close()
        raise InputError(f"--port: {port} is taken; give another one.") from None
    address = f"http://{HOST}:{taken.getsockname()[1]}"
    print(f"metasci is at {address} (Ctrl+C ends it)", flush=True)
    if open_browser:
        webbrowser.open(address)
    # beside the server: what loads and is computed for the first time does so while the browser opens the page
    begun = threading.Event()
    threading.Thread(target=_get_ready, args=(begun,), daemon=True).start()
    begun.wait()
    config = uvicorn.Config(served, log_level="warning", ws_max_size=_MOST_SENT, ws="websockets-sansio")
    uvicorn.Server(config).run(sockets=[taken])


def _get_ready(begun: threading.Event) -> None:
    """Load, and calibrate once, before anybody asks: what is loaded then would delay the first answer."""
    with _LOADING:
        begun.set()
        from metasci.app.choices import example_of
        from metasci.app.fitting import Fitted, try_to_fit
        from metasci.app.page import FIRST
        from metasci.app.parts import face_of, fit_part
        from metasci.process import without_guests

        without_guests()
        ready = try_to_fit(FIRST, example_of(FIRST))
        if isinstance(ready, Fitted):
            fit_part(ready.fit, 700.0)
            face_of(ready.fit, "alloy", 700.0)
