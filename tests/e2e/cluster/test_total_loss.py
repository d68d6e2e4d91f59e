"""A cluster is lost with everything in it; what the page on backups says brings it back."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.images import ROOT

from tests.e2e.cluster.town import NUMBERS, Town
from tests.e2e.customers import ORDER
from tests.kind.engine import needed, run
from tests.test_charts.chart import NAMESPACE

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

PAGE = ROOT / "docs" / "operating" / "backup.md"
SHOP = NUMBERS[0]


def commands(heading: str) -> Iterator[str]:
    """Return the blocks of shell commands below a heading of the page, in their order."""
    _, _, section = PAGE.read_text().partition(f"## {heading}\n")
    section = section.partition("\n## ")[0]
    for indent, block in re.findall(r"^( *)```sh\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE):
        yield re.sub(f"^{indent}", "", block, flags=re.MULTILINE)


async def test_what_was_backed_up_is_there_again_in_an_empty_cluster(town: Town, tmp_path: Path) -> None:
    programs = [str(Path(needed("jq")).parent), str(town.kind.kubectl_program.parent), os.environ["PATH"]]
    environment = {**os.environ, "KUBECONFIG": str(town.site.kubeconfig), "PATH": os.pathsep.join(programs)}

    async def shell(text: str) -> None:
        command = ["env", f"--chdir={tmp_path}", "bash", "-eu", "-o", "pipefail", "-c", text]
        await asyncio.to_thread(run, command, environment, seconds=300)

    await town.open(SHOP)
    await town.is_open(SHOP)
    await town.order(SHOP)
    customer = town.customer()
    for text in ORDER[:2]:
        await town.say(SHOP, customer, text)
    await town.settle()
    orders = f"select code, total from orders where tenant = '{NAMESPACE}/t{SHOP}'"
    before = await town.sql(orders)
    assert before
    (backup,) = commands("Back up")
    await shell(backup)

    await town.lose_everything()
    install, restore, upgrade, bring_back = commands("Restore into an empty cluster")
    assert "--set pool.replicas=0" in install, "Helm's two commands are given to its library"
    assert "--set" not in upgrade
    await town.prepare()
    await town.install({"pool": {"replicas": 0}})
    await shell(restore)
    await town.upgrade(town.values)
    await shell(bring_back)
    await town.is_open(SHOP)
    assert await town.sql(orders) == before
    assert "20470" in (await town.say(SHOP, customer, ORDER[2])).replace(".", "")
