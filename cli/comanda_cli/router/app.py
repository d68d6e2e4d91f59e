"""`comanda dead-letter` and `comanda route`; in a router's container, where there is no more, `comanda-router`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from comanda_cli.options import DEFAULT_DATA_DIR, DataDirOption, OutputOption, command_line
from comanda_cli.output import Output, print_error, print_json, print_rows
from comanda_cli.router import dead_letters, routes
from comanda_contract.errors import ComandaError

app = command_line("comanda-router", "What this router holds and where it sends what.")
dead_letter_app = typer.Typer(help="What reached the router and belonged to nobody.", no_args_is_help=True)
app.add_typer(dead_letter_app, name="dead-letter")
route_app = typer.Typer(help="Where the router sends a number.", no_args_is_help=True)
app.add_typer(route_app, name="route")

RouterUrlOption = Annotated[
    str | None, typer.Option("--router-url", help="Where the router listens.", show_default="http://127.0.0.1:8080")
]


@dead_letter_app.command("list")
def list_dead_letters(
    *,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    every: Annotated[bool, typer.Option("--all", help="Also those that were handed in again.")] = False,
    output: OutputOption = Output.text,
) -> None:
    """List the dead letters of a data folder, or in a router's container its own, the oldest first."""
    rows = dead_letters.letter_rows(dead_letters.Place.of(data_dir, None), replayed=every)
    print_rows(output, dead_letters.COLUMNS, rows, "No dead letters.")


LetterArgument = Annotated[str, typer.Argument(help="The letter's ID, as `dead-letter list` shows it.")]


@dead_letter_app.command("show")
def show_dead_letter(letter: LetterArgument, data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """Print one dead letter whole, as JSON. It holds what a customer wrote."""
    try:
        print_json(dead_letters.shown(dead_letters.Place.of(data_dir, None), letter))
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None


@dead_letter_app.command("replay")
def replay_dead_letters(
    letters: Annotated[list[str] | None, typer.Argument(help="IDs, as `dead-letter list` shows them.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every letter that has a tenant now.")] = False,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    router_url: RouterUrlOption = None,
) -> None:
    """Hand dead letters in again, now that a tenant has their number; what is stored already is known by its id."""
    place = dead_letters.Place.of(data_dir, router_url)
    wanted = [row["id"] for row in dead_letters.letter_rows(place)] if every else letters or []
    refused = 0
    for letter in wanted:
        try:
            asyncio.run(dead_letters.replay(place, letter))
        except ComandaError as error:
            refused += 1
            print_error(error)
        else:
            typer.echo(f"Letter {letter} was taken.")
    if not wanted:
        typer.echo("Nothing to hand in: name letters, or give --all.")
    raise typer.Exit(1 if refused else 0)


@route_app.command("explain")
def explain_route(
    phone_number_id: Annotated[str, typer.Argument(help="Meta's id of the number, as in the tenant's phoneNumberId.")],
    *,
    admin_url: Annotated[
        str | None, typer.Option("--admin-url", help="The router's health port; by default the one of `comanda up`.")
    ] = None,
    output: OutputOption = Output.text,
) -> None:
    """Ask a running router which pod serves a number, and why not another one."""
    try:
        route = asyncio.run(routes.RouterAdmin.of(admin_url).route(phone_number_id))
    except ComandaError as error:
        print_error(error)
        raise typer.Exit(1) from None
    if output is Output.json:
        print_json(route)
    else:
        routes.print_route(route)


def main() -> None:
    """Run the commands of a router's container."""
    app(prog_name="comanda-router")
