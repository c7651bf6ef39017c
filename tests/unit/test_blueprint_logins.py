"""`nango blueprints test` and `nango check` of a blueprint with several logins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

DESK = """\
name: desk
version: v1
requests: {base_url: https://api.desk.test/v1/}
verification: {path: me}
logins:
  oauth:
    auth:
      auth_mode: OAUTH2
      authorization_url: https://id.desk.test/authorize
      token_url: https://id.desk.test/token
      pkce: supported
    requests: {headers: {Authorization: "Bearer ${access_token}"}}
  api_token:
    auth: {auth_mode: API_KEY}
    requests: {headers: {X-Token: "${api_key}"}}
examples:
  - call: {path: me}
    credentials: {access_token: t_test}
    sends: {headers: {Authorization: Bearer t_test}}
    response: {status: 200, json: {}}
"""


LOGIN = """\
name: desk
version: v1
auth:
  auth_mode: OAUTH2
  authorization_url: https://id.desk.test/authorize
  token_url: https://id.desk.test/token
  authorization_method: header
  pkce: required
  keep_from_response: {site: site.name}
  after_login:
    - url: https://api.desk.test/v1/accounts
      choose: {from: "accounts[]", label: title}
      keep: {account: id}
connection_config:
  required: [site, account]
  properties: {site: {type: string}, account: {type: string}}
requests:
  base_url: https://api.desk.test/v1/${additional_config.account}/
  headers: {Authorization: "Bearer ${access_token}"}
verification: {path: me}
"""


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("", "", "no differences"),
        (
            "account: {type: string}",
            'account: {type: string, pattern: "^[0-9]+$"}',
            "login: a login ends with",
        ),
        ("Bearer ${access_token}", "Bearer ${access_token}x", "no differences"),
        (
            "verification: {path: me}",
            "verification: {path: me, refuses: [2xx]}",
            "login: the credentials of a login",
        ),
    ],
)
def test_a_login_in_the_browser_is_tried(product: Product, old: str, new: str, found: str) -> None:
    """By the rules of the blueprint: client authentication, PKCE, what is kept, and the chosen account."""
    product.write("drafts/desk.v1.yaml", LOGIN.replace(old, new, 1))
    assert found in product.run("blueprints", "test", "drafts/desk.v1.yaml").out


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("", "", ""),
        ("t_test}\n    sends", "t_test, api_key: k}\n    sends", "18:18"),
        ("${api_key}", "${api_ke}", "15:38"),
        ("Bearer t_test", "Bearer other", "17:5"),
        ("verification: {path: me}", "verification: {path: me, refuses: [], accepts: [2xx, 401]}", "4:15"),
    ],
)
def test_each_login_is_tested(product: Product, old: str, new: str, place: str) -> None:
    """Examples are those of the first login; other logins make the same calls with sample credentials."""
    product.write("drafts/desk.v1.yaml", DESK.replace(old, new, 1))
    found = product.run("blueprints", "test", "drafts/desk.v1.yaml")
    assert found.code == (1 if place else 0), found.out
    assert f"drafts/desk.v1.yaml:{place}:" in found.out if place else "no differences" in found.out


OF_TOKEN = """\
  - login: api_token
    call: {path: other}
    credentials: {api_key: k_test}
    sends: {headers: {X-Token: k_test}}
    response: {status: 200, json: {}}
"""


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("", "", ""),
        ("X-Token: k_test", "X-Token: other", "21:5"),
        ("api_key: k_test", "access_token: k_test", "23:18"),
        ("login: api_token", "login: api_tokn", "21:12"),
    ],
)
def test_an_example_may_be_for_one_login(product: Product, old: str, new: str, place: str) -> None:
    """Its credentials and its request are those of that login, and the others do not make the call."""
    product.write("drafts/desk.v1.yaml", DESK + OF_TOKEN.replace(old, new, 1))
    found = product.run("blueprints", "test", "drafts/desk.v1.yaml")
    everything = found.out + found.err
    assert bool(found.code) is bool(place), everything
    assert f"drafts/desk.v1.yaml:{place}:" in everything if place else "no differences" in found.out


SELF_HOSTED = """\
  self_hosted:
    auth: {auth_mode: API_KEY}
    connection_config:
      required: [host]
      properties: {host: {type: string, title: Host, format: host}}
    requests:
      base_url: https://${additional_config.host}/api/
      bases: {uploads: "https://${additional_config.host}/uploads/"}
      headers: {X-Token: "${api_key}"}
    rate_limits: {budgets: [{key: all, otherwise: [5/second]}]}
examples:
  - login: self_hosted
    call: {path: me}
    credentials: {api_key: key_test}
    additional_config: {host: desk.example.test}
    sends: {url: "https://desk.example.test/api/me", headers: {X-Token: key_test}}
    response: {status: 200, json: {}}
    expects: {counts: [5/second]}
"""


def test_a_login_may_have_its_own_hosts_and_limits(product: Product) -> None:
    """Examples for all logins have its settings then, and are not held to the limits of the first."""
    limits = "rate_limits: {budgets: [{key: all, otherwise: [10/second]}]}\n"
    text = DESK.replace("examples:\n", SELF_HOSTED, 1) + "    expects: {counts: [10/second]}\n" + limits
    product.write("drafts/desk.v1.yaml", text)
    assert "no differences" in product.run("blueprints", "test", "drafts/desk.v1.yaml").out
    product.write("drafts/desk.v1.yaml", text.replace("counts: [5/", "counts: [6/"))
    assert "example 1: " in product.run("blueprints", "test", "drafts/desk.v1.yaml").out
