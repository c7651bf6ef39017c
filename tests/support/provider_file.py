"""A small file in the format of Nango's provider file, with every kind of entry that is read."""

PROVIDERS = """\
crm:
  display_name: Acme CRM
  categories: [crm]
  auth_mode: OAUTH2
  authorization_url: https://id.crm.test/authorize
  token_url: https://id.crm.test/token
  authorization_params: {response_type: code, prompt: consent, forced: true}
  token_params: {grant_type: authorization_code}
  refresh_params: {grant_type: refresh_token}
  token_request_auth_method: basic
  scope_separator: ','
  disable_pkce: true
  default_scopes: [offline]
  token_response_metadata: [instance_url, team.id]
  redirect_uri_metadata: [account-id]
  post_connection_script: crmPostConnection
  proxy:
    base_url: ${connectionConfig.instance_url}
    retry: {at: [x-reset], remaining: x-left, error_code: ['403', '429']}
    paginate:
      type: cursor
      cursor_path_in_response: meta.next-cursor
      cursor_name_in_request: after
      response_path: data.items
      limit_name_in_request: limit
  connection_config:
    instance_url: {type: string, title: Instance, description: '', automated: true}
crm-sandbox:
  alias: crm
  display_name: Acme CRM (sandbox)
  token_url: https://id.sandbox.crm.test/token
  proxy: {retry: {after: [x-wait]}}
keyed:
  display_name: Keyed
  auth_mode: API_KEY
  proxy:
    base_url: https://${connectionConfig.region}.keyed.test || https://us.keyed.test
    query: {key: '${apiKey}'}
    headers: {content-type: application/json, x-version: '${connectionConfig.version} || 2026-01-01'}
    verification: {method: GET, endpoints: [/v1/me, /v1/you]}
    paginate: {type: link, link_path_in_response_body: '@odata.nextLink', response_path: value}
  credentials:
    apiKey: {type: string, title: Key, description: In Settings., pattern: '^k_', example: k_1, secret: true}
  connection_config:
    region: {type: string, title: Region, description: Of the account., pattern: '^[a-z]+$', optional: true}
basic:
  display_name: Basic
  auth_mode: BASIC
  proxy:
    base_url: https://api.basic.test
    paginate:
      {type: offset, offset_name_in_request: page, offset_start_value: 1, offset_calculation_method: per-page}
  credentials:
    username: {type: string, title: API key, description: '', pattern: '(a+)+$'}
    password: {type: string, title: '', description: '', default_value: x, hidden: true}
client:
  display_name: Client
  auth_mode: OAUTH2_CC
  require_client_certificate: true
  token_url: https://id.client.test/token
  body_format: json
  token_expiration_buffer: 60
  proxy:
    base_url: https://api.${connectionConfig.site}
    paginate: {type: link, link_rel_in_response_header: next}
  connection_config:
    site: {type: string, title: Site, description: '', enum: [client.test, eu.client.test]}
login:
  display_name: Login
  auth_mode: TWO_STEP
  body_format: json
  token_url: https://${connectionConfig.domain}/session
  token_params: {user: '${credentials.userName}', pin: '${credentials.userPin}', stay: true}
  token_response: {token: data.token, token_expiration: data.until, token_expiration_strategy: expireAt}
  token_expires_in_ms: 3600000
  additional_steps:
    - {token_url: 'https://${connectionConfig.domain}/session/${step1.data.id}', token_request_method: GET}
  proxy:
    base_url: https://${connectionConfig.domain}/api
    headers: {x-session: '${accessToken}', x-call: '${random}'}
  credentials:
    userName: {type: string, title: User, description: ''}
    userPin: {type: string, title: PIN, description: '', secret: true}
  connection_config:
    domain: {type: string, title: Domain, description: '', format: hostname, example: acme.login.test}
self-made:
  display_name: Self-made
  auth_mode: JWT
  token:
    signing_key: ${credentials.privateKey}
    expires_in_ms: 300000
    header: {alg: ES256, kid: '${credentials.privateKeyId}', typ: JWT}
    payload: {aud: self-made, iat: 1, exp: 2}
  proxy: {base_url: 'https://api.self-made.test'}
  credentials:
    privateKey: {type: string, title: Key, description: ''}
    privateKeyId: {type: string, title: ID, description: ''}
signed-1:
  display_name: Signed
  auth_mode: OAUTH1
  request_url: https://id.signed.test/request
  authorization_url: https://id.signed.test/authorize
  token_url: https://id.signed.test/token
  signature_method: HMAC-SHA1
  proxy: {base_url: 'https://api.signed.test'}
tools:
  display_name: Tools
  auth_mode: MCP_OAUTH2
  client_registration: dynamic
  proxy: {base_url: 'https://mcp.tools.test/mcp'}
open:
  display_name: Open
  auth_mode: NONE
  proxy: {base_url: 'https://api.open.test'}
"""

HOST = "proxy: {base_url: 'https://a.test'}"
REFUSED = {
    "lost": ("alias: nowhere", "nowhere"),
    "loop": ("alias: loop", "aliases"),
    "plugin": (f"auth_mode: INSTALL_PLUGIN\n  {HOST}", "INSTALL_PLUGIN"),
    "no-url": ("auth_mode: NONE", "base URL"),
    "no-place": (f"auth_mode: API_KEY\n  {HOST}", "placed"),
    "signing": (
        "auth_mode: NONE\n  proxy: {base_url: 'https://a.test', headers: {x: '${hmacSha1Hex(${a}, ${b})}'}}",
        "hmacSha1Hex",
    ),
    "dated": (
        "auth_mode: API_KEY\n  proxy: {base_url: 'https://a.test', headers: {x: '${apiKey} ${now:YYYY}'}}",
        "now:YYYY",
    ),
    "open-brace": (
        "auth_mode: NONE\n  proxy: {base_url: 'https://a.test', headers: {x: '${apiKey'}}", "not closed",
    ),
    "other-fallback": (
        "auth_mode: NONE\n  proxy: {base_url: 'https://${connectionConfig.a}.b.test || https://c.test'}",
        "fallback",
    ),
    "any-host": (
        "auth_mode: OAUTH2\n  authorization_url: https://${connectionConfig.h}/a\n"  # noqa: ISC004 - one text
        "  token_url: https://${connectionConfig.h}/t\n  proxy: {base_url: 'https://${connectionConfig.h}'}",
        "E322",
    ),
    "plain-http": ("auth_mode: NONE\n  proxy: {base_url: 'http://a.test'}", "E30"),
    "../../up": (f"auth_mode: NONE\n  {HOST}", "name"),
    "list": ("", "mapping"),
}  # fmt: skip
"""Entries that cannot be a blueprint, each with a word of the reason."""


def provider_file() -> str:
    """The whole file."""
    refused = "".join(
        f"{name}:\n  display_name: X\n  {body}\n" for name, (body, _) in REFUSED.items() if name != "list"
    )
    return f"{PROVIDERS}{refused}list:\n  - a\n"
