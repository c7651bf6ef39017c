"""The records of a list, one by one, and pages that are requested before they are needed."""

from __future__ import annotations

import threading
from itertools import chain
from operator import length_hint
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from nango_py.engine.paging import PageWalk, ParsedPage
    from nango_py.json_types import JsonObject
    from nango_py.transport.response import Response


class Reader:
    """Which record of which page was read last."""

    def __init__(self, walk: PageWalk) -> None:
        self._walk = walk
        self._page: ParsedPage | None = None
        self._end = 0
        self._unread: Iterator[Any] = iter(())
        self._skip = walk.skip
        self._left = walk.options.max_records

    @property
    def state(self) -> JsonObject:
        """Where to go on after the last record, as JSON for `paginate(..., state=...)`.

        `state["done"]` says whether the list has ended. It holds no credential.

        Raises:
            RequestFailed: the last page does not say how the list goes on, or its link holds a credential.
        """
        read = self._end - length_hint(self._unread)
        return self._walk.start_state if self._page is None else self._page.state(read)

    def batch_of(self, page: ParsedPage) -> list[Any]:
        """The records of a page that are still to be read, at once."""
        begin, end, self._skip = self._skip, len(page.records), 0
        if self._left is not None:
            end = min(end, begin + self._left)
            self._left -= max(0, end - begin)
        self._page, self._end, self._unread = page, max(begin, end), iter(())
        return page.records[begin:end]

    def records_of(self, page: ParsedPage) -> Iterator[Any]:
        """The records of a page that are still to be read, one by one."""
        # How many are left is asked of the iterator, because counting would take more time than iterating.
        self._unread = unread = iter(self.batch_of(page))
        return unread


class Records(Reader):
    """The records of a list, one by one; `state` is where to go on after the last one."""

    def __init__(self, walk: PageWalk, pages: Generator[ParsedPage, None, None]) -> None:
        super().__init__(walk)
        self._pages = pages
        # A generator of ours would be resumed for each record.
        self._records = chain.from_iterable(map(self.records_of, pages))

    def batches(self) -> Iterator[list[Any]]:
        """The records page by page, as lists; `state` is where to go on after the last list."""
        return map(self.batch_of, self._pages)

    def __iter__(self) -> Iterator[Any]:
        return self._records

    def __next__(self) -> Any:
        return next(self._records)

    def close(self) -> None:
        """Read no more records."""
        self._pages.close()
        self._end -= length_hint(self._unread)
        for _ in self._unread:
            pass


class _PageAhead(threading.Thread):
    """Requests one page in a thread. If the caller stops before, the page is dropped."""

    def __init__(self, fetch: Callable[[], ParsedPage | None]) -> None:
        super().__init__(name="nango-next-page", daemon=True)
        self._fetch = fetch
        self._page: ParsedPage | None = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Request the page."""
        try:
            self._page = self._fetch()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads the pages
            self._error = error

    def result(self) -> ParsedPage | None:
        """The page; None after the last one."""
        self.join()
        error, self._error = self._error, None
        if error is None:
            return self._page
        try:
            raise error
        finally:
            del error


def read_ahead(fetch: Callable[[], ParsedPage | None], seen: Callable[[], object]) -> Iterator[ParsedPage]:
    """The pages of a walk; each is requested while the caller uses the one before.

    Args:
        fetch: requests the next page; None after the last one.
        seen: called in the caller's thread when a page that was requested in another thread has come.
    """
    page = fetch()
    while page is not None:
        ahead = _PageAhead(fetch)
        yield page
        try:
            page = ahead.result()
        finally:
            seen()


def with_state(page: ParsedPage) -> Response:
    """The response of a page, with its `state`."""
    page.response.get_state = page.state
    return page.response
