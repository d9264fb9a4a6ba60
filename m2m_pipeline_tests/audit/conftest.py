"""A log of its own for each test."""

from collections.abc import Generator
from pathlib import Path

import pytest

from m2m_pipeline_tests.audit.log import Log, directory


@pytest.fixture
def log(database_url: str, tmp_path: Path) -> Generator[Log]:
    log = Log(database_url, directory(tmp_path))
    yield log
    log.database.dispose()
