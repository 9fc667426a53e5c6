"""MMEnc, the multimodal encoder of AlignRec (Section 4.2.1): BEiT-3's multiway transformer in plain PyTorch.

Source: Wang et al., "Image as a Foreign Language: BEiT Pretraining for All Vision and Vision-Language Tasks"
(BEiT-3), 2022; the shapes are those of the released checkpoints.

Pictures become [CLS, patches], texts come as ids [<s>, pieces, </s>, padding]; each modality has position tables
and experts of its own, the attention runs over both. A picture alone and a text alone go the same way.

    encoder = MultiwayEncoder(MultiwaySettings.preset("tiny", text_vocab=tokens.vocab_size), rng)
    states = encoder(images, ids, padding)
    states.cls  # (B, d), AlignRec's item vector

B items, P patches, L text tokens, N all tokens, d width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from alignrec.encoders.multiway_layers import LAYER_NORM_EPS, MultiwayBlock, small_normal_
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.errors import UsageError

__all__ = ["KeptTokens", "MultiwayEncoder", "MultiwayStates", "TokenHead", "flat_positions"]


@dataclass(frozen=True)
class KeptTokens:
    """The tokens whose states are wanted; the last block then does the work of these alone. None: all."""

    vision: Tensor | None = None  # (B, m) int64; 0 is CLS, 1 + p is patch p
    text: Tensor | None = None  # (B, m) int64; 0 is <s>


@dataclass(frozen=True)
class MultiwayStates:
    """States of the tokens between two blocks or at the end; a modality that is absent is None.

    Reading `cls`, `patches` or `bos` of an absent modality raises UsageError.
    """

    vision: Tensor | None  # (B, 1 + P, d), CLS first
    text: Tensor | None  # (B, L, d), <s> first; rows at padding mean nothing
    keys: Tensor | None = None  # (B, 1, 1, N) bool, True where a token may be attended to; None: everywhere

    @property
    def cls(self) -> Tensor:
        """State of the picture's CLS token, (B, d)."""
        return self._vision()[:, 0]

    @property
    def patches(self) -> Tensor:
        """States of the patches, (B, P, d)."""
        return self._vision()[:, 1:]

    @property
    def bos(self) -> Tensor:
        """State of the text's <s> token, (B, d)."""
        if self.text is None:
            raise UsageError("these states are of pictures alone and have no <s>; read 'cls', or encode texts too")
        return self.text[:, 0]

    def _vision(self) -> Tensor:
        if self.vision is None:
            raise UsageError("these states are of texts alone and have no CLS; read 'bos', or encode pictures too")
        return self.vision


class MultiwayEncoder(nn.Module):
    """Pictures, texts or both → states of their tokens.

    Parameters are drawn from `rng`; without one they stay on the meta device, which has shapes but no numbers.
    Nothing in the module changes in a forward pass, and drop-path is drawn outside it (`draw_drop_path`), so a
    pass is a function of its arguments: it can be compiled, repeated, and recomputed.
    """

    def __init__(self, settings: MultiwaySettings, rng: torch.Generator | None) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        with torch.device("meta"):  # so that torch's own initialisation draws nothing
            self.patch_embedding = nn.Conv2d(3, width, settings.patch_size, settings.patch_size)
            self.text_embedding = nn.Embedding(settings.text_vocab, width)
            self.cls_token = nn.Parameter(torch.empty(1, 1, width))
            self.mask_token = nn.Parameter(torch.empty(1, 1, width))
            self.vision_positions = nn.Parameter(torch.empty(1 + settings.patches, width))
            self.text_positions = nn.Parameter(torch.empty(settings.text_positions, width))
            self.blocks = nn.ModuleList(
                MultiwayBlock(width, settings.heads, settings.ffn) for _ in range(settings.layers)
            )
            self.vision_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
            self.text_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        if rng is not None:
            self.to_empty(device="cpu")
            self._initialise(rng)

    def forward(
        self,
        images: Tensor | None = None,
        token_ids: Tensor | None = None,
        text_padding: Tensor | None = None,
        masked_patches: Tensor | None = None,
        drop_path: Tensor | None = None,
        kept: KeptTokens | None = None,
    ) -> MultiwayStates:
        """States after the final norm.

        Args:
            images: (B, 3, S, S), colours scaled to -1..1.
            token_ids: (B, L) int64.
            text_padding: (B, L) bool, True = padding; leave it out where there is none, that is faster.
            masked_patches: (B, P) bool, True = the patch is replaced by the mask token.
            drop_path: (layers, 2, B) from `draw_drop_path`; needed in training mode where the setting is not 0.
            kept: the tokens whose states are wanted; by default all.

        Raises:
            UsageError: neither pictures nor texts, pictures of another size, a text that is too long.
        """
        states = self.embed(images, token_ids, text_padding, masked_patches)
        return self.normalise(self.run_blocks(states, drop_path=drop_path, kept=kept))

    def embed(
        self,
        images: Tensor | None = None,
        token_ids: Tensor | None = None,
        text_padding: Tensor | None = None,
        masked_patches: Tensor | None = None,
    ) -> MultiwayStates:
        """States before the first block; arguments and errors as of `forward`."""
        if images is None and token_ids is None:
            raise UsageError("nothing to encode; give images, token_ids or both")
        vision = None if images is None else self._embed_images(images, masked_patches)
        text = None if token_ids is None else self._embed_text(token_ids, text_padding)
        keys = None
        if text is not None and text_padding is not None:
            keys = ~text_padding
            if vision is not None:
                keys = torch.cat([keys.new_ones(vision.shape[:2]), keys], dim=1)
            keys = keys[:, None, None, :]
        return MultiwayStates(vision, text, keys)

    def run_blocks(
        self,
        states: MultiwayStates,
        start: int = 0,
        stop: int | None = None,
        drop_path: Tensor | None = None,
        kept: KeptTokens | None = None,
    ) -> MultiwayStates:
        """States after blocks `start` to `stop` - 1, not normalised; by default all of them.

        With `kept` the last of these blocks gives the states of the kept tokens alone, in their order: an answer,
        which no further block may follow.

        Raises:
            UsageError: training with drop-path, and no draws for it.
        """
        if self.training and self.settings.drop_path > 0 and drop_path is None:
            raise UsageError("training with drop-path needs its draws; pass drop_path=encoder.draw_drop_path(B, rng)")
        stop = len(self.blocks) if stop is None else stop
        for index in range(start, stop):
            scale = drop_path[index] if self.training and drop_path is not None else None
            states = self.run_block(self.blocks[index], states, scale, kept if index == stop - 1 else None)
        return states

    def run_block(
        self, block: nn.Module, states: MultiwayStates, scale: Tensor | None, kept: KeptTokens | None = None
    ) -> MultiwayStates:
        """States after one `MultiwayBlock`, the encoder's or one put on top of it; `scale` (2, B) as the block's."""
        kept = kept or KeptTokens()
        given = (states.vision, states.text, states.keys, scale, kept.vision, kept.text)
        if self.settings.checkpoint_activations and torch.is_grad_enabled():
            # a block draws nothing, so there is no generator state to keep
            vision, text = checkpoint(block, *given, use_reentrant=False, preserve_rng_state=False)
        else:
            vision, text = block(*given)
        return MultiwayStates(vision, text, states.keys)

    def normalise(self, states: MultiwayStates) -> MultiwayStates:
        """The final norm of each modality."""
        vision = None if states.vision is None else self.vision_norm(states.vision)
        text = None if states.text is None else self.text_norm(states.text)
        return MultiwayStates(vision, text, states.keys)

    def draw_drop_path(self, n_items: int, rng: torch.Generator) -> Tensor | None:
        """Weights of both answers of every block for `n_items` items, (layers, 2, B); None where nothing drops.

        A weight is 0 with the block's chance and otherwise so large that its mean is 1 (Huang et al., 2016).
        """
        if not self.training or self.settings.drop_path == 0:
            return None
        chance = torch.linspace(0, self.settings.drop_path, self.settings.layers)[:, None, None]
        kept = torch.rand(self.settings.layers, 2, n_items, generator=rng) >= chance
        return (kept / (1 - chance)).to(self.cls_token.device)

    def _embed_images(self, images: Tensor, masked: Tensor | None) -> Tensor:
        size = self.settings.image_size
        if tuple(images.shape[1:]) != (3, size, size):
            raise UsageError(f"images have shape {tuple(images.shape)}; this encoder takes (B, 3, {size}, {size})")
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)  # (B, P, d)
        if masked is not None:
            patches = torch.where(masked.unsqueeze(-1), self.mask_token, patches)
        return torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1) + self.vision_positions

    def _embed_text(self, token_ids: Tensor, padding: Tensor | None) -> Tensor:
        length, longest = token_ids.shape[1], self.settings.text_positions
        if length > longest:
            raise UsageError(f"texts are {length} tokens long; this encoder takes up to {longest}, cut them")
        text = self.text_embedding(token_ids) + self.text_positions[:length]  # (B, L, d)
        if padding is not None:
            text = text.masked_fill(padding.unsqueeze(-1), 0.0)
        return text  # type: ignore[no-any-return]

    def _initialise(self, rng: torch.Generator) -> None:
        for table in (self.patch_embedding.weight, self.text_embedding.weight, self.cls_token, self.mask_token):
            small_normal_(table, rng)
        for table in (self.vision_positions, self.text_positions):
            small_normal_(table, rng)
        nn.init.zeros_(self.patch_embedding.bias)  # type: ignore[arg-type]
        for block in self.modules():
            if isinstance(block, MultiwayBlock):
                block.initialise(self.settings.layers, rng)
        for norm in (self.vision_norm, self.text_norm):
            norm.reset_parameters()


class TokenHead(nn.Module):
    """Predicts tokens from states by one linear map: text tokens (MLM) or visual tokens (MIM)."""

    def __init__(self, width: int, vocab: int, rng: torch.Generator | None) -> None:
        super().__init__()
        with torch.device("meta"):
            self.project = nn.Linear(width, vocab)
        if rng is not None:
            self.to_empty(device="cpu")
            small_normal_(self.project.weight, rng)
            nn.init.zeros_(self.project.bias)

    def forward(self, states: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits (M, vocab) at `positions` (M,) of states (B, n, d), counted as by `flat_positions`.

        Only these rows are computed. Without positions: logits (..., vocab) of all states (..., d).
        """
        if positions is not None:
            states = states.flatten(0, 1).index_select(0, positions)
        return self.project(states)  # type: ignore[no-any-return]


def flat_positions(mask: Tensor) -> Tensor:
    """Where `mask` (B, n) is True, row by row, as numbers b · n + j, (M,) int64."""
    return mask.flatten().nonzero().squeeze(1)
