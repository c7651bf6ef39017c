"""An AWS Lambda function that calls Klaviyo for the user of an HTTP request."""

import json
import math
import time
from typing import Any

from nango_py import ConnectionNotFound, CredentialsError, Nango, RateLimited, RequestFailed

nango = Nango()  # once for each instance of the function; connections are kept between requests
MARGIN_SECONDS = 1.0


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the names of the user's metrics; the entry point is `handler.handle`."""
    user = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    seconds = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    try:
        klaviyo = nango.executor("klaviyo", user)
        response = klaviyo.get("metrics", deadline_seconds=max(seconds, 0.1), raise_for_error=True)
    except RateLimited as error:
        wait = max(1, math.ceil(error.retry_at - time.time()))
        return respond(503, {"detail": "Klaviyo is busy"}, {"Retry-After": str(wait)})
    except (ConnectionNotFound, CredentialsError):
        return respond(409, {"detail": "connect Klaviyo first"})
    except RequestFailed as error:
        return respond(502, {"detail": "Klaviyo does not respond as it should", "call": error.call_id})
    return respond(200, [metric["attributes"]["name"] for metric in response.json()["data"]])


def respond(status: int, body: object, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The response in the format of API Gateway and function URLs."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
