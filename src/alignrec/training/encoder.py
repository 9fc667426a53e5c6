"""Training an encoder: what it adds to the loop are batches of masked items, AdamW, warm-up and a cosine.

The loop's epoch is here a *round* of a fixed number of steps, so that logs, validation and checkpoints come at the same
pace for a catalogue of any size. Items are read in random order, pass after pass over the catalogue.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from alignrec.encoders.catalogue_inputs import CatalogueInputs
from alignrec.encoders.ica import IcaBatch, IcaObjective
from alignrec.encoders.masking import ImageMasking, TextMasking, mask_blocks, mask_text
from alignrec.encoders.prefetch import prefetch
from alignrec.runtime import numpy_rng, torch_rng
from alignrec.settings import Settings
from alignrec.training.journal import RunFiles
from alignrec.training.loop import FitResult, Job, LoopSettings, Validate, run_loop
from alignrec.training.schedule import warmup_cosine

__all__ = ["MaskedItems", "MaskingSettings", "PretrainingSettings", "held_out_items", "held_out_losses", "pretrain"]


class MaskingSettings(Settings):
    """What is hidden in training."""

    text_share: float = Field(default=0.3, gt=0, lt=1)
    """Part of the words (the paper hides 0.15; with both modalities hidden at once more is better)."""
    image_share: float = Field(default=0.4, gt=0, lt=1)
    """Part of the patches, in blocks (paper: 0.4)."""
    whole_word: bool = False
    """Whether the pieces of a word are hidden together."""
    bert_801010: bool = False
    """Whether a tenth of the hidden words stays and a tenth becomes another."""
    modality_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of items that show only one of their two modalities, so that the vector copes with a missing one."""


class PretrainingSettings(Settings):
    """How long, how fast."""

    steps: int = Field(default=2000, ge=1)
    """Steps in all, rounded up to whole rounds."""
    round_steps: int = Field(default=100, ge=1)
    """Steps between two lines of the log, each with validation losses."""
    batch_size: int = Field(default=16, ge=2)
    """Items in a batch. A small encoder learns by the number of its steps: four of 16 items do far more than one of 64;
    a large one on a GPU wants large batches (paper: 1,024)."""
    accumulate: int = Field(default=1, ge=1)
    """Batches in a step, whose gradients are averaged: for steps that do not fit into memory at once."""
    lr: float = Field(default=7e-4, gt=0)
    """Largest learning rate (paper: 5e-4 at a batch of 1,024)."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the rate rises."""
    last_lr: float = Field(default=0.01, ge=0, le=1)
    """Factor on `lr` at the end of the cosine."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Of AdamW; biases, norms, positions and single tokens are spared."""
    gradient_clip: float = Field(default=3.0, gt=0)
    """Largest norm of the gradient."""
    prefetch: int = Field(default=0, ge=0)
    """Batches that a thread prepares in advance, which pays beside a GPU; it does not change any result."""
    held_out: float = Field(default=0.05, ge=0, lt=0.5)
    """Share of items kept for validation losses; where that is none, they are those of up to 64 items trained on."""
    checkpoint_seconds: float = Field(default=30.0, ge=0)
    """Least time between two checkpoints on disk; it does not change any result."""

    @property
    def rounds(self) -> int:
        """Rounds in all: steps are rounded up to whole rounds."""
        return -(-self.steps // self.round_steps)


class MaskedItems:
    """Batches of items with words and patches hidden; round r is drawn from (seed, r)."""

    def __init__(
        self,
        inputs: CatalogueInputs,
        items: NDArray[np.int64],
        objective: IcaObjective,
        masking: MaskingSettings,
        settings: PretrainingSettings,
        seed: int,
    ) -> None:
        self._inputs, self._items, self._objective, self._seed = inputs, items, objective, seed
        self._masking, self._settings = masking, settings
        self._order: tuple[int, NDArray[np.int64]] = (-1, items)  # a pass over the items, and its number

    def steps(self) -> int:
        """Batches in a round."""
        return self._settings.round_steps * self._settings.accumulate

    def epoch(self, epoch: int) -> Iterator[IcaBatch]:
        """The batches of round number `epoch` (1 first)."""
        if not self._settings.prefetch:
            yield from self._batches(epoch)
            return
        with prefetch(self._batches(epoch), self._settings.prefetch) as ready:
            yield from ready

    def _batches(self, epoch: int) -> Iterator[IcaBatch]:
        rng = numpy_rng(self._seed, "masking", epoch)
        drops = torch_rng(self._seed, "drop-path", epoch)
        size = self._settings.batch_size
        first = (epoch - 1) * self.steps() * size
        for step in range(self.steps()):
            yield self.batch(self._at(first + step * size, size), rng, drops)

    def _at(self, start: int, count: int) -> NDArray[np.int64]:
        """Items at places `start` to `start + count` of an endless row of shuffled catalogues."""
        taken: list[NDArray[np.int64]] = []
        while count > 0:
            number, place = divmod(start, len(self._items))
            if self._order[0] != number:
                self._order = number, numpy_rng(self._seed, "order", number).permutation(self._items)
            part = self._order[1][place : place + count]
            taken.append(part)
            start, count = start + len(part), count - len(part)
        return np.concatenate(taken)

    def batch(self, items: NDArray[np.int64], rng: np.random.Generator, drops: torch.Generator) -> IcaBatch:
        """The items `items` (B,) with hidden parts drawn from `rng`."""
        inputs, masking, encoder = self._inputs, self._masking, self._objective.encoder
        tokens, padding = inputs.text(items)
        text = TextMasking(share=masking.text_share, bert_801010=masking.bert_801010, whole_word=masking.whole_word)
        mask_id = len(inputs.word_starts) - 1  # the embedding may have rows that no token uses
        hidden_words = mask_text(tokens, padding, rng, mask_id=mask_id, starts_word=inputs.word_starts, settings=text)
        image = ImageMasking(share=masking.image_share)
        hidden_patches = mask_blocks(len(items), encoder.settings.grid, rng, image)
        modalities = self._objective.settings.modalities
        has_image = inputs.has_image[items] & (modalities != "text")
        has_text = inputs.has_text[items] & (modalities != "image")
        drop_image, drop_text = _dropped(has_image & has_text, masking.modality_dropout, rng)
        return IcaBatch(
            images=inputs.images.load(items),
            visual_tokens=inputs.patches(items),
            tokens=tokens,
            padding=padding,
            hidden_words=hidden_words,
            hidden_patches=hidden_patches,
            has_image=torch.from_numpy(has_image),
            has_text=torch.from_numpy(has_text),
            shows_image=torch.from_numpy(has_image & ~drop_image),
            shows_text=torch.from_numpy(has_text & ~drop_text),
            drop_path=encoder.draw_drop_path(len(items), drops),
        ).to(next(self._objective.parameters()).device)


def pretrain(
    objective: IcaObjective,
    inputs: CatalogueInputs,
    settings: PretrainingSettings,
    masking: MaskingSettings,
    validate: Validate,
    *,
    seed: int,
    device: torch.device | None = None,
    files: RunFiles | None = None,
) -> FitResult:
    """Train `objective` on all items but those held out; it then holds the weights of the last step.

    Args:
        objective: encoder and heads; moved to `device`.
        inputs: the catalogue.
        settings: see `PretrainingSettings`.
        masking: see `MaskingSettings`.
        validate: figures of the present weights, once a round; `held_out_losses` gives the needed `ica`.
        seed: decides order, masks, dropped modalities and drop-path.
        device: where to train, the CPU by default.
        files: where to log and checkpoint, and to go on from.

    Raises:
        TrainingError: a loss that is not finite.
    """
    objective.to(device or torch.device("cpu"))
    training = np.setdiff1d(np.arange(len(inputs)), held_out_items(len(inputs), settings.held_out, seed))
    source = MaskedItems(inputs, training, objective, masking, settings, seed)
    optimizer = torch.optim.AdamW(
        _groups(objective, settings.weight_decay), lr=settings.lr, betas=(0.9, 0.98), eps=1e-8, fused=True
    )
    rounds = settings.rounds
    loop = LoopSettings(
        epochs=rounds,
        patience=rounds,
        metric="ica",
        keep="last",
        accumulate=settings.accumulate,
        gradient_clip=settings.gradient_clip,
        checkpoint_seconds=settings.checkpoint_seconds,
    )
    schedule = warmup_cosine(rounds, rounds * settings.warmup, settings.last_lr)
    job = Job(
        objective, source, optimizer, schedule, validate, note=lambda line: _round_line(line, settings.round_steps)
    )
    return run_loop(job, loop, seed=seed, files=files, label="encoder, rounds")


def held_out_items(n_items: int, share: float, seed: int) -> NDArray[np.int64]:
    """Indices of the items kept out of training, sorted; the same for the same seed."""
    count = round(n_items * share)
    return np.sort(numpy_rng(seed, "held-out").permutation(n_items)[:count])


def held_out_losses(
    source: MaskedItems, items: NDArray[np.int64], objective: IcaObjective, seed: int
) -> dict[str, float]:
    """The loss terms on `items`, always with the same masks, and `ica`, minus their sum (larger is better)."""
    objective.eval()
    rng, drops = numpy_rng(seed, "validation"), torch_rng(seed, "validation")
    totals: dict[str, float] = {}
    with torch.no_grad():
        for start in range(0, len(items), 64):
            part = items[start : start + 64]
            for name, term in objective(source.batch(part, rng, drops)).items():
                totals[name] = totals.get(name, 0.0) + float(term) * len(part) / len(items)
    return {"ica": -sum(totals.values()), **totals}


def _round_line(line: Mapping[str, Any], round_steps: int) -> str:
    """A round in one line: step, mean losses of training, figures of validation."""
    parts = (line["loss"], {name: value for name, value in line["valid"].items() if name != "ica"})
    trained, held_out = ("  ".join(f"{name} {value:.4f}" for name, value in part.items()) for part in parts)
    return f"step {line['epoch'] * round_steps:,}: {trained} | held out: {held_out}"


def _dropped(
    both: NDArray[np.bool_], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which items lose their picture and which their text; never both, and never the only one."""
    drawn, which = rng.random(len(both)) < share, rng.random(len(both)) < 0.5
    return both & drawn & which, both & drawn & ~which


def _groups(objective: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    spared: list[Tensor] = []
    decayed: list[Tensor] = []
    for name, parameter in objective.named_parameters():
        single = parameter.ndim <= 1 or name.endswith(("positions", "cls_token", "mask_token"))
        (spared if single else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
