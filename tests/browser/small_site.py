"""A small site of the tests' own: good pages, and pages with one fault each."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from flask import Flask, Response, redirect, request
from werkzeug.serving import make_server
from werkzeug.wrappers import Response as AnyResponse

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'"
)
TOKEN: Final = "a-token-of-the-small-site"
STYLE: Final = """
    body { margin: 0; color: #111; background: #fff }
    a, button, input { display: block; margin: 1em; padding: .5em; min-height: 2em }
    #bare:focus { outline: none }
    #away { position: fixed; left: -900px }
    #over { position: fixed; inset: 0; background: #eee }
    #wide { width: 900px }
    #high { height: 3000px }
    @media (prefers-color-scheme: dark) { body { color: #888; background: #777 } }
"""
LOGIN: Final = """
    <form method="post"><label>Token <input name="token" type="password"></label>
    <button>Log in</button></form>
"""
BODIES: Final = {
    "good": '<p>Text</p><a href="/good">First</a> <a href="/login" id="second">Second</a>',
    "unlabelled": "<p>Text</p><input>",
    "bare": '<p>Text</p><a href="/good" id="bare">Not to be seen</a>',
    "long": '<p>Text</p><div id="high" tabindex="0">Long</div>',
    "away": '<p>Text</p><a href="/good" id="away">Away</a>',
    "covered": '<p>Text</p><a href="/good">Covered</a><div id="over"></div>',
    "high": '<p id="high">Text</p>',
    "wide": '<p id="wide">Text</p>',
    "elsewhere": '<p>Text</p><img src="https://example.com/picture.png" alt="">',
    "inline": "<p>Text</p><script>document.title = 'changed'</script>",
    "raising": '<p>Text</p><script src="/raises.js"></script>',
    "complaining": '<p>Text</p><script src="/complains.js"></script>',
}
SCRIPTS: Final = {"raises.js": "missing()", "complains.js": "console.error('not well')"}


def small_app() -> Flask:
    """Build the site."""
    app = Flask("small site", static_folder=None)

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(mimetype="image/png")

    @app.get("/style.css")
    def style() -> Response:
        return Response(STYLE, mimetype="text/css")

    @app.get("/<name>.js")
    def script(name: str) -> Response:
        return Response(SCRIPTS[f"{name}.js"], mimetype="text/javascript")

    @app.get("/<name>")
    def page(name: str) -> Response:
        return _page(BODIES[name]) if name in BODIES else _page("<p>Not found</p>", 404)

    @app.get("/login")
    def login() -> Response:
        return _page(LOGIN)

    @app.post("/login")
    def logged_in() -> AnyResponse:
        if request.form["token"] != TOKEN:
            return _page(LOGIN, 403)
        return redirect("/good", 303)

    return app


def _page(body: str, status: int = 200) -> Response:
    html = (
        '<!doctype html><html lang="en"><head><title>A page</title>'
        '<meta name="viewport" content="width=device-width">'
        f'<link rel="stylesheet" href="/style.css"></head><body><main><h1>A page</h1>{body}</main>'
    )
    response = Response(html, status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@contextmanager
def serving_small_site() -> Iterator[str]:
    """Serve the site on a free port of loopback, and yield its URL."""
    server = make_server("127.0.0.1", 0, small_app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
