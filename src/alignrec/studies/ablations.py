"""The papers' ablations as rows of a study: what is taken away, by the names the papers use.

AlignRec, Tables 6 and 8 (CIKM 2024); FETTLE, Table 3 (SIGIR 2024), where parts are added to a host; DREAM, Table 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignrec.errors import SettingsError, UsageError
from alignrec.studies.study_settings import RowSettings

__all__ = ["ABLATIONS", "Variant", "ablation_rows", "variants"]

_ILA = "plugin.fettle.item_alignment"
_CLA = "plugin.fettle.cluster_alignment"
_DT = "plugin.fettle.direction_tuning"
_WHOLE = {"alignrec": "AlignRec", "dream": "DREAM"}  # what the row of the whole model is called


@dataclass(frozen=True)
class Variant:
    """One row of an ablation, as it differs from the whole."""

    label: str
    settings: Mapping[str, Any]  # Any: values of settings
    without: str | None = None  # the modality that its features lack: "image" or "text"


ABLATIONS: Mapping[str, Sequence[Variant]] = {
    "alignrec": (
        Variant("w/o CCA", {"model.cca_weight": 0.0}),
        Variant("w/o UIA", {"model.uia_weight": 0.0}),
        Variant("w/o REG", {"model.reg_weight": 0.0}),
        Variant("w/o Vision", {}, without="image"),
        Variant("w/o Text", {}, without="text"),
    ),
    "dream": (
        Variant("w/o Filter Gate", {"model.filter_gate": False}),
        Variant("w/o Relation Graphs", {"model.n_content_layers": 0}),
        Variant("w/o Text Encoder", {}, without="text"),
        Variant("w/o Image Encoder", {}, without="image"),
        # the paper calls gate and graphs together an encoder: without them the projected features are the modal line
        Variant("w/o Text&Image Encoders", {"model.filter_gate": False, "model.n_content_layers": 0}),
        Variant("w/o S3", {"model.s3_weight": 0.0}),
        Variant("w/o Inter-Alignment", {"model.inter_weight": 0.0}),
        Variant("w/o Intra-Alignment", {"model.intra_weight": 0.0}),
        Variant("w/o Alignment", {"model.inter_weight": 0.0, "model.intra_weight": 0.0}),
    ),
    "fettle": (
        Variant("+ILA", {_CLA: False, _DT: False}),
        Variant("+CLA", {_ILA: False, _DT: False}),
        Variant("+ILA&CLA", {_DT: False}),
        Variant("+ILA&CLA&DT", {}),
    ),
}


def variants(name: str) -> Sequence[Variant]:
    """The variants of the ablation called `name`.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in ABLATIONS:
        raise UsageError(f"no ablation is called {name!r}; there are: {', '.join(ABLATIONS)}")
    return ABLATIONS[name]


def ablation_rows(
    name: str,
    *,
    features: Sequence[str],
    without: Mapping[str, Sequence[str]] | None = None,
    host: str = "freedom",
    only: Sequence[str] | None = None,
) -> list[RowSettings]:
    """The rows of an ablation: the whole model (of FETTLE: the host alone) first, then its variants.

    Args:
        name: `alignrec`, `dream` or `fettle`.
        features: feature tables of the whole.
        without: `{"image": [...], "text": [...]}`: the tables to use in place of these where a modality is taken away.
            A variant whose tables are not given is left out.
        host: of FETTLE: the model it is attached to.
        only: labels of the variants to keep; by default all.

    Raises:
        UsageError: no such ablation, variant or modality.
        SettingsError: a variant that was asked for by name has no features.
    """
    found, given = variants(name), dict(without or {})
    unknown = [label for label in only or () if label not in {variant.label for variant in found}]
    if unknown:
        labels = ", ".join(repr(variant.label) for variant in found)
        raise UsageError(f"no variant {unknown[0]!r} in the ablation of {name}; there are: {labels}")
    strange = [modality for modality in given if modality not in ("image", "text")]
    if strange:
        raise UsageError(f"{strange[0]!r} cannot be taken away; allowed: image, text")
    model, plugins = (host, ["fettle"]) if name == "fettle" else (name, [])
    rows = [RowSettings(label=_WHOLE.get(name, model.upper()), model=model, features=list(features))]
    for variant in found:
        if only is not None and variant.label not in only:
            continue
        if variant.without is not None and variant.without not in given:
            if only is not None:
                raise SettingsError(
                    f"{variant.label!r} needs features without {variant.without}; "
                    f"give them with --without {variant.without}=NAME"
                )
            continue
        tables = given[variant.without] if variant.without is not None else features
        rows.append(
            RowSettings(
                label=variant.label,
                model=model,
                features=list(tables),
                plugins=plugins,
                settings=dict(variant.settings),
            )
        )
    return rows
