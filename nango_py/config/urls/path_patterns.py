"""Path patterns of blueprints: `lists/`, `profiles/{id}/`, `v1/*/items`."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=4096)
def segments_of(path: str) -> tuple[str, ...]:
    """The segments of a path, without its query and without slashes at either end."""
    return tuple(segment for segment in path.partition("?")[0].split("/") if segment)


def segments_fit(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """Whether the segments match those of the pattern."""
    return len(pattern) == len(segments) and all(
        wanted in {"*", segment} or (wanted.startswith("{") and wanted.endswith("}"))
        for wanted, segment in zip(pattern, segments, strict=True)
    )


def path_fits(pattern: str, path: str) -> bool:
    """Whether a path matches a pattern; `*` and `{name}` match any one segment."""
    return segments_fit(segments_of(pattern), segments_of(path))
