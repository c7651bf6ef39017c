"""The small pages of a login window. Values are inserted as text and in attributes only."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

from nango_py.connect.failure import as_sentence

if TYPE_CHECKING:
    from nango_py.connect.outcome import LoginOutcome
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


class Pages:
    """The pages, in the product's name."""

    def __init__(self, static: StaticFiles, prefix: str, product: str) -> None:
        self._icon = static.url(prefix, "icon.svg")
        self._style = static.url(prefix, "connect.css")
        self._script = f'<script src="{static.url(prefix, "result.js")}"></script>\n'
        self._product = f'<p class="product">{escape(product)}</p>\n' if product else ""

    def result(self, outcome: LoginOutcome, title: str) -> str:
        """How a login ended. A script posts the outcome to the page that opened the window."""
        if outcome.ok:
            hint = "You can close this window."
            return self._page("ok", "Connected", f"{title} is connected.", hint, outcome=outcome)
        hint = f"You can close this window and try again. ({outcome.code})"
        return self._page("failed", "Not connected", as_sentence(outcome.message), hint, outcome=outcome)

    def error(self, message: str, code: str) -> str:
        """A request that failed outside of a login."""
        return self._page("failed", "Something went wrong", as_sentence(message), code)

    def leaving(self, title: str, url: str) -> str:
        """A page that goes on to the provider.

        A redirect after a form would be checked against the form-action policy of the page with the form,
        which cannot list every provider.
        """
        link = escape(url)
        head = f'<meta http-equiv="refresh" content="0; url={link}">\n'
        hint = f'<a href="{link}" rel="noreferrer">Continue to {escape(title)}</a>'
        return self._page("leaving", f"Continuing to {title}", "One moment.", hint, head=head, is_html=True)

    def confirm(self, title: str, url: str, user_label: str) -> str:
        """The same for visitors from a link on an unknown page, who must agree first."""
        link = f'<a class="button" href="{escape(url)}" rel="noreferrer">Continue to {escape(title)}</a>'
        owner = f" for {user_label}" if user_label else ""
        text = f"You will log in there to connect your account{owner}. Continue only if you want this."
        return self._page("leaving", f"Connect {title}?", text, link, is_html=True)

    def _page(
        self,
        kind: str,
        title: str,
        message: str,
        hint: str,
        *,
        outcome: LoginOutcome | None = None,
        head: str = "",
        is_html: bool = False,
    ) -> str:
        attributes = "" if outcome is None else _message_attributes(outcome)
        return _PAGE.format(
            title=escape(title),
            icon=self._icon,
            style=self._style,
            head=head,
            kind=kind,
            data=attributes,
            product=self._product,
            role="alert" if kind == "failed" else "status",
            message=escape(message),
            hint=hint if is_html else escape(hint),
            script=self._script if attributes else "",
        )


def _message_attributes(outcome: LoginOutcome) -> str:
    """The message for the opener, and the only origin that may receive it; "" if none may."""
    if not outcome.origin:
        return ""
    message = {
        "source": "nango-connect",
        "type": "AUTHORIZATION_SUCEEDED" if outcome.ok else "AUTHORIZATION_FAILED",  # Nango's spelling
        "attempt": outcome.attempt,
        **outcome.to_json(),
    }
    payload = escape(json.dumps(message, ensure_ascii=False))
    return f' data-message="{payload}" data-origin="{escape(outcome.origin)}"'
