"""A Flask application that calls Klaviyo for its users. `nango serve` beside it has the connect page."""

import math
import os
import secrets
import time

from flask import Flask, Response, abort, jsonify, redirect, request
from werkzeug.wrappers import Response as Redirect

from nango_py import ConnectionNotFound, CredentialsError, Nango, RateLimited, RequestFailed

PRODUCT_URL = os.environ.get("PRODUCT_URL", "http://localhost:5000")
PASSWORD = os.environ["DEMO_PASSWORD"].encode()
nango = Nango()
app = Flask(__name__)


def logged_in() -> str:
    """The user of the request. Put your own login here; this one has one password for all users."""
    given = request.authorization
    if given is None or not secrets.compare_digest((given.password or "").encode(), PASSWORD):
        abort(Response(status=401, headers={"WWW-Authenticate": "Basic"}))
    return given.username or ""


@app.get("/connect")
def connect() -> Redirect:
    """Send the user to the connect page."""
    user, return_url = logged_in(), f"{PRODUCT_URL}/metrics"
    session = nango.connect_session(user, ["klaviyo"], user_label=user, return_url=return_url)
    return redirect(session.url, 303)


@app.get("/metrics")
def metrics() -> Response:
    """The names of the user's metrics in Klaviyo."""
    klaviyo = nango.executor("klaviyo", logged_in())
    response = klaviyo.get("metrics", deadline_seconds=5, raise_for_error=True)
    return jsonify([metric["attributes"]["name"] for metric in response.json()["data"]])


@app.errorhandler(RateLimited)
def rate_limited(error: RateLimited) -> tuple[dict[str, str], int, dict[str, str]]:
    """The quota is used up: say when to try again."""
    seconds = max(1, math.ceil(error.retry_at - time.time()))
    return {"detail": "Klaviyo is busy"}, 503, {"Retry-After": str(seconds)}


@app.errorhandler(ConnectionNotFound)
@app.errorhandler(CredentialsError)
def not_connected(_: Exception) -> tuple[dict[str, str], int]:
    """The user has not connected Klaviyo, or has to connect it again."""
    return {"detail": "connect Klaviyo first", "connect": "/connect"}, 409


@app.errorhandler(RequestFailed)
def failed(error: RequestFailed) -> tuple[dict[str, str], int]:
    """The call failed; the id leads to its records in the log."""
    return {"detail": "Klaviyo does not respond as it should", "call": error.call_id}, 502
