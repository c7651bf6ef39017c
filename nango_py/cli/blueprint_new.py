"""`nango blueprints new`: the draft of a blueprint."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.project import Project, pass_project
from nango_py.errors import ConfigError, Position, Problem, printable
from nango_py.importers.drafts.draft import (
    CLIENT,
    KEY,
    LOGINS,
    OAUTH2,
    PAGINATIONS,
    Draft,
    Setting,
    write_draft,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_SHOWN = 200
_REF = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})(?::(v(?:0|[1-9][0-9]{0,8})))?")
_PLACES = re.compile(r"\$?\{(?:additional_config\.)?(\w+)\}")
QUESTIONS = {
    "title": "Name of the API for people",
    "docs_url": "URL of its manual",
    "base_url": "URL below which all calls lie, such as https://api.acme.com/v1/",
    "login": f"Login ({', '.join(LOGINS)})",
    "key": "Header or query parameter with the key, such as X-Api-Key or ?api_key",
    "authorization_url": "URL of the provider's login page",
    "token_url": "URL of the token endpoint",
    "verify": "Path of a call that every credential can make, such as me (Enter for none)",
    "pagination": f"Pagination of lists ({', '.join(PAGINATIONS)})",
}
PAGINATION_KEYS: dict[str, dict[str, object]] = {
    "none": {},
    "next_url": {"next": "links.next"},
    "link_header": {"rel": "next"},
    "cursor": {"cursor": "meta.next_cursor", "param": "cursor"},
    "offset": {"param": "offset", "size": {"param": "limit", "value": 100}},
    "page": {"param": "page", "start": 1, "size": {"param": "per_page", "value": 100}},
}


@click.command()
@click.argument("name", metavar="NAME[:VERSION]")
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An OpenAPI document (2.0 or 3) or a Postman collection.",
)
@click.option("--title", help="The name of the API for people.  [default: the name]")
@click.option("--docs-url", metavar="URL", help="The API's manual.")
@click.option("--base-url", metavar="URL", help="The URL below which all calls lie; {name} for a setting.")
@click.option("--login", type=click.Choice(LOGINS), help="How users log in.")
@click.option(
    "--key-place",
    "key",
    metavar="HEADER|?PARAM",
    help="For key: the header or parameter.  [default: Authorization: Bearer]",
)
@click.option("--authorization-url", metavar="URL", help="For oauth2: the provider's login page.")
@click.option("--token-url", metavar="URL", help="For oauth2 and client-credentials: the token endpoint.")
@click.option("--verify", metavar="PATH", help="A call that every credential can make.")
@click.option("--pagination", type=click.Choice(PAGINATIONS), help="How lists go on.")
@click.option("--records", metavar="PATH", help="JMESPath to the records of a list.  [default: data]")
@pass_project
def new(project: Project, /, name: str, source: Path | None, **options: str | None) -> None:
    """Write a commented draft of a blueprint for an API.

    It asks for what options and document leave open; without a terminal it fails. The draft passes
    `nango check` and `nango blueprints test`. An existing file is not overwritten.

    \b
    Example:
      nango blueprints new acme
      nango blueprints new acme:v2 --from openapi.yaml
      nango blueprints new acme --base-url https://api.acme.com/v1/ --login key --verify me
    """
    known = _read(source)
    file, _ = _write(name, known, source, options, project.blueprints_folder)
    click.echo(f"wrote {file}")
    click.echo(f"next: nango check {file}, then nango blueprints test {file}")


def write_draft_of(source: Path, kind: str, name: str | None, folder: Path) -> None:
    """Write a draft from an OpenAPI or Postman document, and print what the document states.

    Raises:
        ConfigError: the document cannot be read, or is of another kind.
        UsageError: the document does not state the base URL or the login.
    """
    known = _read(source, kind)
    ref = name or re.sub(r"[^a-z0-9]+", "-", str(known.get("title") or source.stem).lower()).strip("-")[:64]
    options = dict.fromkeys((*QUESTIONS, "records"))
    try:
        file, draft = _write(ref, known, source, options, folder)
    except click.UsageError as error:
        if not error.message.startswith("--"):
            raise
        remedy = f"pass it to nango blueprints new {ref} --from {source}"
        raise click.UsageError(f"{error.message}; {remedy}") from None
    click.echo(f"wrote {file}")
    for noun, value in (
        ("base URL", draft.base_url),
        ("login", draft.login),
        ("scopes", len(draft.scopes) or ""),
        ("pagination", draft.pagination.get("kind")),
        ("verification", draft.verification),
        ("limit headers", ", ".join(draft.limit_headers.values())),
    ):
        click.echo(f"  {noun}: {printable(str(value or 'not in the document'), MAX_SHOWN)}")
    click.echo("  limits, revocation, PKCE and sources: read the API's manual")
    click.echo(f"next: nango check {file}, then nango blueprints test {file}")


def _write(
    name: str, known: dict[str, Any], source: Path | None, options: dict[str, str | None], folder: Path
) -> tuple[Path, Draft]:
    """Write the file of a draft; its path, and the draft."""
    match = _REF.fullmatch(name)
    if match is None:
        raise click.UsageError("NAME is a-z 0-9 _ -, with a version such as :v2 if it is not v1")
    version = match[2] or "v1"
    file = folder / f"{match[1]}.{version}.yaml"
    draft = _make_draft(match[1], version, known, source, options)
    text = write_draft(draft, str(file))
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary, file.name).write_text(text, "utf-8")
        for problem in find_problems(Path(temporary), (match[1],), version).values():
            raise click.ClickException(f"the draft would not pass nango check: {problem}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise click.UsageError(f"{file} exists") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {file}: {error.strerror}") from None
    return file, draft


def find_problems(folder: Path, names: Iterable[str], version: str) -> dict[str, str]:
    """The first problem of each file that has one: it does not load, or no call can be planned with it."""
    from nango_py.blueprint_tests.first_call import plan_first_call
    from nango_py.blueprint_tests.static_checks import check_logins
    from nango_py.config.catalogue import Catalogue

    catalogue = Catalogue([("local", folder)])
    found = {}
    for name in names:
        try:
            blueprint = catalogue.find(f"{name}:{version}", Position(name))
            problems = [problem for problem in check_logins(catalogue, blueprint) if not problem.is_warning]
            problems = problems or plan_first_call(blueprint, catalogue)
        except ConfigError as error:
            problems = list(error.problems)
        if problems:
            found[name] = str(problems[0]).partition(": error")[2] or str(problems[0])
    return found


def _make_draft(
    name: str, version: str, known: dict[str, Any], source: Path | None, options: dict[str, str | None]
) -> Draft:
    """The draft of the options, the document, and the replies to the questions that they leave open."""
    given = _Choices(options, known)
    title = given.text("title", name.replace("-", " ").replace("_", " ").title())
    docs_url = given.url("docs_url", "https://docs.example.com/")
    base_url, settings = _base_url(given.text("base_url", None, _check_base), known.get("settings", ()))
    login = given.choice("login", LOGINS, None)
    found: dict[str, Any] = {
        "name": name, "version": version, "title": title, "docs_url": docs_url, "login": login,
        "comment": known.get("comment") or f"The REST API of {title}.",
        "base_url": base_url, "settings": settings, "origin": printable(source.name) if source else "",
    }  # fmt: skip
    found |= {key: known[key] for key in ("response", "headers", "limit_headers") if key in known}
    if login == known.get("login"):
        found |= {
            key: known[key] for key in ("key_place", "key_name", "key_prefix", "scopes") if key in known
        }
    if login == KEY and (options["key"] or "key_name" not in found):
        found |= _key_place(given.text("key", "Authorization"))
    if login == OAUTH2:
        found["authorization_url"] = given.url("authorization_url", None)
    if login in {OAUTH2, CLIENT}:
        found["token_url"] = given.url("token_url", None)
    found["verification"] = given.text("verify", "").strip("/")
    if options["verify"]:
        found.pop("response", None)
    return Draft(**found, **_pagination(given, known, options))


def _read(source: Path | None, kind: str = "") -> dict[str, Any]:
    """What an OpenAPI or Postman document states; {} without one."""
    if source is None:
        return {}
    from nango_py.importers.drafts.openapi import check_openapi, read_openapi
    from nango_py.importers.drafts.postman import is_postman, read_postman
    from nango_py.importers.reading import read_mapping

    data = read_mapping(source)
    if kind == "postman" and not is_postman(data):
        where, expected = Position(str(source), 1, 1), "expected info and item, format v2.1"
        raise ConfigError([Problem(where, "E201", "not a Postman collection", expected)])
    if is_postman(data) and kind != "openapi":
        found = read_postman(data)
    else:
        check_openapi(data, source)
        found = read_openapi(data)
    return {**found, "verify": found.get("verification", "")}


def _base_url(url: str, known: tuple[Setting, ...]) -> tuple[str, tuple[Setting, ...]]:
    """The URL with a slash at its end, and a setting of the connection for each `{name}` in it."""
    names = dict.fromkeys(_PLACES.findall(url))
    declared = {setting.name: setting for setting in known}
    settings = tuple(declared.get(name) or Setting(name, "acme") for name in names)
    return _with_settings(url), settings


def _with_settings(url: str) -> str:
    return _PLACES.sub(r"${additional_config.\1}", url).rstrip("/") + "/"


def _check_base(text: str) -> str:
    from nango_py.config.template.compiler import compile_template
    from nango_py.config.template.filters import TemplateProblem
    from nango_py.config.urls.base_url import check_base_url

    try:
        check_base_url(compile_template(_with_settings(_check_url(text))))
    except TemplateProblem as problem:
        raise click.UsageError(f"--base-url: {problem}") from None
    return text


def _key_place(text: str) -> dict[str, str]:
    if text.startswith("?"):
        return {"key_place": "query", "key_name": text[1:], "key_prefix": ""}
    prefix = "Bearer " if text.lower() == "authorization" else ""
    return {"key_place": "header", "key_name": text, "key_prefix": prefix}


def _pagination(given: _Choices, known: dict[str, Any], options: dict[str, str | None]) -> dict[str, Any]:
    if not options["pagination"] and "pagination" in known:
        return {"pagination": known["pagination"], "list_path": known["list_path"]}
    kind = given.choice("pagination", PAGINATIONS, "none")
    if kind == "none":
        return {}
    records = options["records"] or "data"
    return {"pagination": {"kind": kind, **PAGINATION_KEYS[kind], "records": records}, "list_path": "items"}


class _Choices:
    """The options, then what a document says, then questions on a terminal, then defaults."""

    def __init__(self, options: dict[str, str | None], known: dict[str, Any]) -> None:
        self._options = options
        self._known = known

    def text(self, name: str, default: str | None, check: Callable[[str], str] = str) -> str:
        """A text.

        Raises:
            UsageError: there is none, or it is wrong.
        """
        known = self._options.get(name) or self._known.get(name)
        if known:
            return check(str(known))
        if self._known and default is not None:
            return default
        if sys.stdin.isatty():
            reply = click.prompt(
                QUESTIONS[name], default=default, err=True, show_default=bool(default), value_proc=check
            )
            return str(reply)
        if default is None:
            option = {"key": "key-place"}.get(name, name).replace("_", "-")
            raise click.UsageError(f"--{option} is missing: {QUESTIONS[name]}")
        return default

    def url(self, name: str, default: str | None) -> str:
        """A URL."""
        return self.text(name, default, _check_url)

    def choice(self, name: str, choices: tuple[str, ...], default: str | None) -> str:
        """One of several words."""

        def check(text: str) -> str:
            if text not in choices:
                raise click.UsageError(f"expected {', '.join(choices)}")
            return text

        return self.text(name, default, check)


def _check_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s?#]+(\?[^\s#]*)?", text):
        raise click.UsageError(f"not a URL that starts with https://: {printable(text, MAX_SHOWN)}")
    return text
