"""ICA, the pre-training of AlignRec's encoder: mask, then predict (Liu et al., CIKM 2024, Section 4.3.1 and appendix).

L_ICA = L_MLM + L_MIM: hidden words are predicted from the other words and the picture, hidden patches (as visual
tokens) from the other patches and the text; cross entropies on hidden positions only.

`passes=separate` is the paper's: the words are predicted beside a whole picture, the patches beside a whole text.
`joint` hides both at once, in half the time. The item's vector, the CLS state, enters neither loss, and in a small
encoder it then learns next to nothing; `cls_objective` gives it something to do (`cls_objectives`). `none` is the
paper's objective pure.

Only the states that a loss reads go through the last block's feed-forward network, and only hidden tokens through
the heads: the memory of logits grows with what is hidden, not with what is there.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from alignrec.encoders.cls_objectives import AggregationHead, ContrastHead, bag_of_tokens_loss
from alignrec.encoders.masking import MaskedText, as_mask
from alignrec.encoders.multiway import KeptTokens, MultiwayEncoder, MultiwayStates, TokenHead
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.pixel_values import standardise
from alignrec.encoders.text_tokens import FIRST_WORD
from alignrec.settings import Settings

__all__ = ["IcaBatch", "IcaObjective", "IcaSettings"]

_TENSORS = {"images", "visual_tokens", "tokens", "padding", "hidden_patches"}
_TENSORS |= {"has_image", "has_text", "shows_image", "shows_text"}


class IcaSettings(Settings):
    """What is predicted from what."""

    passes: Literal["separate", "joint"] = "joint"
    """Whether words and patches are hidden in two passes, each beside the other modality whole (paper), or at once."""
    cls_objective: Literal["none", "bow", "aggregate", "itc"] = "bow"
    """What the CLS state must do: nothing (`none`, the paper), predict the item's words and visual tokens (`bow`),
    help a shallow head to the masked task (`aggregate`), or match a picture with its text (`itc`)."""
    cls_weight: float = Field(default=1.0, ge=0)
    """Weight of that."""
    aggregate_blocks: int = Field(default=1, ge=1)
    """Blocks of the head that `aggregate` adds in training (BEiT-v2: 2)."""
    modalities: Literal["both", "image", "text"] = "both"
    """What of the items is shown and predicted; with one of the two the other's loss is absent."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number type of the encoder's products; bfloat16 pays on GPUs and on processors that have it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.cls_objective == "itc" and self.modalities != "both":
            raise ValueError(
                f"cls_objective=itc matches pictures with texts and cannot have modalities={self.modalities}"
            )
        return self


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
    drop_path: Tensor | None = None  # (layers, 2, B)

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
    """Encoder and heads; maps an `IcaBatch` to named terms.

    The terms are `mlm` and `mim`; with `bow` also `cls_words` and `cls_patches`, with `aggregate` `cls_mlm` and
    `cls_mim`, with `itc` `itc`. Every parameter learns, but for those that a missing modality leaves out: with
    `modalities=text` the head of patches and the patch embedding, with `image` the head and the embeddings of words.
    """

    def __init__(
        self, encoder: MultiwaySettings, settings: IcaSettings, word_weights: Tensor, rng: torch.Generator | None
    ) -> None:
        """`word_weights` (text_vocab,) is how much a word counts in the bag, such as its inverse document frequency."""
        super().__init__()
        self.settings = settings
        self.encoder = MultiwayEncoder(encoder, rng)
        self.mlm_head = TokenHead(encoder.width, encoder.text_vocab, rng)
        self.mim_head = TokenHead(encoder.width, encoder.visual_vocab, rng)
        kind = settings.cls_objective
        self.aggregation = AggregationHead(encoder, settings.aggregate_blocks, rng) if kind == "aggregate" else None
        self.contrast = ContrastHead(encoder.width, rng) if kind == "itc" else None
        self.register_buffer("word_weights", word_weights, persistent=False)
        self.word_weights: Tensor

    def forward(self, batch: IcaBatch) -> dict[str, Tensor]:
        """The terms, each a mean over the hidden positions, items or pairs it is about."""
        device = batch.images.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            masked: dict[str, Tensor] = {}
            extra: dict[str, Tensor] = {}
            passes = []
            for hidden in self._passes():
                states, aggregated = self._encode(batch, hidden)
                masked |= self._masked_terms(batch, states, hidden)
                if aggregated is not None:
                    terms = self._masked_terms(batch, aggregated, hidden)
                    extra |= {f"cls_{name}": self.settings.cls_weight * term for name, term in terms.items()}
                passes.append(states)
            if self.settings.cls_objective == "bow":
                extra = self._bags(batch, passes)
            if self.contrast is not None:
                extra = {"itc": self.settings.cls_weight * self._contrast(batch, self.contrast)}
            return masked | extra

    def _passes(self) -> list[frozenset[str]]:
        """What each pass hides, and thus predicts."""
        parts = {"both": ("text", "image")}.get(self.settings.modalities, (self.settings.modalities,))
        return [frozenset(parts)] if self.settings.passes == "joint" else [frozenset({part}) for part in parts]

    def _encode(self, batch: IcaBatch, hidden: frozenset[str]) -> tuple[MultiwayStates, MultiwayStates | None]:
        """States of CLS, `<s>` and, after them, the hidden tokens; the second are those of the aggregation head."""
        patches = batch.visual_tokens.shape[1]
        masked = ~batch.shows_image[:, None].expand(-1, patches)
        first = batch.tokens.new_zeros(len(batch), 1)
        kept_vision = kept_text = first
        if "image" in hidden:
            masked = masked | as_mask(batch.hidden_patches, patches)
            kept_vision = torch.cat([first, 1 + batch.hidden_patches], dim=1)
        tokens = batch.tokens
        if "text" in hidden:
            tokens = batch.hidden_words.tokens
            kept_text = torch.cat([first, batch.hidden_words.positions], dim=1)
        # a dropped text keeps its first token, <s>, whose state exists in every item
        silent = ~batch.shows_text[:, None] & (torch.arange(tokens.shape[1], device=tokens.device) > 0)
        kept = KeptTokens(kept_vision, kept_text)
        early = self.encoder.embed(standardise(batch.images), tokens, batch.padding | silent, masked)
        start = 0 if self.aggregation is None else self.aggregation.early
        early = self.encoder.run_blocks(early, stop=start, drop_path=batch.drop_path)
        last = self.encoder.run_blocks(early, start, drop_path=batch.drop_path, kept=kept)
        aggregated = None
        if self.aggregation is not None:
            aggregated = self.aggregation(self.encoder, early, last, kept, batch.drop_path)
        return self.encoder.normalise(last), aggregated

    def _masked_terms(self, batch: IcaBatch, states: MultiwayStates, hidden: frozenset[str]) -> dict[str, Tensor]:
        terms = {}
        if "text" in hidden:
            assert states.text is not None  # both modalities went in
            counted = batch.hidden_words.present & (batch.has_text & batch.shows_text)[:, None]
            rows, columns = torch.nonzero(counted, as_tuple=True)
            logits = self.mlm_head(states.text, rows * states.text.shape[1] + 1 + columns)
            terms["mlm"] = _mean_cross_entropy(logits, batch.hidden_words.targets[rows, columns])
        if "image" in hidden:
            assert states.vision is not None
            items = torch.nonzero(batch.has_image & batch.shows_image).squeeze(1)
            places = torch.arange(1, states.vision.shape[1], device=items.device)
            logits = self.mim_head(states.vision, (items[:, None] * states.vision.shape[1] + places).flatten())
            targets = batch.visual_tokens[items].gather(1, batch.hidden_patches[items])
            terms["mim"] = _mean_cross_entropy(logits, targets.flatten())
        return terms

    def _bags(self, batch: IcaBatch, passes: list[MultiwayStates]) -> dict[str, Tensor]:
        share = self.settings.cls_weight / len(passes)
        terms = {}
        if self.settings.modalities != "image":
            weights = self.word_weights[batch.tokens] * (batch.tokens >= FIRST_WORD)  # (B, L)
            words = [bag_of_tokens_loss(self.mlm_head(states.cls), batch.tokens, weights) for states in passes]
            terms["cls_words"] = share * torch.stack(words).sum()
        if self.settings.modalities != "text":
            seen = batch.has_image[:, None].expand_as(batch.visual_tokens).float()
            patches = [bag_of_tokens_loss(self.mim_head(states.cls), batch.visual_tokens, seen) for states in passes]
            terms["cls_patches"] = share * torch.stack(patches).sum()
        return terms

    def _contrast(self, batch: IcaBatch, head: ContrastHead) -> Tensor:
        """Of the items that show both; nothing of them is hidden."""
        both = torch.nonzero(batch.shows_image & batch.shows_text).squeeze(1)
        if not len(both):
            return 0.0 * head.log_scale
        drop_path = None if batch.drop_path is None else batch.drop_path[:, :, both]
        first = both.new_zeros(len(both), 1)
        images = self.encoder(standardise(batch.images[both]), drop_path=drop_path, kept=KeptTokens(vision=first))
        tokens, padding = batch.tokens[both], batch.padding[both]
        texts = self.encoder(None, tokens, padding, drop_path=drop_path, kept=KeptTokens(text=first))
        return head(images.cls, texts.bos)  # type: ignore[no-any-return]


def _mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """0, with a gradient of 0, where nothing is hidden."""
    return cross_entropy(logits.float(), targets, reduction="sum") / max(len(targets), 1)
