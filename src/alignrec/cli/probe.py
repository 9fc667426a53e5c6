"""`alignrec probe`: are these features any good, before anything is trained on them?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from alignrec.cli.lists import whole_numbers, words
from alignrec.cli.output import JsonFlag, chosen_form, print_json, print_tables

if TYPE_CHECKING:
    from alignrec.probes import ProbeReport

__all__ = ["probe"]


def probe(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    features: Annotated[
        list[str],
        typer.Option(help="Feature table; A+B joins two, raw:A+B without scaling their rows. Repeat to compare."),
    ],
    protocol: Annotated[
        str, typer.Option(help="Protocols, separated by commas: zero-shot, item-cf, masked.")
    ] = "zero-shot,item-cf",
    k: Annotated[str, typer.Option("-k", "--k", help="List lengths of the recalls, separated by commas.")] = "10,20,50",
    mask_share: Annotated[float, typer.Option(help="masked: share of the items that lose a modality, 0..1.")] = 0.5,
    mask_draws: Annotated[int, typer.Option(help="masked: how many times these items are drawn.")] = 5,
    encoder: Annotated[
        list[Path] | None, typer.Option(help="masked: folder of the encoder that made a feature table. Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="Of these encoders: auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(help="Decides which items are masked, and the intervals.")] = 0,
    best: Annotated[bool, typer.Option("--best", help="Name the feature table to train on, and why.")] = False,
    format_: Annotated[
        Literal["terminal", "markdown", "latex"], typer.Option("--format", help="Of what is printed.")
    ] = "terminal",
    out: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
    json: JsonFlag = False,
) -> None:
    """Judge item features before training.

    Zero-shot: does the mean vector of what a user took point to the user's last item? Item-CF: is the item
    that the same people take close by its vector? Masked: how much of zero-shot is left when items lose their
    picture, or their text? All as recall, with 95 % intervals, beside the chance level.
    """
    form = chosen_form(format_, json)
    from alignrec.artifacts import write_json  # these three are heavy
    from alignrec.data import Dataset
    from alignrec.probes import MaskSettings
    from alignrec.probes import probe as run_probes

    report = run_probes(
        Dataset.load(dataset),
        features,
        protocols=words(protocol),
        ks=whole_numbers(k, "--k", example="10,20,50"),
        masking=MaskSettings.create({"share": mask_share, "draws": mask_draws}, section="mask"),
        encoders=encoder or (),
        device=device,
        seed=seed,
    )
    values = report.as_dict()
    if out is not None:
        write_json(out, values)
    if form == "json":
        print_json(values)
    else:
        _print(report, form, best)


def _print(report: "ProbeReport", form: str, best: bool) -> None:
    if form == "terminal":
        print_tables(report.tables(best=best))
    else:
        typer.echo(report.to_markdown(best=best) if form == "markdown" else report.to_latex(), nl=False)
    if best:
        marks = {"terminal": "", "markdown": "\n", "latex": "% "}
        typer.echo(f"{marks[form]}best: {report.best().name}: {report.best().reason}")
