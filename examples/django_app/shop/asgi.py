"""The ASGI application: Django, with the connect page below /nango/."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django = get_asgi_application()

from shop.api import nango  # noqa: E402 - needs Django's settings

connect_page = nango.asgi_app()
Message = MutableMapping[str, Any]


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Route a request."""
    is_connect = scope["type"] == "http" and scope["path"].startswith("/nango/")
    await (connect_page if is_connect else django)(scope, receive, send)
