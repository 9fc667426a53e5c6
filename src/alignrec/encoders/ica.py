"""ICA, the pre-training of AlignRec's encoder: mask, then predict (Liu et al., CIKM 2024, Section 4.3.1 and appendix).

L_ICA = L_MLM + L_MIM: hidden words are predicted from the other words and the picture, hidden patches (as visual
tokens) from the other patches and the text; cross entropies on hidden positions only.

`passes=separate` is the paper's: the words are predicted beside a whole picture, the patches beside a whole text.
`joint` hides both at once, in half the time. The item's vector, the CLS state, enters neither loss, and in a small
encoder it then learns next to nothing. `cls_objective=bow` makes it predict which words the text and which visual
tokens the picture has, through the same two heads; `none` is the paper's objective pure.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from alignrec.encoders.masking import MaskedText, as_mask
from alignrec.encoders.multiway import MultiwayEncoder, MultiwayStates, TokenHead
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.pixel_values import standardise
from alignrec.settings import Settings

__all__ = ["IcaBatch", "IcaObjective", "IcaSettings", "bag_of_tokens_loss"]

_FIRST_WORD = 4  # ids below are marks
_TENSORS = {"images", "visual_tokens", "tokens", "padding", "hidden_patches"}
_TENSORS |= {"has_image", "has_text", "shows_image", "shows_text"}


class IcaSettings(Settings):
    """What is predicted from what."""

    passes: Literal["separate", "joint"] = "joint"
    """Whether words and patches are hidden in two passes, each beside the other modality whole (paper), or at once."""
    cls_objective: Literal["none", "bow"] = "bow"
    """What the CLS state must predict: nothing (paper), or the item's words and visual tokens."""
    cls_weight: float = Field(default=1.0, ge=0)
    """Weight of that."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number type of the encoder's products; bfloat16 pays on GPUs and on processors that have it."""


@dataclass(frozen=True)
class IcaBatch:
    """B items, P patches, L tokens; an absent modality is a picture of hidden patches or an empty text."""

    images: Tensor  # (B, 3, S, S) uint8
    visual_tokens: Tensor  # (B, P) int64
    tokens: Tensor  # (B, L) int64
    padding: Tensor  # (B, L) bool
    hidden_words: MaskedText
    hidden_patches: Tensor  # (B, m) int64
    has_image: Tensor  # (B,) bool
    has_text: Tensor  # (B,) bool
    shows_image: Tensor  # (B,) bool; False where it is absent or dropped
    shows_text: Tensor  # (B,) bool
    drop_path: Tensor | None = None  # (layers, 2, B or 2 B)

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> "IcaBatch":
        """The same batch on `device`."""
        if device.type == "cpu":
            return self
        words = MaskedText(*(getattr(self.hidden_words, part.name).to(device) for part in fields(MaskedText)))
        moved = {part.name: getattr(self, part.name).to(device) for part in fields(self) if part.name in _TENSORS}
        drop_path = None if self.drop_path is None else self.drop_path.to(device)
        return replace(self, **moved, hidden_words=words, drop_path=drop_path)


class IcaObjective(nn.Module):
    """Encoder and heads; maps an `IcaBatch` to the terms `mlm`, `mim`; with `bow` also `cls_words`, `cls_patches`."""

    def __init__(
        self, encoder: MultiwaySettings, settings: IcaSettings, word_weights: Tensor, rng: torch.Generator | None
    ) -> None:
        """`word_weights` (text_vocab,) is how much a word counts in the bag, such as its inverse document frequency."""
        super().__init__()
        self.settings = settings
        self.encoder = MultiwayEncoder(encoder, rng)
        self.mlm_head = TokenHead(encoder.width, encoder.text_vocab, rng)
        self.mim_head = TokenHead(encoder.width, encoder.visual_vocab, rng)
        self.register_buffer("word_weights", word_weights, persistent=False)
        self.word_weights: Tensor

    def forward(self, batch: IcaBatch) -> dict[str, Tensor]:
        """The terms, each a mean over the hidden positions or items it is about."""
        device = batch.images.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            if self.settings.passes == "joint":
                states = self._encode(batch, hide_words=True, hide_patches=True)
                return self._terms(batch, states, states)
            for_words = self._encode(batch, hide_words=True, hide_patches=False)
            for_patches = self._encode(batch, hide_words=False, hide_patches=True)
            return self._terms(batch, for_words, for_patches)

    def _encode(self, batch: IcaBatch, *, hide_words: bool, hide_patches: bool) -> MultiwayStates:
        patches = batch.visual_tokens.shape[1]
        masked = ~batch.shows_image[:, None].expand(-1, patches)
        if hide_patches:
            masked = masked | as_mask(batch.hidden_patches, patches)
        tokens = batch.hidden_words.tokens if hide_words else batch.tokens
        # a dropped text keeps its first token, <s>, whose state exists in every item
        silent = ~batch.shows_text[:, None] & (torch.arange(tokens.shape[1], device=tokens.device) > 0)
        padding = batch.padding | silent
        return self.encoder(standardise(batch.images), tokens, padding, masked, batch.drop_path)  # type: ignore[no-any-return]

    def _terms(self, batch: IcaBatch, for_words: MultiwayStates, for_patches: MultiwayStates) -> dict[str, Tensor]:
        assert for_words.text is not None  # both modalities went in
        counted = batch.hidden_words.present & (batch.has_text & batch.shows_text)[:, None]
        rows, columns = torch.nonzero(counted, as_tuple=True)
        length = batch.tokens.shape[1]
        words = self.mlm_head(for_words.text, rows * length + batch.hidden_words.positions[rows, columns])
        items = torch.nonzero(batch.has_image & batch.shows_image).squeeze(1)
        hidden = batch.hidden_patches[items]  # (b, m)
        n_patches = batch.visual_tokens.shape[1]
        patches = self.mim_head(for_patches.patches, (items[:, None] * n_patches + hidden).flatten())
        terms = {
            "mlm": _mean_cross_entropy(words, batch.hidden_words.targets[rows, columns]),
            "mim": _mean_cross_entropy(patches, batch.visual_tokens[items].gather(1, hidden).flatten()),
        }
        if self.settings.cls_objective == "bow":
            terms |= self._bags(batch, [for_words] if for_words is for_patches else [for_words, for_patches])
        return terms

    def _bags(self, batch: IcaBatch, passes: list[MultiwayStates]) -> dict[str, Tensor]:
        weights = self.word_weights[batch.tokens] * (batch.tokens >= _FIRST_WORD)  # (B, L)
        share = self.settings.cls_weight / len(passes)
        words = [bag_of_tokens_loss(self.mlm_head(states.cls), batch.tokens, weights) for states in passes]
        seen = batch.has_image[:, None].expand_as(batch.visual_tokens).float()
        patches = [bag_of_tokens_loss(self.mim_head(states.cls), batch.visual_tokens, seen) for states in passes]
        return {"cls_words": share * torch.stack(words).sum(), "cls_patches": share * torch.stack(patches).sum()}


def bag_of_tokens_loss(logits: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy of softmax(logits) with the bag of an item's tokens, mean over the items that have any.

    Args:
        logits: (B, V).
        tokens: (B, n) int64.
        weights: (B, n), not negative; scaled here to sum 1 in each row. A row of zeros does not count.
    """
    total = weights.sum(dim=1)  # (B,)
    chosen = (logits.float().gather(1, tokens) * weights).sum(dim=1) / total.clamp_min(1e-12)
    losses = torch.logsumexp(logits.float(), dim=1) - chosen
    counted = total > 0
    return torch.where(counted, losses, 0.0).sum() / counted.sum().clamp_min(1)


def _mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """0, with a gradient of 0, where nothing is hidden."""
    return cross_entropy(logits.float(), targets, reduction="sum") / max(len(targets), 1)
