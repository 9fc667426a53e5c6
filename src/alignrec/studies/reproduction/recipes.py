"""How each table of the papers is computed: its rows as models with settings, and what cannot be computed here.

Settings are those that the papers or their authors' code and logs state; where they state a range that is searched,
the model keeps its default, which is out of that range. Where the authors' code departs from a model's paper, the row
does as the code that gave the printed numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from alignrec.errors import UsageError
from alignrec.models import model_class
from alignrec.studies.ablations import ABLATIONS, Variant
from alignrec.studies.reproduction.published import PublishedTable, published_table

__all__ = ["RECIPES", "Kind", "Recipe", "RowRecipe", "recipe", "recipe_rows"]

Kind = Literal["runs", "probes", "statistics", "cost", "none"]
Values = Mapping[str, Any]  # Any: values of settings by their full names


@dataclass(frozen=True)
class RowRecipe:
    """One row of a table as a model to train."""

    label: str  # as the table calls it
    model: str
    settings: Values = field(default_factory=dict)  # hyper-parameters: a run tuned on validation may have others
    fixed: Values = field(default_factory=dict)  # what makes the row what it is
    plugins: tuple[str, ...] = ()
    features: str = ""  # name of a feature set, see `reproduction.features`; empty: none


@dataclass(frozen=True)
class Recipe:
    """A table or figure of a paper."""

    paper: str
    name: str
    title: str
    kind: Kind
    needs: str  # what it takes, in a few words; of kind `none`: why it is not computed, and what comes near

    @property
    def address(self) -> str:
        """`PAPER/TABLE`."""
        return f"{self.paper}/{self.name}"

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets it has figures of."""
        return () if self.kind == "none" else self.published.datasets

    @property
    def published(self) -> PublishedTable:
        """The printed numbers; there are some unless its kind is `none`."""
        return published_table(self.paper, self.name)


_AMAZON = "Amazon's image and text features for models that know content"
_L2_BATCH: Values = {"model.l2_batch_size": 2048}
_MODELS: Mapping[str, tuple[str, Values, Values]] = {  # label -> model, hyper-parameters, what the authors' code does
    **{name: (name.lower(), {}, {}) for name in ("BPR", "LightGCN", "SGL", "DirectAU", "NCL", "VBPR")},
    **{name: (name.lower(), {}, {}) for name in ("SLMRec", "BM3", "LGMRec")},
    **{name: (name.lower(), {}, _L2_BATCH) for name in ("LATTICE", "MGCN")},
    **{name: (name.lower(), {}, {"model.official": True}) for name in ("MMGCN", "GRCN", "DualGNN")},
    "FREEDOM": ("freedom", {"model.modality_weights": {"image": 0.1, "text": 0.9}}, {}),
    "DREAM": ("dream", {"model.modality_weights": {"image": 0.3, "text": 0.7}}, {}),
    "AlignRec": ("alignrec", {"training.lr": 3e-4}, {**_L2_BATCH, "model.alias_reg_target": True}),
}
_LGMREC: Mapping[str, Values] = {  # dataset -> what its authors chose there
    "Baby": {"model.n_hyperedges": 4, "model.hyperedge_dropout": 0.5, "model.global_weight": 0.3},
    "Sports": {"model.n_hyperedges": 4, "model.hyperedge_dropout": 0.6, "model.global_weight": 0.6},
    "Clothing": {
        "model.n_hypergraph_layers": 2,
        "model.n_hyperedges": 64,
        "model.hyperedge_dropout": 0.8,
        "model.global_weight": 0.2,
    },
}
_NCL_LOG = {"training.patience": 50, "plugin.fettle.item_weight": 1e-3}

RECIPES: tuple[Recipe, ...] = (
    Recipe("cikm24", "table1", "Dataset statistics", "statistics", "the dataset"),
    Recipe("cikm24", "table2", "Overall performance", "runs", _AMAZON + "; AlignRec's own 768 features for AlignRec"),
    Recipe(
        "cikm24",
        "table3",
        "Intermediate evaluation",
        "probes",
        "feature sets Amazon, CLIP, AlignRec; times of interactions",
    ),
    Recipe("cikm24", "table4", "Features replaced", "runs", "feature sets Amazon, CLIP, AlignRec"),
    Recipe("cikm24", "table5", "Without vision features", "runs", "Amazon's image and text features"),
    Recipe("cikm24", "table6", "Ablation", "runs", "features of AlignRec's encoder: whole, text-only, image-only"),
    Recipe("cikm24", "table7", "Hyper-parameters", "none", "it is a list of settings; the rows of the tables use them"),
    Recipe("cikm24", "table8", "Ablation, five seeds", "runs", "as table6, with --seeds 0,1,2,3,4"),
    Recipe("cikm24", "table9", "Parameters and inference time", "cost", "features as wide as the paper's"),
    Recipe("cikm24", "table10", "Layers of the encoder", "runs", "features of encoders of 12, 16 and 20 layers"),
    Recipe("cikm24", "figure3", "CCA and UIA weights", "none", "curves without numbers; a study with axes draws them"),
    Recipe("cikm24", "figure4", "t-SNE of content and ids", "none", "a picture; see 'alignrec study figures'"),
    Recipe(
        "cikm24", "figure5", "Long-tail items", "none", "bars without numbers; 'alignrec study segments' measures it"
    ),
    Recipe("cikm24", "figure6", "REG weight", "none", "curves without numbers; a study with axes draws them"),
    Recipe("fettle", "table1", "Dataset statistics", "statistics", "the dataset"),
    Recipe("fettle", "table2", "Models with BM3 and FETTLE", "runs", _AMAZON + ", and for all plug-ins"),
    Recipe("fettle", "table3", "Components of FETTLE", "runs", "Amazon's image and text features"),
    Recipe("fettle", "log-ncl", "NCL on Clothing, authors' log", "runs", "Amazon's image and text features"),
    Recipe("fettle", "figure4", "Alignment directions", "none", "curves without numbers; plugin.fettle.direction"),
    Recipe("fettle", "figure7", "Pictures from embeddings", "none", "drawn by GPT-4, which is not part of this"),
    Recipe("fettle", "figure8", "Hyper-parameters", "none", "curves without numbers; a study with axes draws them"),
    Recipe("fettle", "figures1,5,6", "Embeddings in the plane", "none", "pictures; see 'alignrec study figures'"),
    Recipe("dream", "table1", "Dataset statistics", "statistics", "the dataset"),
    Recipe("dream", "table2", "Overall performance", "runs", _AMAZON),
    Recipe("dream", "table3", "Ablation", "runs", "Amazon's image and text features"),
    Recipe("dream", "table4", "BMA in other models", "none", "the paper has bars alone; attach it with --plugin bma"),
    Recipe("dream", "table5", "Complexity", "none", "formulas; 'alignrec study cost' measures"),
    Recipe("dream", "figure11", "Epochs until convergence", "runs", "Amazon's image and text features"),
    Recipe("dream", "figures8,9", "Weights", "none", "curves without numbers; a study with axes draws them"),
    Recipe("dream", "figures1,2,6,7,10", "Embeddings", "none", "pictures; see 'alignrec study figures'"),
    Recipe("mmrec", "splits", "Sizes of the splits", "statistics", "the dataset"),
    Recipe("mmrec", "readme", "Evaluation of the toolbox", "runs", _AMAZON),
)


def recipe(address: str) -> Recipe:
    """The table `PAPER/TABLE`.

    Raises:
        UsageError: there is none, or it is not something that is computed.
    """
    found = next((each for each in RECIPES if each.address == address.lower()), None)
    computed = ", ".join(each.address for each in RECIPES if each.kind != "none")
    if found is None:
        raise UsageError(f"no table {address!r}; there are: {computed}")
    if found.kind == "none":
        raise UsageError(f"{found.address} is not computed: {found.needs}; there are: {computed}")
    return found


def recipe_rows(which: Recipe, dataset: str) -> tuple[list[RowRecipe], dict[str, str]]:
    """The rows of a table of runs on a dataset as models to train, and why others cannot be: label -> reason."""
    table = which.published
    found = {row.label: row for row in _rows(which, dataset)}
    known = [found[label] for label in table.rows(dataset) if label in found]
    return known, {label: "no such model or variant here" for label in table.rows(dataset) if label not in found}


def _rows(which: Recipe, dataset: str) -> Iterator[RowRecipe]:
    labels = which.published.rows(dataset)
    match which.address:
        case "cikm24/table4":
            yield from _replaced(labels)
        case "cikm24/table5":
            yield from (_without_vision(label) for label in labels)
        case "cikm24/table6" | "cikm24/table8":
            yield _row("AlignRec", dataset)
            yield from _ablated("AlignRec", ABLATIONS["alignrec"])
        case "cikm24/table10":
            yield from (replace(_row("AlignRec", dataset), label=n, features=f"layers-{n}") for n in labels)
        case "fettle/table2":
            yield from (_attached(label, dataset) for label in labels)
        case "fettle/table3":
            yield _row("FREEDOM", dataset)
            whole = _attached("FREEDOM+FETTLE", dataset)
            parts = ABLATIONS["fettle"]
            yield from (replace(whole, label=part.label, fixed={**whole.fixed, **part.settings}) for part in parts)
        case "fettle/log-ncl":
            yield from _logged(labels, dataset)
        case "dream/table3":
            yield _row("DREAM", dataset)
            yield from _ablated("DREAM", ABLATIONS["dream"])
        case _:
            yield from (_row(label, dataset) for label in labels if label in _MODELS)


def _row(label: str, dataset: str) -> RowRecipe:
    model, settings, fixed = _MODELS[label]
    own = _LGMREC.get(dataset, {}) if label == "LGMRec" else {}
    features = ("AlignRec" if model == "alignrec" else "Amazon") if model_class(model).needs_features else ""
    return RowRecipe(label, model, {**settings, **own}, fixed, (), features)


def _replaced(labels: tuple[str, ...]) -> Iterator[RowRecipe]:
    """Labels like `BM3 [CLIP]`; BM3's features are kept fixed in that table."""
    for label in labels:
        name, _, kind = label.removesuffix("]").partition(" [")
        row = _row(name, "")
        fixed = {**row.fixed, "model.trainable_features": False} if name == "BM3" else row.fixed
        yield replace(row, label=label, features=kind, fixed=fixed)


def _without_vision(label: str) -> RowRecipe:
    row = _row(label.removesuffix(" w/o Vision"), "")
    return replace(row, label=label, features="Amazon" if label == row.label else "Amazon-text")


def _ablated(label: str, variants: Sequence[Variant]) -> Iterator[RowRecipe]:
    whole = _row(label, "")
    for variant in variants:
        left = {"image": "-text", "text": "-image"}.get(variant.without or "", "")
        fixed = {**whole.fixed, **variant.settings}
        yield replace(whole, label=variant.label, fixed=fixed, features=whole.features + left)


def _attached(label: str, dataset: str) -> RowRecipe:
    host, _, plugin = label.partition("+")
    row = _row(host, dataset)
    if not plugin:
        return row
    settings = dict(row.settings)
    if label == "FREEDOM+FETTLE":  # section 4.6: its best temperature there
        settings["plugin.fettle.cluster_temperature"] = 0.05
    return RowRecipe(label, row.model, settings, row.fixed, (plugin.lower(),), "Amazon")


def _logged(labels: tuple[str, ...], dataset: str) -> Iterator[RowRecipe]:
    """`NCL+FETTLE a=1e-4,b=1e-3,…`: a is the weight of clusters; the vanilla run's validation row is no test row."""
    for label in labels:
        if label.startswith("NCL vanilla test"):
            yield replace(_row("NCL", dataset), label=label)
        elif label.startswith("NCL+FETTLE"):
            weight = float(label.partition("a=")[2].partition(",")[0])
            fixed = {**_NCL_LOG, "plugin.fettle.cluster_weight": weight}
            yield replace(_attached("NCL+FETTLE", dataset), label=label, fixed=fixed)
