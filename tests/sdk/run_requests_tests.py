"""Run the own tests of requests with `nango.session()` in the place of each `requests.Session`.

    python tests/sdk/run_requests_tests.py

Needs the extra `sdk`. Downloads the sdist of requests, runs its tests with a plain session and with ours, and
fails if a test that passes plainly fails with ours and docs/requests-tests.md does not say why.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parents[1] / "docs" / "requests-tests.md"
VERSION = "2.34.2"
FILES = ("tests/test_requests.py", "tests/test_lowlevel.py")
AT_LEAST = 335


def fetch_tests(folder: Path) -> Path:
    """Download and unpack the sdist; its folder."""
    pip = (sys.executable, "-m", "pip")
    subprocess.run((*pip, "install", "-q", "setuptools", "wheel"), check=True)
    options = ("--no-deps", "--no-build-isolation", "--no-binary=requests")
    subprocess.run((*pip, "download", "-q", *options, f"requests=={VERSION}"), cwd=folder, check=True)
    with tarfile.open(folder / f"requests-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"requests-{VERSION}"


def run_tests(source: Path, *plugin: str) -> dict[str, bool]:
    """Which tests pass, by their names."""
    command = (sys.executable, "-m", "pytest", "-rA", "-q", "--timeout=60", "--tb=no", *plugin, *FILES)
    environment = {"PYTHONPATH": str(FOLDER), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    line = re.compile(r"^(PASSED|FAILED|ERROR) \S+?::(?:\w+::)?(test_.+?)(?: - .*)?$", re.MULTILINE)
    return {name: outcome == "PASSED" for outcome, name in line.findall(done.stdout)}


def main() -> int:
    """0 if all is as the page says."""
    with tempfile.TemporaryDirectory() as folder:
        source = fetch_tests(Path(folder))
        plain, ours = run_tests(source), run_tests(source, "-p", "requests_plugin")
    passing = {name for name, passed in plain.items() if passed}
    differing = sorted(name for name in passing if not ours.get(name, False))
    explained = set(re.findall(r"`(test_[^`]+)`", PAGE.read_text()))
    count = len(passing) - len(differing)
    print(f"{len(passing)} tests pass with a plain session, {count} of them with ours")  # noqa: T201
    for name in differing:
        print("as documented" if name in explained else "NEW", name)  # noqa: T201
    is_good = set(differing) <= explained and count >= AT_LEAST
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
