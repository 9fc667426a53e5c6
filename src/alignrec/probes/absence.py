"""What an item's row becomes when its picture or its text is missing.

A table of the missing modality: zeros; a table of another: the row as it is. Joined tables: each block by its own
rule. A unified row, made of both by a trained encoder: the item encoded with that modality absent, post-processed as
the table was (centred or whitened by the catalogue with nothing missing); an item that then shows nothing gets the
mean of all. AlignRec (Liu et al., CIKM 2024), section 4.4.2 and the masking in its code. A unified row cannot be taken
apart, so without its encoder there is no such row.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alignrec.artifacts import hash_values
from alignrec.data import Dataset
from alignrec.encoders import EncoderFolder, ExtractionSettings, extract
from alignrec.encoders.catalogue_stream import CatalogueStream
from alignrec.encoders.postprocessing import Postprocessing
from alignrec.errors import FeatureError, UsageError
from alignrec.features import RAW_JOIN, FeatureTable
from alignrec.features.table import unit_rows
from alignrec.runtime import resolve_device
from alignrec.types import FloatMatrix

__all__ = ["MASKABLE", "Encoders", "refusal", "rows_without"]

MASKABLE = ("image", "text")
_SINGLE = (*MASKABLE, "audio")  # modalities of which it is clear what masking does to them
_UNIFIED = "image+text"
_SAME = 0.999  # mean cosine of vectors that differ by no more than rounding and the device

# by what the encoder was shown: the vectors (I, D), and which items had any of it (I,)
_Shown = tuple[dict[str, FloatMatrix], dict[str, NDArray[np.bool_]]]


class Encoders:
    """Trained encoders at hand, found by the hash of their weights; each set of vectors is extracted once.

    Args:
        folders: where the encoders are.
        dataset: whose items they encode.
        device: where they compute.

    Raises:
        ArtifactError: a folder holds no finished encoder.
        UsageError: the device is unknown or not there.
    """

    def __init__(
        self, folders: Sequence[EncoderFolder | str | Path], dataset: Dataset, *, device: str = "auto"
    ) -> None:
        opened = [folder if isinstance(folder, EncoderFolder) else EncoderFolder(Path(folder)) for folder in folders]
        self._folders = {str(folder.description()["weights"]): folder for folder in opened}
        self._dataset, self._device = dataset, resolve_device(device)
        self._extracted: dict[str, _Shown] = {}

    def made(self, table: FeatureTable) -> bool:
        """Whether the encoder that made `table` is among them."""
        return str(table.provenance.get("encoder")) in self._folders

    def require_use(self, tables: Sequence[FeatureTable]) -> None:
        """Check that each encoder made one of `tables`.

        Raises:
            UsageError: names the folder that did not.
        """
        used = {str(leaf.provenance.get("encoder")) for table in tables for leaf in _leaves(table)}
        for weights, folder in self._folders.items():
            if weights not in used:
                raise UsageError(
                    f"the encoder in {folder.path} (weights {weights[:8]}) made none of the features "
                    f"{', '.join(table.name for table in tables)}; leave it out or extract its features anew"
                )

    def rows_without(self, table: FeatureTable, missing: str) -> FloatMatrix:
        """Every item of `table` encoded without modality `missing`, (I, d).

        Raises:
            FeatureError: the encoder does not make the table's vectors out of this dataset.
        """
        settings = ExtractionSettings.create(table.provenance["extraction"], section="extract")
        folder = self._folders[str(table.provenance["encoder"])]
        shown, seen = self._shown(folder, settings.model_copy(update={"post": "none"}))
        whole, left = shown["both"][seen["both"]], "text" if missing == "image" else "image"
        fitted = Postprocessing.fit(whole, settings.post)  # to the catalogue with nothing missing, as the table was
        if not _agree(fitted(whole), table.matrix[seen["both"]]):
            raise FeatureError(
                f"features {table.name!r} are not what the encoder in {folder.path} makes of this dataset's pictures "
                "and texts now; extract them again"
            )
        rows = fitted(shown[left]).copy()  # never into what is kept
        rows[~seen[left]] = Postprocessing.fit(whole, "center").mean if settings.post == "none" else 0
        return rows

    def _shown(self, folder: EncoderFolder, settings: ExtractionSettings) -> _Shown:
        """What the encoder makes of the items with both modalities, the image only, and the text only."""
        key = hash_values({"folder": str(folder.path), "settings": settings.model_dump()})
        if key not in self._extracted:
            encoder, readers, _ = folder.load()
            encoder.to(self._device)
            vectors, seen = {}, {}
            for modality in ("both", *MASKABLE):
                chosen = settings.model_copy(update={"modality": modality})
                stream = CatalogueStream(
                    self._dataset,
                    readers.images,
                    readers.text,
                    readers.max_length,
                    columns=readers.columns,
                    modality=chosen.modality,
                )
                vectors[modality] = extract(encoder, stream, chosen)
                seen[modality] = stream.has_image | stream.has_text
            self._extracted[key] = vectors, seen
        return self._extracted[key]


def _agree(first: FloatMatrix, second: FloatMatrix) -> bool:
    if first.shape != second.shape:
        return False
    return bool(np.einsum("nd,nd->n", unit_rows(first), unit_rows(second)).mean() > _SAME)


def refusal(table: FeatureTable, encoders: Encoders) -> str | None:
    """Why no item of `table` can lose a modality, in one line; None if it can."""
    for leaf in _leaves(table):
        name = f"features {leaf.name!r}" + (f" in {table.name!r}" if leaf.name != table.name else "")
        if leaf.modality in _SINGLE or (leaf.modality == _UNIFIED and encoders.made(leaf)):
            continue
        if leaf.modality != _UNIFIED:
            return (
                f"{name} have modality {leaf.modality!r}, which does not say what masking takes away; "
                "import them with --modality image or --modality text"
            )
        if "extraction" in leaf.provenance:
            return (
                f"{name}: masking needs its encoder (weights {str(leaf.provenance['encoder'])[:8]}) to encode items "
                "without picture or text; pass its folder with --encoder"
            )
        return (
            f"{name}: masking needs its encoder, and nothing says which one made these unified vectors; "
            "extract them with 'alignrec encode extract' and pass the folder with --encoder"
        )
    return None


def rows_without(table: FeatureTable, missing: str, encoders: Encoders) -> FloatMatrix:
    """The rows (I, d) that the items would have if none had modality `missing`, "image" or "text".

    Give tables that `refusal` has nothing against.

    Raises:
        FeatureError: see `Encoders.rows_without`.
    """
    if parts := _parts(table):
        blocks = [(part.matrix, rows_without(part, missing, encoders)) for part in parts]
        # A block that masking leaves alone stays as it is to the last bit: equal rows must stay equal.
        scaled = not table.name.startswith(RAW_JOIN)
        return np.concatenate(
            [unit_rows(rows) if scaled and rows is not matrix else rows for matrix, rows in blocks], axis=1
        )
    if table.modality == missing:
        return np.zeros_like(table.matrix)
    if table.modality in _SINGLE:
        return table.matrix
    return encoders.rows_without(table, missing)


def _parts(table: FeatureTable) -> list[FeatureTable]:
    """The blocks of joined tables, as `fuse` scaled them; none if `table` is not a join or does not say of what."""
    described = table.provenance.get("fused", [])
    if sum(part.get("size", 0) for part in described) != table.size:
        return []
    parts, start = [], 0
    for part in described:
        matrix = table.matrix[:, start : start + part["size"]]
        parts.append(FeatureTable(part["name"], part["modality"], table.item_ids, matrix, part["provenance"]))
        start += part["size"]
    return parts


def _leaves(table: FeatureTable) -> Iterator[FeatureTable]:
    parts = _parts(table)
    for part in parts:
        yield from _leaves(part)
    if not parts:
        yield table
