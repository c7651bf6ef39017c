"""The pages of the shop."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import path

from shop.api import nango


@login_required
def connect(request: HttpRequest) -> HttpResponse:
    """Send the user to the connect page."""
    user, return_url = request.user, f"{settings.PRODUCT_URL}/metrics"
    session = nango.connect_session(
        str(user.pk), ["klaviyo"], user_label=user.get_username(), return_url=return_url
    )
    return redirect(session.url)


@login_required
def metrics(request: HttpRequest) -> HttpResponse:
    """The names of the user's metrics in Klaviyo."""
    klaviyo = nango.executor("klaviyo", str(request.user.pk))
    response = klaviyo.get("metrics", deadline_seconds=5, raise_for_error=True)
    names = [metric["attributes"]["name"] for metric in response.json()["data"]]
    return JsonResponse(names, safe=False)


urlpatterns = [path("admin/", admin.site.urls), path("connect", connect), path("metrics", metrics)]
