"""The small pages of a login window. Values are inserted as text and in attributes only."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

from nango_py.config.images import read_image
from nango_py.connect.failure import as_sentence
from nango_py.connect.words import load_words
from nango_py.protocols.after_login import MAX_CANDIDATES

if TYPE_CHECKING:
    from nango_py.config.model import Config
    from nango_py.connect.outcome import LoginOutcome
    from nango_py.connect.words import Words
    from nango_py.protocols.after_login import Choice
    from nango_py.server.static_files import StaticFiles

ENGLISH = load_words("en")
MAX_LINES = 8
"""Lines of a list to choose from, before it scrolls."""

_PAGE = """\
<!doctype html>
<html lang="{language}">
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
{form}<p class="hint">{hint}</p>
</main>
{script}</body>
</html>
"""


class Pages:
    """The pages, in the product's name."""

    def __init__(self, static: StaticFiles, prefix: str, config: Config) -> None:
        self._icon = static.url(prefix, "icon.svg")
        self._style = static.url(prefix, "connect.css")
        self._script = f'<script src="{static.url(prefix, "result.js")}"></script>\n'
        logo, name = read_image(config.product_logo), escape(config.product_name)
        image = f'<img src="{logo}" alt="{name}">' if logo else ""
        self._product = f'<p class="product">{image or name}</p>\n' if logo or name else ""

    def result(self, outcome: LoginOutcome, title: str, words: Words = ENGLISH) -> str:
        """How a login ended. A script posts the outcome to the page that opened the window."""
        if outcome.ok:
            text = words("integration_connected", title=title)
            return self._page(words, "ok", words("connected"), text, words("close_window"), outcome=outcome)
        hint = f"{words('close_window_and_retry')} ({outcome.code})"
        message = as_sentence(words.describe_error(outcome.code, outcome.message, title))
        if words.language == ENGLISH.language:
            message = as_sentence(outcome.message)
        return self._page(words, "failed", words("not_connected"), message, hint, outcome=outcome)

    def error(self, message: str, code: str, words: Words = ENGLISH) -> str:
        """A request that failed outside of a login."""
        if words.language != ENGLISH.language:
            message = words.describe_error(code, message, "")
        return self._page(words, "failed", words("went_wrong"), as_sentence(message), code)

    def redirect(self, title: str, url: str, words: Words = ENGLISH) -> str:
        """A page that goes on to the provider.

        A redirect after a form would be checked against the form-action policy of the page with the form,
        which cannot list every provider.
        """
        link = escape(url)
        head = f'<meta http-equiv="refresh" content="0; url={link}">\n'
        hint = f'<a href="{link}" rel="noreferrer">{escape(words("continue_to", title=title))}</a>'
        heading = words("continuing_to", title=title)
        return self._page(words, "leaving", heading, words("leaving_wait"), hint, head=head, is_html=True)

    def confirm(self, title: str, url: str, user_label: str, words: Words = ENGLISH) -> str:
        """The same for visitors from a link on an unknown page, who must agree first."""
        text = escape(words("continue_to", title=title))
        link = f'<a class="button" href="{escape(url)}" rel="noreferrer">{text}</a>'
        name = "sign_in_confirm_for" if user_label else "sign_in_confirm"
        heading, message = words("connect_question", title=title), words(name, user=user_label)
        return self._page(words, "leaving", heading, message, link, is_html=True)

    def choice(self, choice: Choice, ticket: str, action: str, title: str, words: Words = ENGLISH) -> str:
        """A form in which the user chooses an account. Labels come from the provider, so they are text."""
        options = "".join(
            f'<option value="{escape(candidate.value)}"'
            f"{' selected' if candidate.value == choice.default else ''}>{escape(candidate.label)}</option>"
            for candidate in choice.candidates
        )
        size = min(max(len(choice.candidates), 2), MAX_LINES)
        form = (
            f'<form class="choice" method="post" action="{escape(action)}">'
            f'<input type="hidden" name="state" value="{escape(ticket)}">'
            f'<label for="choice">{escape(choice.title)}</label>'
            f'<select id="choice" name="value" required size="{size}">{options}</select>'
            f'<button class="button">{escape(words("connect"))}</button></form>\n'
        )
        heading, message = words("connect_title", title=title), words("choose_account", title=title)
        is_long = len(choice.candidates) == MAX_CANDIDATES
        hint = words("choose_first", count=MAX_CANDIDATES) if is_long else ""
        return self._page(words, "choice", heading, message, hint, form=form)

    def _page(
        self,
        words: Words,
        kind: str,
        title: str,
        message: str,
        hint: str,
        *,
        outcome: LoginOutcome | None = None,
        head: str = "",
        form: str = "",
        is_html: bool = False,
    ) -> str:
        attributes = "" if outcome is None else _message_attributes(outcome)
        if attributes:
            attributes += _script_words(words)
        return _PAGE.format(
            language=words.language,
            title=escape(title),
            icon=self._icon,
            style=self._style,
            head=head,
            kind=kind,
            data=attributes,
            product=self._product,
            role="alert" if kind == "failed" else "status",
            message=escape(message),
            form=form,
            hint=hint if is_html else escape(hint),
            script=self._script if attributes else "",
        )


def _script_words(words: Words) -> str:
    """The words of the script."""
    names = ("closes_itself", "close_window_and_return", "close_this_window")
    return f' data-words="{escape(json.dumps({name: words(name) for name in names}, ensure_ascii=False))}"'


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
