"""A FastAPI application: users connect Klaviyo on a page, and a route calls Klaviyo for them."""

import math
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from nango_py import ConnectionNotFound, CredentialsError, Nango, RateLimited, RequestFailed

PRODUCT_URL = os.environ.get("PRODUCT_URL", "http://localhost:8000")
PASSWORD = os.environ["DEMO_PASSWORD"].encode()
nango = Nango()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close connections at the end, after token refreshes in progress."""
    async with nango:
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/nango", nango.asgi_app())


def logged_in(credentials: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> str:
    """The user of the request. Put your own login here; this one has one password for all users."""
    if not secrets.compare_digest(credentials.password.encode(), PASSWORD):
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})
    return credentials.username


User = Annotated[str, Depends(logged_in)]


@app.get("/connect")
def connect(user: User) -> RedirectResponse:
    """Send the user to the connect page."""
    return_url = f"{PRODUCT_URL}/metrics"
    session = nango.connect_session(user, ["klaviyo"], user_label=user, return_url=return_url)
    return RedirectResponse(session.url, 303)


@app.get("/metrics")
async def metrics(user: User) -> list[str]:
    """The names of the user's metrics in Klaviyo."""
    klaviyo = nango.async_executor("klaviyo", user)
    response = await klaviyo.get("metrics", deadline_seconds=5, raise_for_error=True)
    return [metric["attributes"]["name"] for metric in response.json()["data"]]


@app.exception_handler(RateLimited)
async def rate_limited(_: Request, error: RateLimited) -> JSONResponse:
    """The quota is used up: say when to try again."""
    seconds = max(1, math.ceil(error.retry_at - time.time()))
    return JSONResponse({"detail": "Klaviyo is busy"}, 503, {"Retry-After": str(seconds)})


@app.exception_handler(ConnectionNotFound)
@app.exception_handler(CredentialsError)
async def not_connected(_: Request, __: Exception) -> JSONResponse:
    """The user has not connected Klaviyo, or has to connect it again."""
    return JSONResponse({"detail": "connect Klaviyo first", "connect": "/connect"}, 409)


@app.exception_handler(RequestFailed)
async def failed(_: Request, error: RequestFailed) -> JSONResponse:
    """The call failed; the id leads to its records in the log."""
    return JSONResponse({"detail": "Klaviyo does not respond as it should", "call": error.call_id}, 502)
