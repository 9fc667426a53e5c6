"""The plain features that everything later must beat: small pictures with colour histograms, and weighted words.

`pixels`: each picture squeezed to a small square, joined with a histogram of its colours, standardised, then
principal components. `tfidf`: title, brand, categories and description as tf-idf weighted words (Salton and
Buckley 1988), then truncated singular value decomposition (latent semantic analysis, Deerwester et al. 1990).
Both repeat to the byte with one thread. Rows are not scaled to length 1: fusion and probes do that.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import PIL
import sklearn
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from alignrec.data import Dataset
from alignrec.encoders.pictures import PictureReport, read_pictures
from alignrec.errors import FeatureError
from alignrec.features import FeatureTable
from alignrec.progress import track
from alignrec.runtime import derive_seed, numpy_rng
from alignrec.settings import Settings
from alignrec.types import FloatMatrix

__all__ = ["PixelSettings", "TfidfSettings", "extract_pixels", "extract_tfidf"]

_FINER = 4  # colours are counted on a square this many times finer than the one whose pixels are taken
_BLOCK = 2048  # pictures described at once where the catalogue is larger than what the components are fitted to


class PixelSettings(Settings):
    """How `pixels` describes a picture."""

    size: int = Field(default=16, ge=2, le=64)
    """Width and height of the small square; the proportions of the picture are given up."""
    colour_bins: int = Field(default=4, ge=1, le=16)
    """Steps per channel of the red-green-blue histogram."""
    histogram_weight: float = Field(default=1.0, ge=0)
    """Weight of the histogram's variance against that of the pixels, which is 1."""
    components: int = Field(default=128, ge=1)
    """Number of principal components, the length of a vector; at most pictures - 1."""
    fit_items: int = Field(default=20_000, ge=2)
    """The components are fitted to that many pictures, drawn at random; to all where there are fewer."""


class TfidfSettings(Settings):
    """How `tfidf` describes a text."""

    longest_phrase: int = Field(default=1, ge=1, le=3)
    """Count single words (1), also pairs of neighbours (2), also triples (3)."""
    least_items: int = Field(default=1, ge=1)
    """A word counts if it is in the texts of at least that many items."""
    most_words: int = Field(default=50_000, ge=1)
    """Keep only that many words, the most frequent."""
    components: int = Field(default=128, ge=1)
    """Number of singular vectors, the length of a vector; at most the number of texts and of words."""


def extract_pixels(
    dataset: Dataset, settings: PixelSettings | None = None, *, name: str = "pixels", seed: int = 0
) -> FeatureTable:
    """Describe every item by its picture, (I, components).

    One picture is decoded at a time. An item without a readable picture gets the mean of the others, which is
    zero as the rows are centred: it resembles nothing. How many these are is in the table's provenance.

    Raises:
        FeatureError: fewer than two pictures can be read.
    """
    settings = settings or PixelSettings()
    sample, items = _sample(dataset.n_items, settings.fit_items, seed), np.arange(dataset.n_items)
    report = PictureReport()
    fit_items, fit_rows = _describe(dataset, track(sample.tolist(), "reading pictures"), settings, report)
    if len(fit_rows) < 2:
        raise FeatureError(
            f"{len(fit_rows)} of {len(sample)} pictures can be read, 'pixels' needs at least 2; "
            "check the image paths of the catalogue"
        )
    project = _Projection(fit_rows, settings, seed)
    blocks: Iterable[tuple[NDArray[np.int64], FloatMatrix]] = [(fit_items, fit_rows)]
    if len(sample) < len(items):
        report = PictureReport()
        blocks = _blocks(dataset, settings, report)
    matrix = np.zeros((dataset.n_items, project.size))
    found = np.zeros(dataset.n_items, dtype=bool)
    for block_items, rows in blocks:
        matrix[block_items] = project(rows)
        found[block_items] = True
    matrix[found] -= matrix[found].mean(axis=0)
    provenance = {
        "encoder": "pixels",
        "settings": settings.model_dump(),
        "seed": seed,
        "dataset": dataset.content_hash,
        "pictures": {key: report.counts[key] for key in ("found", "unnamed", "missing", "broken")},
        "examples": report.examples,
        "items_without": "the mean of the others (zero)",
        "fitted_to": len(fit_rows),
        "explained_variance": project.explained_variance,
        "versions": {"pillow": PIL.__version__, **_versions()},
    }
    return FeatureTable(name, "image", dataset.items.ids, matrix.astype(np.float32), provenance)


def extract_tfidf(
    dataset: Dataset, settings: TfidfSettings | None = None, *, name: str = "tfidf", seed: int = 0
) -> FeatureTable:
    """Describe every item by its title, brand, categories and description, (I, components).

    An item without any text, or without a word that counts, gets the mean of the others; how many these are
    is in the table's provenance.

    Raises:
        FeatureError: no item has a text, or no word counts.
    """
    settings = settings or TfidfSettings()
    texts = _texts(dataset)
    empty = np.array([not text for text in texts])
    vectoriser = TfidfVectorizer(
        sublinear_tf=True,
        ngram_range=(1, settings.longest_phrase),
        min_df=settings.least_items,
        max_features=settings.most_words,
    )
    try:
        counts = vectoriser.fit_transform(texts)  # (I, words), rows of length 1
    except ValueError as error:  # scikit-learn's word for an empty vocabulary
        raise FeatureError(
            f"no words to count in the texts of {dataset.n_items} items ({error}); "
            "give the catalogue titles or descriptions, or lower least_items"
        ) from None
    known = np.diff(counts.indptr) > 0
    size = min(settings.components, int(known.sum()), counts.shape[1])
    svd = TruncatedSVD(size, n_iter=7, random_state=_state(seed, "tfidf"))
    with np.errstate(invalid="ignore", divide="ignore"):  # the share of a variance that is zero, for equal texts
        vectors = svd.fit_transform(counts[known])
    matrix = np.empty((dataset.n_items, size))
    matrix[known] = vectors
    matrix[~known] = vectors.mean(axis=0)
    provenance = {
        "encoder": "tfidf",
        "settings": settings.model_dump(),
        "seed": seed,
        "dataset": dataset.content_hash,
        "texts": {"found": int(known.sum()), "empty": int(empty.sum()), "no_known_word": int((~known & ~empty).sum())},
        "items_without": "the mean of the others",
        "words": int(counts.shape[1]),
        "explained_variance": float(np.nan_to_num(svd.explained_variance_ratio_).sum()),
        "versions": _versions(),
    }
    return FeatureTable(name, "text", dataset.items.ids, matrix.astype(np.float32), provenance)


class _Projection:
    """Standardise, weigh the two blocks, take principal components."""

    def __init__(self, rows: FloatMatrix, settings: PixelSettings, seed: int) -> None:
        pixels, bins = 3 * settings.size**2, settings.colour_bins**3
        weights = (1.0 / pixels, settings.histogram_weight / bins)
        self._scale = np.sqrt(np.repeat(weights, (pixels, bins)))  # so that a block's variance is its weight
        self._scaler = StandardScaler().fit(rows.astype(np.float64))
        self.size = min(settings.components, len(rows) - 1, rows.shape[1])
        # the seeded solver costs the same for any number of columns; seven passes make it exact for what counts
        self._pca = PCA(self.size, svd_solver="randomized", iterated_power=7, random_state=_state(seed, "pixels"))
        with np.errstate(invalid="ignore", divide="ignore"):  # the share of a variance that is zero, for equal pictures
            self._pca.fit(self._scaled(rows))

    def __call__(self, rows: FloatMatrix) -> NDArray[np.float64]:
        """(n, columns) → (n, size)."""
        return np.asarray(self._pca.transform(self._scaled(rows)))

    @property
    def explained_variance(self) -> float:
        """Share of the variance that the components keep, 0..1."""
        return float(np.nan_to_num(self._pca.explained_variance_ratio_).sum())

    def _scaled(self, rows: FloatMatrix) -> NDArray[np.float64]:
        return np.asarray(self._scaler.transform(rows.astype(np.float64)) * self._scale)


def _sample(n_items: int, most: int, seed: int) -> NDArray[np.int64]:
    if n_items <= most:
        return np.arange(n_items)
    return np.sort(numpy_rng(seed, "pixels", "sample").choice(n_items, most, replace=False))


def _blocks(
    dataset: Dataset, settings: PixelSettings, report: PictureReport
) -> Iterator[tuple[NDArray[np.int64], FloatMatrix]]:
    for start in track(range(0, dataset.n_items, _BLOCK), "describing pictures"):
        yield _describe(dataset, range(start, min(start + _BLOCK, dataset.n_items)), settings, report)


def _describe(
    dataset: Dataset, items: Iterable[int], settings: PixelSettings, report: PictureReport
) -> tuple[NDArray[np.int64], FloatMatrix]:
    """Those of `items` that have a picture, (n,), and their rows, (n, pixels + bins)."""
    found, rows = [], []
    for item, picture in read_pictures(dataset, items, report, least_size=_FINER * settings.size):
        if picture is not None:
            found.append(item)
            rows.append(_row(picture, settings))
    width = 3 * settings.size**2 + settings.colour_bins**3
    return np.array(found, dtype=np.int64), np.array(rows, dtype=np.float32).reshape(-1, width)


def _row(picture: Image.Image, settings: PixelSettings) -> FloatMatrix:
    """Pixels 0..1 of the small square, then the square roots of the colours' shares (Hellinger)."""
    side = _FINER * settings.size
    fine = picture.resize((side, side), Image.Resampling.BOX)
    small = np.asarray(fine.reduce(_FINER), dtype=np.float32).ravel() / 255
    steps = np.asarray(fine, dtype=np.int64).reshape(-1, 3) * settings.colour_bins // 256  # (side², 3)
    code = (steps[:, 0] * settings.colour_bins + steps[:, 1]) * settings.colour_bins + steps[:, 2]
    shares = np.bincount(code, minlength=settings.colour_bins**3) / side**2
    return np.concatenate([small, np.sqrt(shares)]).astype(np.float32)


def _texts(dataset: Dataset) -> list[str]:
    """All words of each item; empty where there are none."""
    columns = [name for name in ("title", "brand", "categories", "description") if name in dataset.catalogue.schema]
    rows = dataset.catalogue.frame.select(columns).iter_rows()
    return [" ".join(_words(value) for value in row if value).strip() for row in rows]


def _words(value: str | list[str | None]) -> str:
    return value if isinstance(value, str) else " ".join(part for part in value if part)


def _state(seed: int, name: str) -> int:
    return derive_seed(seed, "encoders", name) % 2**32  # what scikit-learn takes


def _versions() -> dict[str, Any]:  # Any: JSON values
    return {"scikit-learn": sklearn.__version__, "numpy": np.__version__}
