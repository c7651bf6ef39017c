"""The CPU of many files: 100 integrations, a list of all blueprints, and the first match of 300 entries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import server
from benchmarks.measure import cpu_rounds, medians
from benchmarks.peers import PARAMS
from benchmarks.report import Goal, Table
from benchmarks.subject import USER, prepared

ROOT = Path(__file__).parent.parent
INTEGRATIONS, ENTRIES = 100, 300
APP = "oauth_client_id: id_test, oauth_client_secret: secret_test"


def write_product(folder: Path, count: int) -> None:
    """A product with integrations over as many blueprints: copies of the shipped ones under other names."""
    own = folder / "blueprints"
    own.mkdir()
    texts = {path: path.read_text("utf-8") for path in sorted((ROOT / "blueprints").glob("*.yaml"))}
    whole = [path for path, text in texts.items() if not re.search(r"^extends:", text, re.MULTILINE)]
    lines = ["integrations:" if count else "integrations: {}"]
    for number in range(count):
        source = whole[number % len(whole)]
        name, version, _ = source.name.split(".")
        text = re.sub(r"^logo: .*\n", "", texts[source], flags=re.MULTILINE)
        text = re.sub(r"^name: .*$", f"name: {name}-{number}", text, count=1, flags=re.MULTILINE)
        (own / f"{name}-{number}.{version}.yaml").write_text(text)
        lines.append(f"  i{number}: {{extends_blueprint: '{name}-{number}:{version}'{_app_settings(text)}}}")
    (folder / "integrations.yaml").write_text("\n".join(lines) + "\n")


def _app_settings(blueprint: str) -> str:
    """What integrations.yaml has to give for a blueprint: the OAuth app, and credentials of the product."""
    found = ""
    if re.search(r"auth_mode: OAUTH[12]\b(?!_)", blueprint):
        found = f", {APP}"
    own = re.search(r"^app_credentials:\n((?: .*\n)+)", blueprint, re.MULTILINE)
    names = re.findall(r"^  (\w+):", own[1], re.MULTILINE) if own else []
    values = ", ".join(f"{name}: app_test_{name}" for name in names)
    return f"{found}, app: {{{values}}}" if values else found


def cpu_of(step: str, folder: Path) -> float:
    """The seconds of CPU that a step takes in a new process, after the imports that it names."""
    command = [sys.executable, "-m", "benchmarks.load_many", step, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def parse_alone(folder: Path) -> float:
    """Libyaml alone: the same files read into plain values."""
    import yaml

    began = time.process_time()
    for path in (folder / "integrations.yaml", *(folder / "blueprints").glob("*.yaml")):
        yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
    return time.process_time() - began


def load(folder: Path) -> float:
    """A Nango that reads its configuration and makes every integration in it."""
    from nango_py import Nango

    began = time.process_time()
    with Nango(folder / "integrations.yaml", encryption_keys="0" * 64, environ={}) as nango:
        integrations = nango.configuration.integrations
        bases = [integrations[name].requests.base_url for name in integrations]
    return time.process_time() - began if bases else 0.0


def list_blueprints(folder: Path) -> float:
    """`nango blueprints list`, with all imports."""
    began = time.process_time()
    from click.testing import CliRunner

    from nango_py.cli.root import nango

    path = str(folder / "integrations.yaml")
    result = CliRunner().invoke(nango, ["--integrations", path, "blueprints", "list"])
    if result.exit_code:
        raise RuntimeError(result.output)
    return time.process_time() - began


def match_alone(number: int, rounds: int) -> tuple[float, float]:
    """Microseconds of the first match over the entries, for paths that are all new, and of a whole GET."""
    from nango_py.config.request_match import MatchTable, RequestFacts, RequestMatch

    table = MatchTable(
        RequestMatch.from_settings({"method": "GET", "path": f"things/{entry}/{{id}}"})
        for entry in range(ENTRIES)
    )
    requests = [RequestFacts("GET", f"things/{ENTRIES - 1}/{thing}") for thing in range(number)]
    began = time.process_time()
    found = [table.first(facts) for facts in requests]
    seconds = (time.process_time() - began) / len(found)
    with server.running() as base, prepared(base) as nango:
        executor = nango.executor("bench", USER)
        times = cpu_rounds({"GET": lambda: executor.get("v1/metrics", params=PARAMS).json()}, rounds, 240)
    return seconds * 1e6, medians(times)["GET"] * 1e6


def run(*, quick: bool) -> list[Table]:
    """The files in new processes, and the matches in this one."""
    count = INTEGRATIONS // 10 if quick else INTEGRATIONS
    files = Table("Many files: client CPU in milliseconds", ("step", "files", "ms", "by libyaml alone"))
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "many").mkdir()
        (folder / "none").mkdir()
        write_product(folder / "many", count)
        write_product(folder / "none", 0)
        alone = cpu_of("libyaml", folder / "many")
        first = cpu_of("load", folder / "many")
        (folder / "many" / ".nango").mkdir()
        cpu_of("load", folder / "many")
        warm, listed = cpu_of("load", folder / "many"), cpu_of("list", folder / "none")
    shipped = len(list((ROOT / "blueprints").glob("*.yaml")))
    rows = {
        "libyaml alone": (count, alone), "first load": (count, first),
        "load with a warm cache": (count, warm), "`nango blueprints list`": (shipped, listed),
    }  # fmt: skip
    for step, (number, seconds) in rows.items():
        files.add(step, str(number), seconds * 1e3, seconds / alone)
    files.goals = [
        Goal(f"seconds of a first load of {count} integrations", first, 1.5),
        Goal("seconds of a load with a warm cache", warm, 0.15),
        Goal("seconds of a list of the shipped blueprints", listed, 0.4),
    ]
    files.notes = [
        "Loads make every integration, which programs do on first use; their imports are not counted."
    ]
    match, get = match_alone(2_000, 1) if quick else match_alone(20_000, 5)
    matches = Table(f"The first match over {ENTRIES} entries", ("us", "us of a GET", "share"))
    matches.add(match, get, match / get)
    matches.goals = [Goal("share of a GET", match / get, 0.1)]
    return [files, matches]


STEPS = {"libyaml": parse_alone, "load": load, "list": list_blueprints}

if __name__ == "__main__":
    print(json.dumps({"seconds": STEPS[sys.argv[1]](Path(sys.argv[2]))}))
