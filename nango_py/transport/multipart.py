"""Multipart uploads, encoded by `requests`."""

from __future__ import annotations

from typing import Any

import requests

from nango_py.errors import InvalidRequest


def encode_files(data: Any, files: Any) -> tuple[bytes, str, bool]:
    """Body, content type and True: the body can be sent again.

    Args:
        data: further fields, as in `requests.post(data=...)`.
        files: as in `requests.post(files=...)` (RFC 7578).

    Raises:
        InvalidRequest: `requests` cannot encode them.
    """
    try:
        prepared = requests.Request("POST", "https://localhost/", data=data, files=files).prepare()
    except (TypeError, ValueError, OSError, RecursionError) as error:
        reason = type(error).__name__
    else:
        body = prepared.body or b""
        return body if isinstance(body, bytes) else body.encode(), prepared.headers["Content-Type"], True
    raise InvalidRequest(f"files= cannot be encoded as multipart ({reason})")
