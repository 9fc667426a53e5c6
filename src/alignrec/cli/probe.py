"""`alignrec probe`: are these features any good, before anything is trained on them?"""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.output import JsonFlag, print_json
from alignrec.errors import UsageError

__all__ = ["probe"]


def probe(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    features: Annotated[list[str], typer.Option(help="Feature table; A+B joins two. Repeat to compare.")],
    protocol: Annotated[str, typer.Option(help="Protocols, separated by commas.")] = "zero-shot,item-cf",
    k: Annotated[str, typer.Option("-k", "--k", help="List lengths of the recalls, separated by commas.")] = "10,20,50",
    out: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
    json: JsonFlag = False,
) -> None:
    """Judge item features before training.

    Zero-shot: does the mean vector of what a user took point to the user's last item? Item-CF: is the item
    that the same people take close by its vector? Both as recall beside the chance level.
    """
    from rich.console import Console

    from alignrec.artifacts import write_json  # these four are heavy
    from alignrec.data import Dataset
    from alignrec.probes import probe as run_probes

    names = [part.strip() for part in protocol.split(",")]
    report = run_probes(Dataset.load(dataset), features, protocols=names, ks=_numbers(k))
    if out is not None:
        write_json(out, report.as_dict())
    if json:
        print_json(report.as_dict())
        return
    for table in report.tables():
        Console().print(table)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"list lengths {text!r} are not whole numbers; write them as in --k 10,20,50") from None
