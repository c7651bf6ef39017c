"""The Nango of the shop, and the responses for its errors."""

import math
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from nango_py import ConnectionNotFound, CredentialsError, Nango, RateLimited, RequestFailed

nango = Nango(settings.BASE_DIR / "integrations.yaml")


class ApiErrors:
    """Middleware that turns the errors of calls into responses."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponse | None:
        """The response for an error of a view; None for Django's own."""
        if isinstance(error, RateLimited):
            seconds = max(1, math.ceil(error.retry_at - time.time()))
            headers = {"Retry-After": str(seconds)}
            return JsonResponse({"detail": "Klaviyo is busy"}, status=503, headers=headers)
        if isinstance(error, ConnectionNotFound | CredentialsError):
            return JsonResponse({"detail": "connect Klaviyo first", "connect": "/connect"}, status=409)
        if isinstance(error, RequestFailed):
            detail = "Klaviyo does not respond as it should"
            return JsonResponse({"detail": detail, "call": error.call_id}, status=502)
        return None
