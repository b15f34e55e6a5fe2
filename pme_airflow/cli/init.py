"""The command that writes the shipped DAGs and an example of ``placements.yaml``."""

from __future__ import annotations

from pathlib import Path

import click

from pme_airflow.cli.output import print_line
from pme_airflow.printable import printable

__all__ = ["init_command"]

_NEXT = """
Next:
1. If {folder} is not the folder of your DAGs, set AIRFLOW__CORE__DAGS_FOLDER to it.
2. Define the connection pme_default, of type pme, with your client id and client secret: in the UI under Admin >
   Connections, or in the environment of Airflow as AIRFLOW_CONN_PME_DEFAULT.
3. Write in {placements} which models are shown where, and check it:
     pme-airflow plan {placements}
4. Unpause the DAGs:
     airflow dags unpause --yes --treat-dag-id-as-regex '^pme_'
"""


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace DAG files that differ. A placements.yaml is never replaced.")
def init_command(folder: Path, force: bool) -> None:
    """Write the four DAGs and a placements.yaml with an example into FOLDER.

    Files that are there already are left alone. The command fails, and writes nothing, if a DAG file there differs from
    the one of this version; so after an upgrade, give --force.
    """
    from pme_airflow.lifecycle.dag_folder import write_dag_folder

    made = write_dag_folder(folder.absolute(), force=force)
    for word, names in (("wrote", made.written), ("unchanged", made.unchanged), ("kept, since it is yours", made.kept)):
        for name in names:
            print_line(f"{word}: {printable(str(folder / name))}")
    shown = printable(str(made.path))
    for line in _NEXT.format(folder=shown, placements=f"{shown}/placements.yaml").rstrip().splitlines():
        print_line(line)
