"""How tests are shared out among workers (`pytest --numprocesses=2`), a plugin that the top conftest names."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ONE_ENGINE = ("tests/e2e/cluster/", "tests/e2e/compose/")
"""What needs the one Docker Engine of the run. It lasts longest by far."""
FIRST = (*ONE_ENGINE, "tests/torture/")
"""Files that last for minutes: begun last, one of them would have a worker to itself at the end."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """A file's tests stay together, and so do all that share the engine."""

    def _split_scope(self, nodeid: str) -> str:
        return "engine" if nodeid.startswith(ONE_ENGINE) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Share out by file."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what lasts longest."""
    items.sort(key=lambda item: next((n for n, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST)))
