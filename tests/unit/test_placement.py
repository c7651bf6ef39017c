"""Values by position: hosts, paths and headers, against the known ways to abuse each."""

from __future__ import annotations

from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.headers import (
    check_header_name,
    check_header_template,
    check_header_value,
    render_header,
)
from nango_py.config.urls.base_url import check_base_url, render_url
from nango_py.config.urls.paths import join_path, render_path
from nango_py.config.values import EnvironmentText

BASE = "https://a.klaviyo.com/api/"
SUBDOMAIN = "https://${additional_config.sub}.zendesk.com/api/v2/"

BAD_LABELS = [
    "evil.com#",
    "evil.com/",
    "evil.com?",
    "evil.com\\",
    "x@evil.com/",
    "127.0.0.1:80/",
    "[::1]/",
    "evil.com",
    "",
    ".",
    "..",
    "a.b",
    "-a",
    "a-",
    "a b",
    "a\r\nb",
    "a\x00",
    "a%2eb",
    "%23",
    "a:80",
    "ü",
    "a_b",
    "a" * 64,
    " a",
    "a/",
    "//evil",
    "a\n",
    "\u2460",
    "a\u3002b",
]


@pytest.mark.parametrize("value", BAD_LABELS, ids=range(len(BAD_LABELS)))
def test_host_value_is_one_dns_label(value: str) -> None:
    """No value of a connection can move the host: it is one DNS label or the call is refused."""
    template = compile_template(SUBDOMAIN)
    with pytest.raises(TemplateProblem) as caught:
        render_url(template, {"additional_config": {"sub": value}})
    assert caught.value.code == "E305"
    assert caught.value.__context__ is None
    assert len(value) < 3 or value not in str(caught.value)


@given(st.text(max_size=30))
def test_any_host_value_keeps_the_domain(value: str) -> None:
    """Whatever the value, the URL is refused or its host ends as the file says."""
    try:
        url = render_url(compile_template(SUBDOMAIN), {"additional_config": {"sub": value}})
    except TemplateProblem:
        return
    assert urlsplit(url).netloc.endswith(".zendesk.com")
    assert urlsplit(url).netloc.count(".") == 2


@pytest.mark.parametrize("value", ["acme", "ACME", "a-b-c", "a", "7", "a" * 63])
def test_good_host_values(value: str) -> None:
    """An ordinary subdomain is taken as it is."""
    url = render_url(compile_template(SUBDOMAIN), {"additional_config": {"sub": value}})
    assert url == f"https://{value}.zendesk.com/api/v2/"


def test_part_of_a_label() -> None:
    """A value may be part of a label, and the label as a whole still has to be one."""
    template = compile_template("https://api-${dc}.x.example.com/")
    check_base_url(template)
    assert render_url(template, {"dc": "us4"}) == "https://api-us4.x.example.com/"
    with pytest.raises(TemplateProblem, match="host name"):
        render_url(template, {"dc": "a" * 62})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a/b", "a%2Fb"),
        ("a?b=c&d", "a%3Fb%3Dc%26d"),
        ("é x", "%C3%A9%20x"),
        ("a.b", "a.b"),
        ("%2e%2e", None),
        ("..", None),
        (".", None),
        ("", None),
        ("..%2f", None),
        ("../x", None),
        ("a\\..\\b", None),
        ("\r\n", None),
        ("a\x00", None),
    ],
)
def test_path_values_are_encoded(value: str, path: str | None) -> None:
    """A value in a path is one segment: encoded, and refused where it would be a dot segment or nothing."""
    template = compile_template("https://api.example.com/${account}/v1/")
    check_base_url(template)
    if path is None:
        with pytest.raises(TemplateProblem) as caught:
            render_url(template, {"account": value})
        assert caught.value.code in {"E314", "E316"}
        with pytest.raises(TemplateProblem):
            render_path(compile_template("v1/${account}/x"), {"account": value})
        return
    assert render_url(template, {"account": value}) == f"https://api.example.com/{path}/v1/"
    assert (
        render_path(compile_template("v1/${account}/x?y=${account}"), {"account": value})
        == f"v1/{path}/x?y={path}"
    )


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("a.klaviyo.com/api", "E301"),
        ("//a.klaviyo.com/api", "E301"),
        ("", "E301"),
        ("ftp://a.klaviyo.com/", "E301"),
        ("file:///etc/passwd", "E301"),
        ("https://", "E301"),
        ("https:///x", "E301"),
        ("https://[1]/", "E301"),
        ("https://[::1", "E301"),
        ("https://[::g]/", "E301"),
        ("https://a..b/", "E301"),
        ("https://-a.com/", "E301"),
        ("https://a.com:x/", "E301"),
        ("https://a.com:0/", "E301"),
        ("https://a.com:99999/", "E301"),
        ("https://a.com/?x=1", "E301"),
        ("https://a.com/#x", "E301"),
        ("https://a.com\\evil.com/", "E301"),
        ("https://a.com /", "E301"),
        ("https://a.com/x y", "E301"),
        ("https://a.com/\r\nx", "E301"),
        ("https://ä.com/", "E301"),
        ("https://a.com/../x", "E316"),
        ("https://a.com/%2e%2e/x", "E316"),
        ("http://a.klaviyo.com", "E302"),
        ("http://127.0.0.1.evil.com", "E302"),
        ("http://localhost.evil.com", "E302"),
        ("HTTP://a.klaviyo.com", "E302"),
        ("http://10.0.0.1/", "E302"),
        ("https://user:pw@host.com", "E303"),
        ("https://${user}@host.com", "E303"),
        ("https://${sub}", "E304"),
        ("https://${sub}/", "E304"),
        ("https://${sub}:443/", "E304"),
        ("https://${sub}.com/", "E304"),
        ("https://${sub}.co.uk/", "E304"),
        ("https://${sub}.0.0.1/", "E304"),
        ("https://api.${sub}/", "E304"),
        ("https://api.${sub}.com/", "E304"),
        ("https://api.example${tld}/", "E304"),
        ("https://api.example.com${path}", "E304"),
        ("https://api.example.com:${port}/", "E304"),
        ("https://api.example.com:80${port}/", "E304"),
        ("${additional_config.instance_url}", "E304"),
        ("${scheme}://a.example.com/", "E304"),
        ("https${s}://a.example.com/", "E301"),
    ],
)
def test_bad_base_urls(url: str, code: str) -> None:
    """A base URL that could carry credentials to an unknown place is refused at load."""
    with pytest.raises(TemplateProblem) as caught:
        check_base_url(compile_template(url))
    assert caught.value.code == code
    assert "user:pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.klaviyo.com/api/",
        "https://a.klaviyo.com",
        "https://a.klaviyo.com:8443/x",
        "https://localhost/",
        "http://localhost:8000/x",
        "http://127.0.0.1:1/",
        "http://[::1]:80/",
        "http://x.localhost/",
        SUBDOMAIN,
        "https://${a}.${b}.example.com/",
        "http://${a}.localhost/",
        "https://x.com/bot${api_key}/",
        "https://${a}.myshopify.com/admin/api/${version | default('2026-10')}/",
        "https://api.x.com/it's/(a)",
    ],
)
def test_good_base_urls(url: str) -> None:
    """Ordinary base URLs pass: https anywhere, http on loopback."""
    check_base_url(compile_template(url))


def test_allow_http() -> None:
    """Plain http elsewhere needs to be asked for."""
    template = compile_template("http://api.internal/${x}/")
    check_base_url(template, allow_http=True)
    assert render_url(template, {"x": "1"}) == "http://api.internal/1/"
    with pytest.raises(TemplateProblem) as caught:
        check_base_url(template)
    assert caught.value.code == "E302"


def test_query_of_other_urls() -> None:
    """A URL that nothing is joined to may have a query; a base URL may not."""
    template = compile_template("https://login.example.com/authorize?audience=${x}")
    check_base_url(template, allow_query=True)
    with pytest.raises(TemplateProblem):
        check_base_url(template)


def test_scheme_is_suggested_but_environment_is_not_shown() -> None:
    """The message proposes the URL with its scheme, unless the text came from the environment."""
    with pytest.raises(TemplateProblem, match=r"did you mean https://a\.klaviyo\.com/api/\?"):
        check_base_url(compile_template("a.klaviyo.com/api"))
    with pytest.raises(TemplateProblem) as caught:
        check_base_url(compile_template(EnvironmentText("sekret.example.com/api")))
    assert "sekret" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("v1/metrics", BASE + "v1/metrics"),
        ("/v1/metrics/", BASE + "v1/metrics/"),
        ("", BASE),
        ("/", BASE),
        ("?a=b", BASE + "?a=b"),
        ("v1/x?a=b&c=../d", BASE + "v1/x?a=b&c=../d"),
        ("v1/x?page[size]=1", BASE + "v1/x?page[size]=1"),
        ("a b/é", BASE + "a%20b/%C3%A9"),
        ("100%", BASE + "100%25"),
        ("a%2Fb", BASE + "a%2Fb"),
        ("projects:search", BASE + "projects:search"),
        ("@evil.com/x", BASE + "@evil.com/x"),
        ("a//b", BASE + "a//b"),
        ("v1.0/x..y/.well-known", BASE + "v1.0/x..y/.well-known"),
        ("javascript:alert(1)", BASE + "javascript:alert(1)"),
        (BASE + "v1/metrics?page[cursor]=x", BASE + "v1/metrics?page[cursor]=x"),
        ("HTTPS://A.KLAVIYO.COM:443/api/x", BASE + "x"),
        ("https://a.klaviyo.com/api", BASE),
        ("https://a.klaviyo.com/api?x=1", BASE + "?x=1"),
    ],
)
def test_paths_below_the_base(path: str, url: str) -> None:
    """A path is put below the base URL and encoded as it goes over the wire."""
    assert join_path(BASE, path) == url


LEADS_OUT = [
    "//evil.com",
    "//evil.com/x",
    " //evil.com",
    "\t//evil",
    "\\\\evil.com",
    "/\\evil.com",
    "\\/evil.com",
    "///evil.com",
    "////evil",
    "https://evil.com/x",
    "http://a.klaviyo.com/api/x",
    "https://a.klaviyo.com.evil.com/api/",
    "https://a.klaviyo.com@evil.com/api/",
    "https://user@a.klaviyo.com/api/x",
    "https://a.klaviyo.com:444/api/x",
    "https:evil.com",
    "https:/evil.com",
    "https:\\\\evil.com",
    "http:\\evil",
    "ftp://a.klaviyo.com/api/",
    "https://a.klaviyo.com/admin",
    "https://a.klaviyo.com/apix",
    "https://a.klaviyo.com/",
    "https://a.klaviyo.com",
    "https://a.klaviyo.com/api/../admin",
    "https://a.klaviyo.com/api//evil",
    "https://a.klaviyo.com\\@evil.com/api/",
    "..",
    ".",
    "../admin",
    "v1/../../admin",
    "./x",
    "x/.",
    "%2e%2e/admin",
    "%2E%2E/admin",
    "%2e./admin",
    ".%2e/admin",
    "%252e%252e/admin",
    "%25252e%25252e/admin",
    "..%2fadmin",
    "..%5cadmin",
    "..\\admin",
    "%2e%2e%5cadmin",
    "..;/admin",
    "..;a=b/admin",
    "x/%2e%2e;/y",
    "%c0%ae%2e/\x00",
    "a\r\nHost: evil",
    "a%0d%0aHost: evil",
    "a%00b",
    "a\x00",
    "a\x7f",
    "x#frag",
    "x?y#frag",
    "a\\b",
    " x",
    "x ",
    "x\n",
    "/%2e%2e",
    "..%20/x",
    "%c0%ae%c0%ae/x",
    "x/..%C0%AFadmin",
    "x/%e0%80%ae%e0%80%ae/x",
    "x/..%c1%9cadmin",
    "x/%u002e%u002e/admin",
    "x%u002f..%u002fadmin",
    "%25c0%25ae%25c0%25ae/x",
    "\uff0e\uff0e/x",
    "x/%EF%BC%8E%EF%BC%8E/x",
    "x/\u2024\u2024/x",
    "x/\u2025/x",
    "x\uff0f..\uff0fx",
    "%" + "25" * 30 + "2e%2e/",
]


@pytest.mark.parametrize("path", LEADS_OUT, ids=range(len(LEADS_OUT)))
def test_paths_that_lead_out(path: str) -> None:
    """Another origin, another host, dot segments in any spelling, control characters: refused."""
    with pytest.raises(TemplateProblem) as caught:
        join_path(BASE, path)
    assert caught.value.code == "E316"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("base", [BASE, "https://a.klaviyo.com", "https://a.klaviyo.com/api"])
@given(path=st.text(alphabet="ab./\\%25eEcC@:?#;é \x00\n", max_size=25))
def test_any_path_stays_below(base: str, path: str) -> None:
    """Whatever the path, it is refused or the URL has the base's origin and path, decoded too."""
    try:
        url = join_path(base, path)
    except TemplateProblem:
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("https", "a.klaviyo.com")
    decoded = parts.path
    for _ in range(5):
        decoded = unquote(decoded)
    assert not {".", ".."} & set(decoded.replace("\\", "/").split("/"))
    assert parts.path.startswith(urlsplit(base).path)
    assert url.isascii()


def test_negative_control_the_corpora_are_real_attacks() -> None:
    """Put in by plain text, the same values do leave the domain, and the same paths the base."""
    hosts = {
        urlsplit(f"https://{value}.zendesk.com/api/").hostname
        for value in ("evil.com/", "evil.com#", "evil.com?")
    }
    assert hosts == {"evil.com"}
    assert urlsplit(urljoin(BASE, "//evil.com/x")).hostname == "evil.com"
    assert urljoin(BASE, "../admin") == "https://a.klaviyo.com/admin"


@pytest.mark.parametrize("name", ["X-Api-Key", "a", "!#$%&'*+-.^_`|~9"])
def test_good_header_names(name: str) -> None:
    """A token is a header name (RFC 9110)."""
    check_header_name(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("X Key", "space in header name; did you mean X-Key?"),
        ("X-Key:", "colon in header name; did you mean X-Key?"),
        ("", "empty header name"),
        ("X\r\nY", r'"\\r" in header name'),
        ("X\x00", "in header name"),
        ("Ü", "in header name"),
        ("a/b", "in header name"),
        (" X", "space in header name; did you mean X?"),
    ],
)
def test_bad_header_names(name: str, words: str) -> None:
    """What is not a token is refused, with the name that was probably meant."""
    with pytest.raises(TemplateProblem) as caught:
        check_header_name(name)
    assert caught.value.code == "E313"
    assert words.replace("\\\\", "\\") in str(caught.value)


BAD_VALUES = [
    "\r\nX-Evil: 1",
    "\n",
    "\r",
    "\x00",
    "\x0b",
    "\x0c",
    "\x1b",
    "\x7f",
    "\x85",
    "\u2028",
    "ā",
    "😀",
    "\ud800",
]


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "Accept", "Cookie", "X"])
@pytest.mark.parametrize("bad", BAD_VALUES, ids=range(len(BAD_VALUES)))
def test_bad_header_values(bad: str, name: str) -> None:
    """A value with a control or a character that headers cannot hold is refused, and never echoed."""
    for value in (f"sekret{bad}tail", f"sekret{bad}", f"{bad}sekret"):
        with pytest.raises(TemplateProblem) as checked:
            check_header_value(value, name)
        with pytest.raises(TemplateProblem) as rendered:
            render_header(compile_template("Bearer ${x}."), {"x": value}, name)
        for caught in (checked, rendered):
            assert caught.value.code == "E312"
            assert name in str(caught.value)
            assert "sekret" not in repr(caught.value)
            assert caught.value.__context__ is None


def test_line_break_is_shown_with_its_place() -> None:
    """The message says which character is wrong and where."""
    with pytest.raises(TemplateProblem, match=r'header "Authorization" holds a line break \(\\n at 27\)'):
        check_header_value("x" * 26 + "\n", "Authorization")


@pytest.mark.parametrize("value", ["", "abc", "a b\tc", "a:é;ÿ", '"quoted"'])
def test_good_header_values(value: str) -> None:
    """Visible text, inner blanks and ISO-8859-1 are field values."""
    check_header_value(value, "X")


@pytest.mark.parametrize("value", [" a", "a ", "\ta"])
def test_blanks_around_a_header_value(value: str) -> None:
    """Blanks around a value are cut off by receivers, so they are refused."""
    with pytest.raises(TemplateProblem, match="begins or ends with a space"):
        check_header_value(value, "X")


def test_header_templates_are_checked_at_load() -> None:
    """What the file itself writes into a header is checked without any value."""
    check_header_template(compile_template("Bearer ${x}"), "Authorization")
    check_header_template(compile_template("${x} Bearer"), "Authorization")
    with pytest.raises(TemplateProblem, match="line break"):
        check_header_template(compile_template("Bearer\n ${x}"), "Authorization")
    with pytest.raises(TemplateProblem, match="line break"):
        check_header_template(compile_template(EnvironmentText("sekret\n")), "Authorization")
