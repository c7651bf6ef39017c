"""The parts of SVG that the pictures of the docs need."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

INK, FAINT, GRID = "#24292f", "#57606a", "#d0d7de"
BLUE, GREEN, RED, ORANGE, GREY = "#0969da", "#1a7f37", "#cf222e", "#bc4c00", "#afb8c1"


class Picture:
    """A white sheet; y grows downwards, as in SVG.

    Args:
        width: in pixels.
        height: in pixels.
        title: the text for screen readers.
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"',
            f'     viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]

    def line(
        self, start: tuple[float, float], end: tuple[float, float], color: str, *, dashes: str = ""
    ) -> None:
        """A straight line of one pixel."""
        self._element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], stroke=color, dashes=dashes)

    def path(self, points: list[tuple[float, float]], color: str) -> None:
        """A line through points."""
        self._element(
            "polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), fill="none", stroke=color
        )

    def dot(self, x: float, y: float, color: str) -> None:
        """A small filled circle."""
        self._element("circle", cx=x, cy=y, r=2.5, fill=color)

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """A filled rectangle."""
        self._element("rect", x=x, y=y, width=width, height=height, fill=color)

    def text(self, x: float, y: float, words: str, color: str = INK, anchor: str = "start") -> None:
        """Words with their baseline at y."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def seconds(self, left: float, pixels: float, count: int, top: float, bottom: float) -> None:
        """An axis of time: a line for each second from `left`, `pixels` apart."""
        for second in range(count + 1):
            x = left + second * pixels
            self.line((x, top), (x, bottom), GRID)
            self.text(x, bottom + 16, f"{second} s", FAINT, "middle")

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>", ""])

    def _element(self, name: str, *, dashes: str = "", **attributes: float | str) -> None:
        if dashes:
            attributes["stroke-dasharray"] = dashes
        written = (
            f"{key}={quoteattr(f'{value:.1f}' if isinstance(value, float) else str(value))}"
            for key, value in attributes.items()
        )
        self._parts.append(f"<{name} {' '.join(written)}/>")
