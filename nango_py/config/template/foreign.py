"""Finds variables in the form of another tool, such as `{{ api_key }}`, which would be sent as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.template.compiler import literal_parts
from nango_py.config.template.filters import TemplateProblem
from nango_py.errors import nearest, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

MAY_BE_FOREIGN = re.compile(r"(?<!\$)\{|\$(?!\{)|%\(|%[A-Za-z]|<")
"""Found in every text that `check_foreign_names` refuses."""

_NAME = r"[A-Za-z_][\w.]*"
_FOREIGN = re.compile(
    rf"(?P<double>\{{\{{\s*[^{{}}\s][^{{}}]*\}}\}})|\{{\s*(?P<single>{_NAME})\s*(?:[!:][^{{}}]*)?\}}"
    rf"|\$\(?(?P<shell>{_NAME})\)?|%\((?P<python>{_NAME})\)s|%(?P<windows>{_NAME})%|<[%=\s]*(?P<erb>{_NAME})[%\s]*>",
    re.ASCII,
)


def check_foreign_names(text: str, names: Mapping[str, str], *, is_sure: bool) -> None:
    """Refuse a variable as Mustache, Python, shells, Windows or ERB write it. Double braces always are one.

    Args:
        text: a template that compiles.
        names: how templates write each variable, by its name in lower case.
        is_sure: whether single braces around other names are refused too.

    Raises:
        TemplateProblem: E323.
    """
    for offset, part in literal_parts(text):
        for found in _FOREIGN.finditer(part):
            name = re.search(_NAME, found[0], re.ASCII)
            written = name[0].lower().rstrip(".") if name else ""
            root, dot, rest = written.partition(".")
            known = names.get(written) or (names[root] + dot + rest if root in names else "")
            if not (known or found["double"] or (is_sure and found["single"])):
                continue
            form = known or names.get(nearest(root, names), "name")
            # What is not a known name could be a key.
            shown = printable(found[0], 40) if known else "a name in braces"
            raise TemplateProblem(
                "E323",
                f"{shown} would be sent as text",
                hint=f"write ${{{form}}}",
                offset=offset + found.start(),
            )
