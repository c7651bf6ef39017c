"""The small pages that a login's window shows. What comes from outside stands in text and attributes only."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.server.static_files import StaticFiles

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="icon" href="{icon}" type="image/svg+xml">
<link rel="stylesheet" href="{style}">
{head}</head>
<body class="notice" data-kind="{kind}"{data}>
<main class="card">
{product}<h1>{title}</h1>
<p class="message" role="{role}">{message}</p>
<p class="hint">{hint}</p>
</main>
{script}</body>
</html>
"""


@record
class Heard:
    """What the page that opened the window is told, and the one origin that may hear it."""

    message: dict[str, Any]
    origin: str


def told(
    *,
    ok: bool,
    integration: str,
    attempt: str,
    code: str = "",
    message: str = "",
    missing_scopes: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The payload of the message to the opener. The spelling of its types is that of the original."""
    return {
        "source": "nango-connect",
        "type": "AUTHORIZATION_SUCEEDED" if ok else "AUTHORIZATION_FAILED",
        "integration": integration,
        "attempt": attempt,
        "code": code,
        "message": message,
        "missing_scopes": list(missing_scopes),
    }


class Pages:
    """The pages, with the addresses of their style and script."""

    def __init__(self, static: StaticFiles, prefix: str, product: str) -> None:
        self._icon = static.address(prefix, "icon.svg")
        self._style = static.address(prefix, "connect.css")
        self._script = f'<script src="{static.address(prefix, "result.js")}"></script>\n'
        self._product = f'<p class="product">{escape(product)}</p>\n' if product else ""

    def connected(self, title: str, message: str, heard: Heard | None) -> str:
        """A login that ended in a connection."""
        said = message or f"{title} is connected."
        return self._page("ok", "Connected", said, "You can close this window.", heard=heard)

    def failed(self, message: str, code: str, heard: Heard | None = None) -> str:
        """A login that did not, or a page that cannot be shown."""
        hint = "You can close this window and try again."
        return self._page("failed", "Not connected", message, f"{hint} ({code})", heard=heard)

    def missing(self, message: str, code: str) -> str:
        """An address at which nothing is."""
        return self._page("failed", "This cannot be shown", message, code)

    def leaving(self, title: str, url: str) -> str:
        """The way to the provider.

        It is no redirect, because browsers hold a redirect after a form against the policy of the page with
        the form, which cannot name every provider.
        """
        link = escape(url)
        head = f'<meta http-equiv="refresh" content="0; url={link}">\n'
        hint = f'<a href="{link}" rel="noreferrer">Continue to {escape(title)}</a>'
        return self._page("leaving", f"Going on to {title}", "One moment.", hint, head=head, is_html=True)

    def asking(self, title: str, url: str, user_label: str) -> str:
        """The same for who comes by a link on a page that nobody knows: the user has the last word."""
        link = f'<a class="button" href="{escape(url)}" rel="noreferrer">Continue to {escape(title)}</a>'
        whose = f" for {user_label}" if user_label else ""
        said = f"You log in there, and your account is connected{whose}. Go on only if you want that."
        return self._page("leaving", f"Connect {title}?", said, link, is_html=True)

    def _page(
        self,
        kind: str,
        title: str,
        message: str,
        hint: str,
        *,
        heard: Heard | None = None,
        head: str = "",
        is_html: bool = False,
    ) -> str:
        data = ""
        if heard is not None:
            said = escape(json.dumps(heard.message, ensure_ascii=False))
            data = f' data-message="{said}" data-origin="{escape(heard.origin)}"'
        return _PAGE.format(
            title=escape(title),
            icon=self._icon,
            style=self._style,
            head=head,
            kind=kind,
            data=data,
            product=self._product,
            role="alert" if kind == "failed" else "status",
            message=escape(message),
            hint=hint if is_html else escape(hint),
            script=self._script if heard is not None else "",
        )
