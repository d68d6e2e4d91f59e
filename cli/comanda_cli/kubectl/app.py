"""The `kubectl comanda` plugin. Each command reads the cluster once and prints what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

import typer

from comanda_cli import describe as describe_room
from comanda_cli.findings import print_findings
from comanda_cli.kubectl import doctor as doctor_room
from comanda_cli.kubectl import status
from comanda_cli.kubectl.snapshot import Snapshot, take
from comanda_cli.options import OutputOption, command_line
from comanda_cli.output import Output, print_error, print_json
from comanda_contract.errors import ComandaError
from comanda_kube.client import Client
from comanda_kube.kubeconfig import load_config

app = command_line("kubectl comanda", "WhatsApp ordering bots on this cluster: how they are, why, and what to do.")

NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help="Tenants of this namespace alone; by default those of all.")
]
HomeOption = Annotated[str, typer.Option("--home", help="Namespace of operator and router.")]

T = TypeVar("T")


@app.command("status")
def show_status(
    *,
    namespace: NamespaceOption = "",
    home: HomeOption = "comanda",
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also the tenants that are well.")] = False,
    output: OutputOption = Output.text,
) -> None:
    """Show operator, router, pools and apps, and the tenants that are not well."""
    snapshot = _read(lambda: _take(home, namespace))
    if output is Output.json:
        print_json(status.summary(snapshot, everything=everything))
    else:
        status.print_status(snapshot, everything=everything)


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="Name of the WhatsAppTenant.")],
    *,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Its namespace; by default the one of the kubeconfig's context.")
    ] = "",
    output: OutputOption = Output.text,
) -> None:
    """Explain a tenant: what serves it, where its webhooks go, what is wrong, and what to do."""
    tenant = _read(lambda: describe_room.describe(namespace, name))
    pods = _read(lambda: _pods_of(tenant))
    if output is Output.json:
        print_json({**tenant, "pods": pods})
    else:
        describe_room.print_tenant(tenant)
        status.print_pods(pods)


@app.command()
def doctor(
    *, namespace: NamespaceOption = "", home: HomeOption = "comanda", output: OutputOption = Output.text
) -> None:
    """Look at everything, and say what to do about what is wrong; exit 1 when anything is."""
    found = doctor_room.examine(_read(lambda: _take(home, namespace)))
    print_findings(output, found)
    raise typer.Exit(1 if any(finding.level == "error" for finding in found) else 0)


async def _take(home: str, namespace: str) -> Snapshot:
    async with Client(load_config(), "kubectl-comanda") as client:
        return await take(client, home, namespace)


async def _pods_of(tenant: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with Client(load_config(), "kubectl-comanda") as client:
        return await status.pods_of(client, tenant)


def _read(read: Callable[[], Awaitable[T]]) -> T:
    async def reading() -> T:
        return await read()

    try:
        return asyncio.run(reading())
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None


def main() -> None:
    """Run the plugin: `kubectl-comanda` on the PATH is `kubectl comanda`."""
    app(prog_name="kubectl comanda")
