"""Downloads into files and uploads of files, for both executors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from nango_py.engine.base_executor import UNWANTED, BaseExecutor, Result
from nango_py.engine.call_arguments import make_call
from nango_py.engine.download import NO_REST, PARTIAL, WHOLE, PartialFile
from nango_py.engine.plan import make_plan
from nango_py.engine.retry import SENT_RETRIED, UNSENT_RETRIED
from nango_py.engine.upload import Upload, as_repeatable, open_source, piece_plan
from nango_py.errors import RequestFailed, TransportFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from nango_py.engine.call import ApiCall
    from nango_py.engine.call_arguments import Call
    from nango_py.engine.plan import Plan
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.engine.upload import Piece, Progress, Source
    from nango_py.errors import ProviderError
    from nango_py.transport.response import Response

FIRST_ERROR = 400
RESUMED = SENT_RETRIED | UNSENT_RETRIED


class FileExecutor(BaseExecutor[Result]):
    """What both executors do with files."""

    __slots__ = ()

    async def _download(
        self,
        path: str,
        options: Mapping[str, Any],
        target: str | PathLike[str],
        progress: Callable[[int, int | None], object] | None,
        deadline_seconds: float | None,
    ) -> Response:
        """Write the body of a GET to a file; begin again, or go on, when it breaks off."""
        runtime, given = self._get_runtime(), options.get("headers") or {}
        begun, failures = runtime.clock.monotonic(), 0
        may_be_partial = any(str(name).lower() == "range" for name in given)
        with PartialFile(target, progress) as file:
            while True:
                rest = {} if may_be_partial else file.range_headers()
                asked = {**options, "headers": {**given, **rest}} if rest else options
                response = await self.request_steps("GET", path, asked, deadline_seconds=deadline_seconds)
                status = response.status_code
                if rest and (status == NO_REST or (status == PARTIAL and not file.fits(response))):
                    await self._io.discard(response)
                    file.forget()
                    continue
                has_body = status in WHOLE or (status == PARTIAL and bool(rest or may_be_partial))
                if not has_body or response.attempts[-1].action in UNWANTED:
                    raise await self._download_error(response, make_call("GET", path, options))
                file.begin(response)
                failed: TransportFailed | None = None
                try:
                    await self._io.copy(response, file.write)
                except TransportFailed as error:
                    failed = error
                if failed is None:
                    await self._io.run_blocking(file.complete)
                    return response
                failures += 1
                wait = runtime.retries.backoff.seconds(failures)
                is_late = (
                    deadline_seconds is not None
                    and runtime.clock.monotonic() + wait >= begun + deadline_seconds
                )
                if failed.reason not in SENT_RETRIED or failures >= runtime.retries.max_attempts or is_late:
                    raise failed
                await self._io.wait(wait)

    async def _download_error(self, response: Response, call: Call) -> ProviderError:
        """The error for a response that does not hold the file."""
        runtime = self._get_runtime()
        await self._io.read(response)
        connection = await self._usable_connection(runtime, runtime.retries.deadline_seconds)
        plan = make_plan(self._add_base(call), self._bind(runtime, connection))
        return runtime.provider_error(response, plan)

    async def _upload(
        self,
        method: str,
        path: str,
        source: Source,
        options: Mapping[str, Any],
        progress: Progress | None,
        deadline_seconds: float | None,
    ) -> Response:
        """Begin an upload, and send the pieces; after a failure go on where the API says."""
        with open_source(source) as opened:
            call = await self._prepare(method, path, options, deadline_seconds, as_repeatable)
            runtime, start = call.runtime, call.plan
            upload = Upload(start.own.upload or {}, opened, progress)
            response = await self._run(call, raise_for_error=True)
            url = upload.find_url(response)
            if not url:
                raise _refusal(runtime, upload.no_url(), response, start)
            while True:
                await self._io.run_blocking(upload.read_piece)
                failed: TransportFailed | None = None
                try:
                    call = await self._prepare_piece(runtime, start, url, upload.piece, deadline_seconds)
                    response = await self._run(call)
                except TransportFailed as error:
                    failed = error
                if failed is None:
                    result = upload.take(response)
                    if result == "complete":
                        return response
                    if result == "refused":
                        raise _refusal(runtime, upload.problem(response), response, call.plan)
                elif failed.reason not in RESUMED:
                    raise failed
                else:
                    upload.fail()
                if upload.failures >= runtime.retries.max_attempts:
                    raise failed or _refusal(runtime, upload.problem(response), response, call.plan)
                if upload.failures:
                    await self._io.wait(runtime.retries.backoff.seconds(upload.failures))

    async def _prepare_piece(
        self,
        runtime: IntegrationRuntime,
        start: Plan,
        url: str,
        piece: Piece,
        deadline_seconds: float | None,
    ) -> ApiCall:
        with self._start(piece.method, start.endpoint) as begun:
            plan_for = partial(piece_plan, start, url, piece)
            begun.use(runtime)
            return await self._make_api_call(
                begun, runtime, deadline_seconds, plan_for, follows_redirects=False
            )


def _refusal(runtime: IntegrationRuntime, problem: str, response: Response, plan: Plan) -> RequestFailed:
    """The error for a response that ends an upload."""
    if response.status_code >= FIRST_ERROR:
        return runtime.provider_error(response, plan)
    name = plan.settings.connection.integration
    text = f"{name} {plan.method} /{plan.masked_endpoint()}: {problem}"
    return RequestFailed(text, plan=plan, response=response)
