"""The commands to try the package with: an emulator, a demo, and a whole Airflow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pme_airflow.cli.output import fail, print_note

__all__ = ["demo_command", "emulator_command", "up_command"]


def _faults(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """Read faults and their rates."""
    from pme_airflow.dev.emulator import Settings, World

    try:
        faults = {name: float(rate) for name, _, rate in (value.partition("=") for value in values)}
        World(Settings()).set_faults(faults)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return tuple(faults.items())


@click.command("emulator")
@click.option("--port", type=click.IntRange(0, 65535), default=8799, show_default=True, help="0: a free one.")
@click.option("--models", type=click.IntRange(0), default=5, show_default=True, help="How many models there are.")
@click.option("--client-id", default="emulator-client", show_default=True, help="The id of its one client.")
@click.option(
    "--client-secret",
    envvar="PME_EMULATOR_SECRET",
    default="emulator-secret-of-some-length",
    help="That client's secret.",
)
@click.option("--latency", type=click.FloatRange(0), default=0.0, help="Seconds each request takes.")
@click.option("--token-lifetime", type=click.IntRange(1), default=3599, help="Seconds an application token lives.")
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME=RATE", callback=_faults, help="A fault and its rate, 0 to 1."
)
@click.option("--second-spelling", is_flag=True, help="Know only the FAQ's names of the mutations.")
@click.option("--drop-nulls", is_flag=True, help="Leave null fields out of answers.")
@click.option("--max-aliases", type=click.IntRange(0), default=0, help="Mutations a request may hold; 0: any.")
@click.option("--without", "without_fields", multiple=True, metavar="FIELD", help="A field the API no longer has.")
@click.option("--shared-tokens", is_flag=True, help="Offer the beta mutation for tokens of several models.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Draws faults and tokens; the same ones each time."
)
@click.option("--ready-file", type=click.Path(path_type=Path), help="Where the address is written once served.")
def emulator_command(
    port: int,
    models: int,
    client_id: str,
    client_secret: str,
    faults: tuple[tuple[str, float], ...],
    ready_file: Path | None,
    **behaviour: Any,
) -> None:
    """Serve a stand-in PME API on 127.0.0.1, for programs and pages of this machine alone."""
    from pme_airflow.dev import Settings, World, sample_models, serve

    world = World(Settings(client_id, client_secret, sample_models(models), **behaviour))
    world.set_faults(dict(faults))
    try:
        serve(world, port, ready_file, lambda address: print_note(f"The emulator serves {models} models on {address}"))
    except OSError as error:
        fail(f"--port {port}: cannot be served ({error.strerror}). Choose another.")


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep the folder, to look around in.")
def demo_command(keep: bool) -> None:
    """Run the whole path once: emulator, a real Airflow, and what came of it."""
    from pme_airflow.dev import run_demo

    sys.exit(run_demo(keep=keep))


@click.command("up")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".up"),
    show_default=True,
    help="Airflow's home; it is kept.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Airflow's.")
@click.option("--emulator-port", type=click.IntRange(1, 65535), default=8799, show_default=True, help="The emulator's.")
def up_command(home: Path, port: int, emulator_port: int) -> None:
    """Run an emulator and a whole Airflow, configured, until Ctrl-C."""
    from pme_airflow.dev import run_up

    sys.exit(run_up(home.resolve(), port, emulator_port))
