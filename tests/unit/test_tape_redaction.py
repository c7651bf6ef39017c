"""Secrets are not recorded on tapes in any spelling, however unusual."""

from __future__ import annotations

import base64
import gzip
import json
from urllib.parse import quote

import pytest

from nango_py.tapes.redaction import (
    MASK,
    redact,
    redact_body,
    redact_cookie,
    redact_cookies,
    redact_signatures,
    redact_token_params,
    redact_url,
    secrets_in_token_response,
)

SECRET = "s3cret/Tok+en=value~9"
PERCENT = "".join(f"%{ord(letter):02x}" for letter in SECRET)
UNICODE = "".join(f"\\u{ord(letter):04X}" for letter in SECRET)
PAIR = base64.b64encode(b"user:" + SECRET.encode()).decode()
LINES = base64.encodebytes(b"x" * 50 + SECRET.encode()).decode()

TEXTS = {
    "base64 behind a path": (f"https://example.com/api/v1/{PAIR}", PAIR),
    "base64 in lines": (LINES, LINES.splitlines()[1]),
    "every letter percent-encoded": (f"https://example.com/{PERCENT}", PERCENT),
    "percent-encoded twice": (f"https://example.com/?next={quote(quote(SECRET, safe=''))}", "s3cret%252F"),
    "entities of HTML": ("<a>s3cret&#x2F;Tok&#43;en=value~9</a>", "s3cret&#x2F;"),
    "lines of JSON": (f'{{"a":"{UNICODE}"}}\n{{"a":1}}', UNICODE),
}


@pytest.mark.parametrize("case", TEXTS)
def test_unusual_spellings_are_replaced(case: str) -> None:
    """In texts and bodies; the same text stays as it is for other secrets."""
    text, spelled = TEXTS[case]
    assert spelled in text
    assert spelled not in redact(text, (SECRET,))
    assert spelled.encode() not in redact_body(text.encode(), (SECRET,))
    assert redact(text, ("another-secret",)) == text


def encoded(times: int, text: str = SECRET) -> str:
    """A text in base64 in base64."""
    for _ in range(times):
        text = base64.b64encode(f"key: {text}".encode()).decode()
    return text


@pytest.mark.parametrize("times", [1, 2, 3])
def test_base64_in_base64_is_replaced(times: int) -> None:
    """Up to three layers; without the secret it stays."""
    text = encoded(times)
    assert redact(f"data={text}", (SECRET,)) == f"data={MASK}"
    assert redact(text, ("another-secret",)) == text


def test_compressed_files_are_looked_into() -> None:
    """The content is redacted and compressed again; without a secret it stays as it is."""
    body = gzip.compress(f'{{"token": "{SECRET}", "n": 1}}'.encode())
    assert json.loads(gzip.decompress(redact_body(body, (SECRET,)))) == {"token": MASK, "n": 1}
    assert redact_body(body, ("another-secret",)) == body
    assert redact_body(body + body, (SECRET,)) == MASK.encode()
    assert redact_body(body[:-5], (SECRET,)) == MASK.encode()


@pytest.mark.parametrize(
    "body",
    [
        f"<login><token>{SECRET.replace('=', '-')}</token></login>",
        f'<r t="{SECRET.replace("=", "-")}"/>',
        SECRET.replace("=", "-"),
        f"Token {SECRET.replace('=', '-')}\n",
    ],
)
def test_tokens_in_xml_and_text_are_found(body: str) -> None:
    """A token endpoint may respond with something else than JSON or a form."""
    assert SECRET.replace("=", "-") in secrets_in_token_response(body.encode())


@pytest.mark.parametrize(
    "name", ["X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Signature", "Signature", "sig", "upload_id"]
)
def test_signatures_of_urls_are_replaced(name: str) -> None:
    """They allow anybody to read or write a file; other parameters stay."""
    url = f"https://files.example.test/a?x=1&{name}=abc%2Fdef&y=2"
    for text in (url, f'{{"url":"{url}"}}', f"<a href='{url}'>"):
        found = redact_signatures(text)
        assert "abc%2Fdef" not in found
        assert f"x=1&{name}={MASK}&y=2" in found
    assert redact_signatures("a design=new&sign=5") == "a design=new&sign=5"


@pytest.mark.parametrize("body", [f'{{"a":"{UNICODE}","a":"x"}}', f'{{"n":1234567,"a":"{UNICODE}"}}'])
def test_escapes_are_found_in_json_that_changes_when_it_is_read(body: str) -> None:
    """Names that come twice, and JSON that is invalid once a number has been replaced."""
    assert UNICODE not in redact_body(body.encode(), (SECRET, "1234567")).decode()


@pytest.mark.parametrize("spelled", [json.dumps(SECRET).replace("/", "\\/"), PAIR, PERCENT, UNICODE])
def test_parts_beside_a_file_are_searched(spelled: str) -> None:
    """A body with a part that is not text; the bytes of the file stay."""
    file = bytes(range(128, 256))
    body = b"--b\r\n\r\n" + file + b"\r\n--b\r\n\r\n" + spelled.encode() + b"\r\n--b--"
    assert redact_body(body, ("another-secret",)) == body
    redacted = redact_body(body, (SECRET,))
    assert spelled.strip('"').encode() not in redacted
    assert file in redacted


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf16_is_searched(encoding: str) -> None:
    """Bodies in UTF-16, with and without a byte order mark."""
    redacted = redact_body(f"<a>{SECRET}</a>".encode(encoding), (SECRET,))
    assert redacted.decode(encoding) == f"<a>{MASK}</a>"


def test_values_of_cookies_are_replaced() -> None:
    """In both directions, also of a cookie without a name; attributes stay."""
    assert redact_cookie("a=1=2; Path=/; Max-Age=3") == f"a={MASK}; Path=/; Max-Age=3"
    assert redact_cookie("value; Path=/") == f"{MASK}; Path=/"
    assert redact_cookies("a=1=2; b=3;value") == f"a={MASK}; b={MASK}; {MASK}"


def test_a_token_request_of_another_format_is_replaced_as_a_whole() -> None:
    """Plain text and XML have no parameters that are known to be public."""
    for body in (b"plain-code", b"<login><password>p</password></login>", b"scope=<a>b</a>"):
        assert redact_token_params(body) == MASK.encode()
    assert redact_token_params(b"scope=a&code=b") == f"scope=a&code={MASK}".encode()


def test_a_url_keeps_what_is_not_secret() -> None:
    """Only the value of the parameter is replaced."""
    assert redact_url(f"https://example.com/a?b={PERCENT}&c=d", (SECRET,)) == (
        f"https://example.com/a?b={MASK}&c=d"
    )
