"""The recipe in examples/ for Airflow; extra `airflow`, whose packages exclude those of other engines."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.engine_drill import HANG_SECONDS, ORDERS, ROOT, drill

if TYPE_CHECKING:
    from pathlib import Path


def test_airflow_runs_a_killed_dag_run_again(tmp_path: Path) -> None:
    """A run of the same date has the same id, and so the same keys."""
    home = tmp_path / "airflow"
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "examples"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
    home.mkdir()
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrate, env={**os.environ, **settings}, check=True, timeout=HANG_SECONDS)
    with drill("airflow", tmp_path, **settings) as airflow:
        airflow.run_until_done(processes=1, orders=ORDERS)
        airflow.check()
