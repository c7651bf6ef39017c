"""A call until its first attempt: what fails there is logged as the end of the call, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from nango_py.attempt import CallRecord
from nango_py.engine.log import get_logger, log_call
from nango_py.errors import NangoError
from nango_py.secret import mask_rare

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from nango_py.engine.runtime import IntegrationRuntime


class CallStart:
    """A context manager around everything that comes before `ApiCall.run`, which logs its own end.

    Args:
        identity: integration and user id.
        method: of the call.
        path: of the call; its query is not logged.
        secrets: texts to mask in the path.

    Attributes:
        record: the record of the call.
    """

    __slots__ = ("_identity", "_method", "_path", "_runtime", "_secrets", "_started", "record")

    def __init__(self, identity: tuple[str, str], method: str, path: str, secrets: Iterable[str]) -> None:
        self.record = CallRecord()
        self._identity = identity
        self._method = method
        self._path = path
        self._secrets = secrets
        self._runtime: IntegrationRuntime | None = None
        self._started = 0.0

    def use(self, runtime: IntegrationRuntime) -> IntegrationRuntime:
        """Measure the time by the clock of this runtime, which is returned, and use its logger."""
        self._runtime = runtime
        self._started = runtime.clock.monotonic()
        return runtime

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, GeneratorExit):
            return
        runtime, integration = self._runtime, self._identity[0]
        seconds = 0.0 if runtime is None else runtime.clock.monotonic() - self._started
        logger = get_logger(integration, None) if runtime is None else runtime.logger
        if isinstance(error, NangoError):
            error.call_id = error.call_id or self.record.call_id
        log_call(logger, self._identity, str(self._method), self._endpoint, self.record, seconds, error)

    def _endpoint(self) -> str:
        return mask_rare(str(self._path).partition("?")[0], self._secrets)
