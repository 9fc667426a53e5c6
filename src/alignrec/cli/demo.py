"""`alignrec demo`: the whole way on the built-in shop. Each step is one call that other commands make too."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alignrec.cli.output import JsonFlag, print_json
from alignrec.errors import ArtifactError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from alignrec.data import Dataset
    from alignrec.probes import ProbeReport
    from alignrec.studies import Run, RunReports

__all__ = ["demo"]

_CUTOFFS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the shop, the runs and the page.")] = Path("demo"),
    items: Annotated[int, typer.Option(help="Items in the shop.")] = 2000,
    users: Annotated[int, typer.Option(help="Users of the shop.")] = 2000,
    encoder_steps: Annotated[
        int, typer.Option(help="Steps of the encoder's pre-training; 0 leaves it out.", min=0)
    ] = 600,
    seed: Annotated[int, typer.Option(help="Decides the shop and everything drawn in training.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Draw a shop, pre-train an encoder, judge features, train and evaluate models, recommend, write a page.

    A demo that was stopped goes on where it was when it is started again.
    """
    from rich.console import Console
    from rich.markup import escape

    from alignrec.probes import probe  # heavy
    from alignrec.studies import evaluate

    console = Console(stderr=json, emoji=False)
    dataset = _shop(out / "shop", items, users, seed)
    place = escape(str(out / "shop"))
    console.print(f"[bold]1. The shop[/]: {dataset.n_users} users, {dataset.n_items} items in {place}")
    features = _features(dataset, out / "encoder", encoder_steps, seed)
    if encoder_steps and "ica" not in features:
        console.print("The encoder is left out; it needs: pip install 'alignrec[pretrained]'", markup=False)
    probes = probe(dataset, features)
    console.print("\n[bold]2. Are the features any good?[/] Judged before anything is trained:")
    for table in probes.tables():
        console.print(table)
    console.print("\n[bold]3. Training[/] LightGCN (knows ids only) and AlignRec (ids, pictures and texts)")
    runs = {"lightgcn": _train(dataset, "lightgcn", [], out / "lightgcn", seed)}
    runs["alignrec"] = _train(dataset, "alignrec", ["pixels+tfidf"], out / "alignrec", seed)
    if "ica" in features:
        runs["alignrec-ica"] = _train(dataset, "alignrec", ["ica"], out / "alignrec-ica", seed)
    reports = {name: evaluate(run) for name, run in runs.items()}
    rows = _rows(reports)
    console.print(_metric_table(rows))
    user = _show_user(console, dataset, runs["alignrec"])
    page = out / "index.html"
    _write_page(page, dataset, probes, rows, runs, user)
    console.print(f"\nThe page with the pictures: {escape(str(page))}")
    if json:
        print_json({"probes": probes.as_dict(), "test": rows, "user": user, "page": str(page)})


def _shop(path: Path, items: int, users: int, seed: int) -> "Dataset":
    from alignrec.data import Dataset, ShopSettings, draw_shop

    settings = ShopSettings(items=items, users=users)
    if not path.is_dir():
        return draw_shop(path, settings=settings, seed=seed)
    there = Dataset.load(path)
    if (there.about["source"].get("settings"), there.about["seed"]) != (settings.model_dump(), seed):
        raise ArtifactError(f"{path} is a shop of another size or seed; choose another --out or remove it first")
    return there


def _features(dataset: "Dataset", encoder: Path, steps: int, seed: int) -> list[str]:
    """Make the features that are not there yet; the names of all, the encoder's last."""
    from alignrec.encoders import extract_builtin
    from alignrec.features import save_features

    assert dataset.path is not None  # it comes from a folder
    for name in ("pixels", "tfidf"):
        if name not in dataset.feature_names:
            save_features(dataset.path / "features", extract_builtin(name, dataset, seed=seed))
    names = ["pixels", "tfidf", "pixels+tfidf"]
    if steps and find_spec("sentencepiece"):
        _encode(dataset, encoder, steps, seed)
        names.append("ica")
    return names


def _encode(dataset: "Dataset", encoder: Path, steps: int, seed: int) -> None:
    """Train the tiny encoder and keep its vectors; what is there is not made again."""
    from alignrec.features import save_features
    from alignrec.studies import extract_features, pretrain_encoder

    assert dataset.path is not None  # it comes from a folder
    settings = {"training": {"steps": steps}}
    folder = pretrain_encoder(dataset, out=encoder, settings=settings, seed=seed, device="cpu", resume=True)
    if "ica" in dataset.feature_names:
        return
    table = extract_features(folder, dataset, name="ica", settings={"post": "center"}, device="cpu")
    save_features(dataset.path / "features", table)


def _train(dataset: "Dataset", model: str, features: list[str], out: Path, seed: int) -> "Run":
    from alignrec.studies import train

    # Rates chosen on validation: a shop this small has few steps an epoch. Patience outlasts the dip between two peaks.
    settings = {"training": {"lr": 0.008 if features else 0.002, "patience": 25}}
    return train(
        dataset, model=model, features=features, settings=settings, out=out, seed=seed, resume=True, device="cpu"
    )


def _rows(reports: "dict[str, RunReports]") -> dict[str, dict[str, float]]:
    """Test metrics by model, popularity first."""
    first = next(iter(reports.values()))
    by_model = {"popularity": first.popularity, **{name: report.model for name, report in reports.items()}}
    return {name: {metric: splits["test"].means[metric] for metric in _CUTOFFS} for name, splits in by_model.items()}


def _metric_table(rows: dict[str, dict[str, float]]) -> "Table":
    from rich.table import Table

    table = Table("model", *_CUTOFFS, title="Test split, opened once", title_justify="left")
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4f}" for value in row.values()))
    return table


def _show_user(console: "Console", dataset: "Dataset", run: "Run") -> str:
    """Print the history and top 5 of the user with the longest history of at most 8; returns the user's id."""
    import numpy as np

    from alignrec.serving import Recommender

    degrees = np.diff(dataset.split("train").indptr)
    user = dataset.users.ids[int(np.argmax(np.where(degrees <= 8, degrees, 0)))]
    recommender = Recommender.load(run.path)
    console.print(f"\n[bold]4. User {user}[/] bought")
    for title in recommender.history(user)["title"]:
        console.print(f"   {title}")
    console.print("and AlignRec recommends")
    for row in recommender.recommend([user], 5).iter_rows(named=True):
        console.print(f"   {row['rank']}. {row['title']}  ({row['score']:.3f})")
    return user


def _write_page(
    page: Path,
    dataset: "Dataset",
    probes: "ProbeReport",
    rows: dict[str, dict[str, float]],
    runs: "dict[str, Run]",
    user: str,
) -> None:
    from alignrec.serving import Recommender
    from alignrec.serving.page import MetricTable, Shelf, write_page

    recommenders = {name: Recommender.load(run.path) for name, run in runs.items()}
    anyone = recommenders["alignrec"]
    held_out = frozenset(
        item for split in ("valid", "test") for item in anyone.history(user, split=split)["item_id"].to_list()
    )
    zero_shot = {r.features: {f"R@{k}": r.recall(k) for k in r.ks} for r in probes.results if r.protocol == "zero-shot"}
    shelves = [
        Shelf(
            f"{name} recommends",
            "The ten best items outside the training purchases; marked is what the user really bought next.",
            recommender.recommend([user], 10, exclude="train"),
            held_out,
            "bought",
        )
        for name, recommender in recommenders.items()
    ]
    parts: list[Shelf | MetricTable] = [
        Shelf(f"User {user} bought", "The purchases that the models were trained on.", anyone.history(user)),
        *shelves,
        MetricTable("Test metrics", "Means over all users with test purchases; higher is better.", rows),
        MetricTable(
            "Features before training",
            "Zero-shot recall: the last purchase of a user, found by the mean feature vector of the others.",
            zero_shot,
        ),
    ]
    write_page(page, dataset, title="A shop that draws itself, and what to show its users", parts=parts)
