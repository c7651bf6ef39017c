"""Bodies that are worth leaving to `requests`: multipart uploads."""

from __future__ import annotations

from typing import Any

import requests

from nango_py.errors import InvalidRequest


def encode_files(data: Any, files: Any) -> tuple[bytes, str, bool]:
    """Body, content type and replayability of an upload, as `requests.post(files=...)` encodes it (RFC 7578).

    Raises:
        InvalidRequest: the fields or files have no multipart form.
    """
    try:
        prepared = requests.Request("POST", "https://localhost/", data=data, files=files).prepare()
    except (TypeError, ValueError, OSError) as error:
        reason = type(error).__name__
    else:
        body = prepared.body
        return (
            body if isinstance(body, bytes) else str(body or "").encode(),
            prepared.headers["Content-Type"],
            True,
        )
    raise InvalidRequest(f"files= cannot be encoded as multipart ({reason})")
