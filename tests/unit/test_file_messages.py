"""Messages about files say what is wrong where it was written, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nango_py.config.catalogue import open_catalogue
from nango_py.config.loading import load_configuration
from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.urls.base_url import render_url
from nango_py.errors import ConfigError, nearest

if TYPE_CHECKING:
    from pathlib import Path

ACME = """\
integrations:
  a:
    auth: {auth_mode: API_KEY}
    requests:
      headers: {K: "${api_key}"}
      base_url: https://acme.test/
"""
JOINED = 'write a space after "extends_blueprint:"'
HOST = "https://acme.test/"


def acme(old: str, new: str) -> str:
    """The file with another text."""
    return ACME.replace(old, new)


CASES = {
    "a version without v": (
        "integrations:\n  a: {extends_blueprint: klaviyo:1}\n",
        "2:26 E102",
        'mean "klaviyo:v1"?',
    ),
    "a version in capitals": (
        "integrations:\n  a: {extends_blueprint: klaviyo:V0}\n",
        "2:26 E102",
        'mean "klaviyo:v0"?',
    ),
    "no space": ("integrations:\n  a:\n    extends_blueprint:klaviyo:v1\n", "3:5 E201", JOINED),
    "no space before more keys": (
        "integrations:\n  a:\n    extends_blueprint:klaviyo:v1\n    title: x\n",
        "4:10 E002",
        JOINED,
    ),
    "no space after other keys": (
        "integrations:\n  a:\n    title: x\n    extends_blueprint:klaviyo:v1\n",
        "5:1 E002",
        JOINED,
    ),
    "no space in braces": ("integrations:\n  a: {extends_blueprint:klaviyo:v1}\n", "2:7 E202", JOINED),
    "no space within auth": (
        acme("auth: {auth_mode: API_KEY}", "auth:\n      auth_mode:API_KEY"),
        "4:7 E201",
        'after "auth_mode:"',
    ),
    "a window that is not in a list": (
        ACME + "    rate_limits: {budgets: [{key: a, otherwise: 5/second}]}\n",
        "7:49 E205",
        "write [5/second]",
    ),
    "a hyphen in a name": (acme("api_key}", "api-key}"), "5:20 E308", "did you mean ${api_key}?"),
    "a space in a name": (acme("api_key}", "api key}"), "5:20 E308", "did you mean ${api_key}?"),
    "a dollar in a name": (acme("api_key}", "$api_key}"), "5:20 E308", "did you mean ${api_key}?"),
    "a variable as the end of a host": (
        acme(HOST, "https://api.${additional_config.site}/"),
        "6:17 E304",
        "may not end the host",
    ),
    "a variable as the whole host": (
        acme(HOST, "https://${additional_config.site}/"),
        "6:17 E304",
        "may not be the whole host",
    ),
    "a default that is not a label": (
        acme(HOST, "https://${additional_config.region | default('api.eu')}.acme.test/"),
        "6:17 E305",
        "the default",
    ),
    "a proxy for all": (ACME + "config:\n  proxy_url: ftp://proxy.test\n", "8:14 E204", "not a proxy URL"),
    "a proxy for all and hosts of users": (
        (
            "integrations:\n  b: {extends_blueprint: klaviyo:v1}\n  a: {extends_blueprint: gitlab:v4}\n"
            "config: {proxy_url: 'http://proxy.test'}\n"
        ),
        "3:3 E321",
        "requests.proxy_url: direct",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_explained_where_it_was_written(tmp_path: Path, name: str) -> None:
    """Place, code and the words that help."""
    text, place, words = CASES[name]
    file = tmp_path / "integrations.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_configuration(file, catalogue=open_catalogue(tmp_path / "blueprints"), environ={})
    found = {
        f"{problem.position.line}:{problem.position.column} {problem.code}": problem
        for problem in caught.value.problems
    }
    assert place in found, str(caught.value)
    assert words in str(found[place])


@pytest.mark.parametrize("name", ["eu", "api"])
def test_a_default_that_is_a_label_is_right(name: str) -> None:
    """The control; a default behind the host may be any text."""
    url = f"https://${{additional_config.region | default('{name}')}}.acme.test/${{user_id | default('a.b')}}"
    entry = {"auth": {"auth_mode": "NONE"}, "requests": {"base_url": url}}
    load_configuration({"a": entry}, catalogue=open_catalogue(None), environ={})


def test_the_text_of_an_expression_is_not_blamed_on_its_variable() -> None:
    """In a choice the file's text may be what is wrong; a variable alone is named."""
    choice = "${'api.eu' if additional_config.region == 'eu' else 'api'}"
    for part, words in (
        (choice, "the expression with"),
        ("${additional_config.region}", '"additional_config.region" is not'),
    ):
        template = compile_template(f"https://{part}.acme.test/")
        with pytest.raises(TemplateProblem, match=words):
            render_url(template, {"additional_config": {"region": "eu" if part == choice else "a.b"}})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("code_param", ""),
        ("titel", "title"),
        ("lack", "slack"),
        ("klavio", "klaviyo"),
        ("refresh", "refresh_url"),
        ("Base_URL", "base_url"),
        ("acces_token", "access_token"),
    ],
)
def test_only_a_similar_name_is_suggested(name: str, meant: str) -> None:
    """Long names have much in common by chance."""
    known = ("token_params", "title", "slack", "klaviyo", "refresh_url", "base_url", "access_token")
    assert nearest(name, known) == meant
