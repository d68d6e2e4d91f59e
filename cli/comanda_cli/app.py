"""The `comanda` command. Each command here reads its options, calls one function, and prints what came of it."""

from __future__ import annotations

import asyncio
import getpass
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.console import Console

from comanda_cli import costs as costs_room
from comanda_cli import describe as describe_room
from comanda_cli import doctor as doctor_room
from comanda_cli import messages as messages_room
from comanda_cli import orders as orders_room
from comanda_cli import tenants as tenants_room
from comanda_cli.demo import run_demo
from comanda_cli.findings import print_findings
from comanda_cli.folder import Folder
from comanda_cli.local.cluster import LocalCluster, LocalOptions
from comanda_cli.local.events import Events
from comanda_cli.options import DEFAULT_DATA_DIR, DataDirOption, OutputOption, command_line
from comanda_cli.output import Output, print_error, print_json, print_rows, print_rows_under
from comanda_cli.router.app import dead_letter_app, route_app
from comanda_contract.errors import ComandaError
from comanda_operator.plan import plan
from comanda_store.postgres.migrate import migrate, redacted

app = command_line("comanda", "WhatsApp ordering bots for restaurants: on this machine or on Kubernetes.")
orders_app = typer.Typer(help="Orders that the bots took.", no_args_is_help=True)
tenant_app = typer.Typer(help="Restaurants and what serves them.", no_args_is_help=True)
app.add_typer(orders_app, name="orders")
app.add_typer(dead_letter_app, name="dead-letter")
app.add_typer(tenant_app, name="tenant")
app.add_typer(route_app, name="route")
messages_app = typer.Typer(help="Messages that staff has to look at.", no_args_is_help=True)
app.add_typer(messages_app, name="messages")
database_app = typer.Typer(help="The database of a bot group.", no_args_is_help=True)
app.add_typer(database_app, name="db")

FolderOption = Annotated[Path, typer.Option("-f", "--filename", help="Folder with the YAML that kubectl apply takes.")]
PortType = Annotated[int, typer.Option(min=1, max=65535)]

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database-url", envvar="COMANDA_DATABASE_URL", help="A PostgreSQL database instead of the folder's."
    ),
]
TenantOption = Annotated[str, typer.Option("--tenant", help="The restaurant, as namespace/name.")]


@app.command()
def up(
    *,
    filename: FolderOption,
    router_port: Annotated[int, typer.Option(min=1, max=65535, help="Port for Meta's webhooks.")] = 8080,
    simulator_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the simulator and its chat page.")
    ] = 8090,
    host: Annotated[str, typer.Option(help="IPv4 address on which router and simulator listen.")] = "127.0.0.1",
    graph_url: Annotated[
        str | None,
        typer.Option(envvar="COMANDA_GRAPH_URL", help="Another Graph API endpoint; then no simulator is started."),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="COMANDA_DATABASE_URL",
            help="PostgreSQL of pools that name no database, migrated before; without it they keep a file each.",
        ),
    ] = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    output: OutputOption = Output.text,
) -> None:
    """Run the tenants of a folder on this machine until Ctrl-C.

    Reads the same YAML as `kubectl apply` (tenants, pools, apps, Secrets, ConfigMaps), starts router, bot pods and
    simulator, starts again what dies, and follows changed files without dropping a message.
    """
    options = LocalOptions(
        filename,
        data_dir.resolve(),
        router_port,
        simulator_port,
        host=host,
        graph_url=graph_url,
        database_url=database_url,
    )
    events = Events(output.value)
    try:
        asyncio.run(_up(options, events))
    except ComandaError as error:
        events.release()
        if output is Output.json:
            events.say("failed", **error.to_dict())
            events.release()
        else:
            print_error(error)
        raise typer.Exit(1) from None


async def _up(options: LocalOptions, events: Events) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with aiohttp.ClientSession() as session:
        await LocalCluster(options, events, session).run(stop)


@app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the orders; exit 1 if one is missing or wrong.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the demo's data here; by default they are thrown away.")
    ] = None,
    router_port: Annotated[int, typer.Option(min=0, max=65535, help="Router port; 0 for any.")] = 0,
    simulator_port: Annotated[int, typer.Option(min=0, max=65535, help="Simulator port; 0 for 8090 or any.")] = 0,
) -> None:
    """Show it: three restaurants take an order each over signed webhooks; then chat with them in the browser."""
    try:
        ok = asyncio.run(run_demo(once=once, data_dir=data_dir, router_port=router_port, simulator_port=simulator_port))
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if ok else 1)


@app.command()
def validate(filename: FolderOption, output: OutputOption = Output.text) -> None:
    """Check a folder of YAML: resources, references, flows and menus; says file and line of what is wrong."""
    try:
        contents = Folder(filename).read()
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(2) from None
    wanted = plan(contents.observed())
    refused = [verdict for verdict in wanted.verdicts if verdict.refused is not None]
    if output is Output.json:
        problems = [vars(problem) | {"message": str(problem)} for problem in contents.problems]
        verdicts = [
            {"kind": v.kind, "name": v.key, "reason": v.refused.reason, "message": v.refused.message}
            for v in refused
            if v.refused is not None
        ]
        print_json({"ok": not problems and not verdicts, "problems": problems, "refused": verdicts})
    else:
        console = Console(highlight=False, soft_wrap=True)
        for problem in contents.problems:
            console.print(str(problem), style="red", markup=False)
        for verdict in refused:
            message = verdict.refused.message if verdict.refused is not None else ""
            console.print(f"{verdict.kind} {verdict.key}: {message}", style="yellow", markup=False)
        if not contents.problems and not refused:
            tenants = sum(len(group.tenants) for group in wanted.groups)
            console.print(
                f"{len(contents.files)} files are fine: {tenants} tenants in {len(wanted.groups)} groups.",
                style="green",
            )
    raise typer.Exit(1 if contents.problems or refused else 0)


@orders_app.command("list")
def list_orders(
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    tenant: Annotated[str | None, typer.Option(help="One restaurant alone, as namespace/name.")] = None,
    database_url: DatabaseOption = None,
    output: OutputOption = Output.text,
) -> None:
    """List the orders in a data folder or a database, the oldest first; works while the bots run."""
    try:
        rows = orders_room.order_rows(data_dir, tenant, database_url)
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None
    print_rows(output, orders_room.COLUMNS, rows, "No orders yet.")


@tenant_app.command("list")
def list_tenants(filename: FolderOption, output: OutputOption = Output.text) -> None:
    """List the tenants of a folder, the group that would serve each, and why one would not be served."""
    try:
        rows = tenants_room.tenant_rows(filename)
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None
    print_rows(output, tenants_room.COLUMNS, rows, "No tenants.")


@tenant_app.command("describe")
def describe_tenant(
    name: Annotated[str, typer.Argument(help="Name of the WhatsAppTenant.")],
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Its namespace; by default the one of the kubeconfig's context.")
    ] = "",
    output: OutputOption = Output.text,
) -> None:
    """Show what a cluster says of a tenant: what serves it, what is wrong with it, and what to do."""
    try:
        tenant = asyncio.run(describe_room.describe(namespace, name))
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None
    if output is Output.json:
        print_json(tenant)
    else:
        describe_room.print_tenant(tenant)


@messages_app.command("parked")
def list_parked(
    tenant: TenantOption,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    database_url: DatabaseOption = None,
    output: OutputOption = Output.text,
) -> None:
    """List the messages whose handler failed five times, with what went wrong; their conversations went on."""
    try:
        rows = messages_room.parked_rows(data_dir, tenant, database_url)
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None
    print_rows(output, messages_room.COLUMNS, rows, "No parked messages.")


@app.command("costs")
def show_costs(
    tenant: TenantOption,
    timezone: Annotated[str, typer.Option(help="The account's time zone: its months begin at midnight there.")] = "UTC",
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    database_url: DatabaseOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Show what a restaurant's delivered messages cost this month, and how far its free ones will reach."""
    try:
        month = costs_room.month_of_costs(data_dir, tenant, database_url, datetime.now(UTC), timezone)
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None
    if output is Output.json:
        print_json(month)
        return
    print_rows(output, costs_room.COLUMNS, month["costs"], "No message has been delivered this month.")
    if month["forecast"]:
        print_rows_under("\nThe month's service messages", costs_room.FORECAST_COLUMNS, month["forecast"])


@messages_app.command("retry")
def retry_message(
    message: Annotated[int, typer.Argument(help="The message's ID, as `comanda messages parked` shows it.")],
    tenant: TenantOption,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    database_url: DatabaseOption = None,
) -> None:
    """Let a parked message be tried again; the pods find it within seconds."""
    try:
        found = messages_room.retry(data_dir, tenant, database_url, message, getpass.getuser())
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None
    typer.echo(f"Message {message} will be tried again." if found else f"{tenant} has no parked message {message}.")
    raise typer.Exit(0 if found else 1)


@database_app.command("migrate")
def migrate_database(
    url: Annotated[
        str, typer.Option("--url", envvar="COMANDA_DATABASE_OWNER_URL", help="PostgreSQL URL of the tables' owner.")
    ],
    service_role: Annotated[
        str, typer.Option("--service-role", help="The role that the pods connect as; must exist, not the owner.")
    ] = "comanda_service",
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server that is not there yet.")] = 0,
) -> None:
    """Bring a PostgreSQL database to this version: tables, row-level security, functions and rights.

    May be run by several at once and again at any time. An embedded database needs none of it.
    """
    if wait:
        typer.echo(f"Migrating {redacted(url)}, for which it waits {wait:g} s at most.", err=True)
    try:
        asyncio.run(migrate(url, service_role, wait_seconds=wait))
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None
    typer.echo(f"{redacted(url)} is up to date; pods connect as {service_role}.")


@app.command()
def doctor(
    *,
    filename: Annotated[
        Path | None, typer.Option("-f", "--filename", help="Folder of YAML to look at as well.")
    ] = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    router_port: Annotated[int, typer.Option(min=1, max=65535, help="Port that the router would use.")] = 8080,
    simulator_port: Annotated[int, typer.Option(min=1, max=65535, help="Port that the simulator would use.")] = 8090,
    output: OutputOption = Output.text,
) -> None:
    """Look at this machine and your configuration, and say what to do about what is wrong."""
    ports = {"--router-port": router_port, "--simulator-port": simulator_port}
    findings = doctor_room.examine(filename, data_dir.resolve(), ports)
    print_findings(output, findings)
    raise typer.Exit(1 if any(finding.level == "error" for finding in findings) else 0)


def main() -> None:
    """Run the command line."""
    app(prog_name="comanda")


if __name__ == "__main__":
    main()
