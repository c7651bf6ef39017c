"""The streams of singer-sdk and Airbyte's CDK, as an author of a connector writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class StaticToken:
    """A token provider of Airbyte's CDK for a key that does not change."""

    key: str

    def get_token(self) -> str:
        """The key."""
        return self.key


def singer(base: str, path: str, params: dict[str, str], key: str) -> Any:
    """A singer-sdk stream over `data`, following `links.next` where there is one."""
    from singer_sdk import RESTStream, Tap
    from singer_sdk.authenticators import BearerTokenAuthenticator
    from singer_sdk.pagination import BaseHATEOASPaginator

    class Links(BaseHATEOASPaginator):
        """The next link of the body."""

        def get_next_url(self, response: Any) -> str | None:
            """The link, or None on the last page."""
            following: str | None = response.json().get("links", {}).get("next")
            return following

    class Stream(RESTStream[Any]):
        """The records of one path."""

        name = "bench"
        url_base = base
        records_jsonpath = "$.data[*]"
        schema = {"type": "object", "properties": {"id": {"type": "string"}}}  # noqa: RUF012 - as the SDK asks

        @property
        def authenticator(self) -> Any:
            """The key as a bearer token."""
            return BearerTokenAuthenticator(token=key)

        def get_new_paginator(self) -> Any:
            """Follow links."""
            return Links()

        def get_url_params(self, context: Any, next_page_token: Any) -> dict[str, str]:
            """The parameters of the first page, or of the link."""
            if next_page_token is None:
                return params
            return dict(pair.split("=", 1) for pair in next_page_token.query.split("&"))

    class BenchTap(Tap):
        """A tap of one stream."""

        name = "tap-bench"
        config_jsonschema = {"type": "object", "properties": {}}  # noqa: RUF012

        def discover_streams(self) -> list[Any]:
            """Streams are built by the benchmark."""
            return []

    return Stream(BenchTap(config={}), path=path)
