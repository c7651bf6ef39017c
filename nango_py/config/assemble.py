"""The last step of loading: makes an Integration from a merged and checked tree."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from nango_py.config.model import Integration, Status
from nango_py.config.own_fields import own_fields
from nango_py.config.template.variables import find_secret_names, variable_names
from nango_py.config.values import EnvironmentText, freeze
from nango_py.record import record
from nango_py.secret import Secret

if TYPE_CHECKING:
    from nango_py.config.model import Config, RequestSettings
    from nango_py.config.yaml.merge import Origins
    from nango_py.json_types import Settings

_APP_NAMES = ("app_api_key", "oauth_client_id", "oauth_client_secret")
_APP_SECRETS = frozenset({"app_api_key", "oauth_client_secret"})


def assemble_integration(
    name: str,
    parent: Parent,
    tree: Settings,
    origins: Origins,
    requests: RequestSettings,
    config: Config,
) -> Integration:
    """The integration of a merged tree; checks nothing."""
    settings = dict(tree)
    auth_mode = str.__str__(settings["auth"]["auth_mode"])
    app = {key: str.__str__(settings[key]) for key in _APP_NAMES if settings.get(key)}
    # Secrets are hidden when settings are printed, whether or not they come from the environment.
    settings.update({key: EnvironmentText(app[key]) for key in _APP_SECRETS & app.keys()})
    given = {key: str.__str__(value) for key, value in (settings.get("app") or {}).items()}
    if given:
        settings["app"] = {key: EnvironmentText(value) for key, value in given.items()}
    own = own_fields(settings)
    if settings["requests"].get("proxy_url"):
        hidden = EnvironmentText(str.__str__(settings["requests"]["proxy_url"]))
        settings["requests"] = {**settings["requests"], "proxy_url": hidden}
    return Integration(
        name=name,
        blueprint=parent.ref,
        title=str(settings.get("title") or parent.title or name),
        auth_mode=auth_mode,
        settings=freeze(settings),
        origins=origins,
        requests=requests,
        status=parent.status,
        log_level=str.__str__(settings.get("log_level", config.default_action_log_level)) or None,
        app_variables=MappingProxyType({key: Secret(value) for key, value in app.items()}),
        oauth_scopes=_join_scopes(settings),
        app_credentials=MappingProxyType({key: Secret(value) for key, value in given.items()}),
        own_fields=own,
        names=variable_names(auth_mode) | {field.name for field in own},
        secret_names=find_secret_names(auth_mode, settings, (*requests.headers, *requests.params)),
    )


def _join_scopes(settings: Settings) -> tuple[str, ...]:
    """The scopes that the API always needs, and those of the product."""
    scopes = (*(settings["auth"].get("default_scopes") or ()), *(settings.get("oauth_scopes") or ()))
    return tuple(dict.fromkeys(map(str.__str__, scopes)))


@record
class Parent:
    """What an integration keeps of its blueprint; empty if it has none."""

    ref: str = ""
    title: str = ""
    status: Status = Status()
