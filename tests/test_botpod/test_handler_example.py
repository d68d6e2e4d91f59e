from __future__ import annotations

import asyncio
import sys
import tomllib
from pathlib import Path

import yaml

from comanda_contract.resources import WhatsAppTenant

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "handler"


async def test_the_examples_own_tests_pass() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=EXAMPLE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b"9 passed" in output


def test_its_tenant_names_the_entry_point_of_its_package() -> None:
    package = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    tenant = WhatsAppTenant.model_validate(yaml.safe_load((EXAMPLE / "tenant.yaml").read_text()))
    assert tenant.spec.enterprise is not None
    assert tenant.spec.enterprise.handler.entry_point in package["project"]["entry-points"]["comanda.handlers"].values()
