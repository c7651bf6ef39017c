"""The page on which a user of a sandbox agrees to a login, or declines."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

STYLE = """
:root { color-scheme: light dark; --line: #8888; --accent: #2456c7; }
@media (prefers-color-scheme: dark) { :root { --accent: #8fb0ff; } }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 30rem; }
h1 { font-size: 1.4rem; }
label { display: block; margin: 1rem 0; }
input, select, button { font: inherit; padding: .6rem .8rem; }
input, select, button { border: 1px solid var(--line); border-radius: .4rem; }
input, select { width: 100%; box-sizing: border-box; }
button { margin: 0 .5rem .5rem 0; cursor: pointer; }
button[value=approve] { background: var(--accent); color: Canvas; border-color: var(--accent); }
"""
# No form-action: it would forbid the redirect to the callback.
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head>
<body><main><h1>{title}</h1>{content}</main></body></html>
"""
_FORM = """<p>This is a sandbox, not {name}. No account is needed.</p>{scopes}
<form method="post"><label>Log in as {user}</label>
<button name="decision" value="approve">Allow access</button>
<button name="decision" value="deny">Decline</button></form>"""


def consent_page(name: str, scopes: Iterable[str], users: Iterable[str] | None) -> SandboxResponse:
    """The page with the requested scopes.

    Args:
        name: of the API.
        scopes: the requested ones.
        users: those to choose from; None for a field to type one.
    """
    items = "".join(f"<li>{html.escape(scope)}</li>" for scope in scopes)
    listed = f"<p>Requested access:</p><ul>{items}</ul>" if items else ""
    if users is None:
        user = '<input name="user" value="user-1" required maxlength="200">'
    else:
        options = "".join(f"<option>{html.escape(each)}</option>" for each in users)
        user = f'<select name="user">{options}</select>'
    content = _FORM.format(name=html.escape(name), scopes=listed, user=user)
    return _page(200, f"Log in to {name}", content)


def error_page(reason: str) -> SandboxResponse:
    """The page for a login that cannot be shown."""
    return _page(400, "This login cannot start", f"<p>{html.escape(reason)}.</p>")


def _page(status: int, title: str, content: str) -> SandboxResponse:
    text = _PAGE.format(title=html.escape(title), style=STYLE, content=content)
    return SandboxResponse.of(text=text, status=status, headers=HEADERS)
