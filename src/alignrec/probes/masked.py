"""Mask-modality recommendation: how much of the zero-shot recall is left when items lose their picture or their text?

A share of all items is drawn, their rows become those of items without the modality (`probes.absence`), and the
zero-shot protocol runs as ever: masked items stay candidates and may be in the history. AlignRec (Liu et al., CIKM
2024), section 4.4.2 and Table 3, there with half the items and one draw. Which items are drawn follows from the seed,
the modality, the number of the draw and the number of items alone: it is the same for every feature table, and a
larger share masks the items of a smaller one and more.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from alignrec.data import InteractionLog
from alignrec.errors import FeatureError, UsageError
from alignrec.features import FeatureTable
from alignrec.probes.result import CUTOFFS, ProbeResult
from alignrec.probes.zero_shot import zero_shot
from alignrec.progress import Reporter
from alignrec.runtime import numpy_rng
from alignrec.settings import Settings
from alignrec.types import FloatMatrix

__all__ = ["MASKED", "MaskSettings", "draw_masked", "masked"]

MASKED = {"image": "vision masked", "text": "text masked"}  # modality -> protocol


class MaskSettings(Settings):
    """Which items lose a modality."""

    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the items, 0..1, rounded down to whole items."""
    draws: int = Field(default=5, ge=1)
    """How many times the items are drawn; the figures are means over the draws."""


def draw_masked(n_items: int, modality: str, draw: int, *, share: float, seed: int) -> NDArray[np.bool_]:
    """The items that lose `modality` in draw number `draw`, (I,)."""
    chosen = np.zeros(n_items, dtype=bool)
    order = numpy_rng(seed, "mask", modality, draw).permutation(n_items)
    chosen[order[: _count(n_items, share)]] = True
    return chosen


def _count(n_items: int, share: float) -> int:
    return math.floor(share * n_items + 1e-9)  # 0.29 of 100 are 29, although the product is a little less


def masked(
    features: FeatureTable,
    modality: str,
    rows: FloatMatrix,
    log: InteractionLog,
    *,
    ks: Sequence[int] = CUTOFFS,
    settings: MaskSettings | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> ProbeResult:
    """Run the protocol over every user with at least two different items.

    Args:
        features: vectors (I, d) with nothing missing, row i = item i of `log`.
        modality: what is lost, "image" or "text".
        rows: what becomes of each item's vector without it, (I, d).
        log: interactions of all splits.
        ks: list lengths of the recalls.
        settings: how many items lose it, and how often they are drawn.
        seed: decides which.
        reporter: told of every user done, draw by draw.

    Raises:
        UsageError: an unknown modality.
        DataError: no user has two different items.
        FeatureError: `rows` are of other items or columns than `features`.
    """
    settings = settings or MaskSettings()
    if modality not in MASKED:
        raise UsageError(f"unknown modality {modality!r} to mask; allowed: {', '.join(MASKED)}")
    if rows.shape != features.matrix.shape:
        raise FeatureError(
            f"features {features.name!r} have shape {features.matrix.shape}, the rows without {modality} "
            f"{rows.shape}; give one row for each item, of the same columns"
        )
    # Rows that masking leaves alone (of words, where pictures go) are the same in every draw.
    draws = 1 if np.array_equal(rows, features.matrix) else settings.draws
    runs = []
    for draw in range(draws):
        chosen = draw_masked(len(rows), modality, draw, share=settings.share, seed=seed)
        table = replace(features, matrix=np.where(chosen[:, None], rows, features.matrix))
        runs.append(zero_shot(table, log, ks=ks, reporter=reporter))
    count = _count(len(rows), settings.share)
    return replace(
        runs[0],
        protocol=MASKED[modality],
        ranks=np.resize([run.ranks for run in runs], (settings.draws, len(runs[0].cases))),
        notes=(f"masked: {count} of {len(rows)} items, {settings.draws} draws", *runs[0].notes),
    )
