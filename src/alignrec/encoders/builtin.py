"""The encoders that need no training, by the names the command line knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from alignrec.data import Dataset
from alignrec.encoders.classical import PixelSettings, TfidfSettings, extract_pixels, extract_tfidf
from alignrec.errors import UsageError
from alignrec.features import FeatureTable
from alignrec.settings import Settings

__all__ = ["BUILTIN_ENCODERS", "BuiltinEncoder", "Extract", "extract_builtin"]


class Extract(Protocol):
    """Dataset → FeatureTable; what every built-in encoder is."""

    def __call__(self, dataset: Dataset, settings: Any, *, name: str, seed: int) -> FeatureTable:
        """Describe every item of `dataset`; `settings` are of the encoder's own class (hence Any)."""


@dataclass(frozen=True)
class BuiltinEncoder:
    """A function and the class of its settings."""

    extract: Extract
    settings: type[Settings]
    summary: str


BUILTIN_ENCODERS: Mapping[str, BuiltinEncoder] = {
    "pixels": BuiltinEncoder(extract_pixels, PixelSettings, "small pictures and colour histograms, PCA"),
    "tfidf": BuiltinEncoder(extract_tfidf, TfidfSettings, "tf-idf weighted words, truncated SVD"),
}


def extract_builtin(
    encoder: str,
    dataset: Dataset,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,  # Any: user input
    seed: int = 0,
) -> FeatureTable:
    """Run the built-in encoder called `encoder`; the table is called `name`, or as the encoder.

    Raises:
        UsageError: there is no such encoder.
        SettingsError: a setting that it does not have.
        FeatureError: the catalogue has nothing that it can describe.
    """
    if encoder not in BUILTIN_ENCODERS:
        raise UsageError(
            f"unknown encoder {encoder!r}; built in: {', '.join(BUILTIN_ENCODERS)}; a trained one is called by its "
            "folder, a Hugging Face model hf:NAME"
        )
    chosen = BUILTIN_ENCODERS[encoder]
    checked = chosen.settings.create(settings, section=encoder)
    return chosen.extract(dataset, checked, name=name or encoder, seed=seed)
