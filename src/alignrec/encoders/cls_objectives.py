"""What the CLS and `<s>` states learn beside mask-then-predict, whose losses read neither.

- bag of tokens: the state alone says which tokens the item has, a softmax over the vocabulary against their bag.
- aggregation (Peng et al., "BEiT v2", 2022, Section 3.3, here for both modalities): a shallow head reads the last CLS
  and `<s>` beside the other tokens as an early block left them, and has to solve the same masked task. What it lacks
  can only come through the two states.
- contrast (ITC; Radford et al., "CLIP", 2021, as in BEiT-3): a picture alone and a text alone are encoded, and the
  pairs are found among all combinations of the batch.

The modules here are thrown away after training. B items, d width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, normalize

from alignrec.encoders.multiway import KeptTokens, MultiwayEncoder, MultiwayStates
from alignrec.encoders.multiway_layers import MultiwayBlock, small_normal_
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.errors import SettingsError

__all__ = ["AggregationHead", "ContrastHead", "bag_of_tokens_loss"]

_FIRST_SCALE, _LARGEST_SCALE = 1 / 0.07, 100.0


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


class AggregationHead(nn.Module):
    """Blocks on top of the last CLS and `<s>` and of the early states of everything else."""

    def __init__(self, encoder: MultiwaySettings, blocks: int, rng: torch.Generator | None) -> None:
        """`blocks` blocks drawn from `rng`, for an encoder of at least two.

        Raises:
            SettingsError: the encoder has a single block, and thus no early one.
        """
        super().__init__()
        if encoder.layers < 2:
            raise SettingsError("encoder.layers=1 has no early block; cls_objective=aggregate needs 2 or more")
        self.early = max(3 * encoder.layers // 4, 1)
        """Blocks of the encoder after which the other tokens' states are taken."""
        with torch.device("meta"):
            self.blocks = nn.ModuleList(MultiwayBlock(encoder.width, encoder.heads, encoder.ffn) for _ in range(blocks))
        if rng is not None:
            self.to_empty(device="cpu")
            for block in self.blocks:
                block.initialise(encoder.layers, rng)  # type: ignore[operator]

    def forward(
        self,
        encoder: MultiwayEncoder,
        early: MultiwayStates,
        last: MultiwayStates,
        kept: KeptTokens,
        drop_path: Tensor | None,
    ) -> MultiwayStates:
        """States of the kept tokens after the head's blocks and the encoder's own final norm.

        Args:
            encoder: its norm is used, and its way to run a block.
            early: of all tokens, after block `early`.
            last: after the last block, CLS and `<s>` first.
            kept: the tokens whose states are wanted.
            drop_path: (layers, 2, B) as drawn for the encoder: block j of the head drops what block `early` + j drops.
        """
        assert early.vision is not None  # both modalities went in
        assert early.text is not None
        vision = torch.cat([last.cls.unsqueeze(1), early.vision[:, 1:]], dim=1)
        text = torch.cat([last.bos.unsqueeze(1), early.text[:, 1:]], dim=1)
        states = MultiwayStates(vision, text, early.keys)
        for index, block in enumerate(self.blocks, start=1):
            scale = None
            if self.training and drop_path is not None:
                scale = drop_path[min(self.early + index, len(drop_path)) - 1]
            states = encoder.run_block(block, states, scale, kept if index == len(self.blocks) else None)
        return encoder.normalise(states)


class ContrastHead(nn.Module):
    """Two linear maps without bias, one of pictures' CLS, one of texts' `<s>`, and a learned temperature."""

    def __init__(self, width: int, rng: torch.Generator | None) -> None:
        super().__init__()
        with torch.device("meta"):
            self.image = nn.Linear(width, width, bias=False)
            self.text = nn.Linear(width, width, bias=False)
            self.log_scale = nn.Parameter(torch.empty(()))
        if rng is not None:
            self.to_empty(device="cpu")
            small_normal_(self.image.weight, rng)
            small_normal_(self.text.weight, rng)
            nn.init.constant_(self.log_scale, math.log(_FIRST_SCALE))

    def forward(self, cls: Tensor, bos: Tensor) -> Tensor:
        """InfoNCE between row b of `cls` (B, d) and row b of `bos` (B, d), mean of both directions.

        Cosines are divided by a temperature that starts at 0.07 and never falls below 0.01. One pair alone costs 0.
        """
        with torch.autocast(cls.device.type, enabled=False):
            images = normalize(linear(cls.float(), self.image.weight), dim=1)
            texts = normalize(linear(bos.float(), self.text.weight), dim=1)
            # the value is cut, the gradient is not: a temperature at its bound can leave it again
            excess = (self.log_scale - math.log(_LARGEST_SCALE)).clamp_min(0).detach()
            scores = torch.exp(self.log_scale - excess) * images @ texts.t()  # (B, B)
            pairs = torch.arange(len(scores), device=scores.device)
            return (cross_entropy(scores, pairs) + cross_entropy(scores.t(), pairs)) / 2
