"""The multiway encoder beside a plain version of the same mathematics: a step of pre-training, a forward pass at base.

The plain version is written as the published encoder code is: one tensor of all tokens, which every two-expert layer
splits and joins again; queries, keys and values apart; scores, softmax and sum written out; heads over all positions,
of which the loss then reads the hidden ones; AdamW as it comes; float32. Both sides hold the same weights, get the same
batch, and must give the same losses, or the ratio would mean nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from alignrec.encoders.ica import IcaBatch, IcaObjective, IcaSettings
from alignrec.encoders.masking import ImageMasking, TextMasking, as_mask, mask_blocks, mask_text
from alignrec.encoders.multiway import MultiwayEncoder
from alignrec.encoders.multiway_layers import ModalityExpert, MultiwayBlock
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.pixel_values import standardise
from alignrec.runtime import numpy_rng, torch_rng
from benchmarks.measure import Row, compare

__all__ = ["MEASURES", "PlainEncoder", "PlainIca", "draw_batch"]

_ITEMS = 64
_BASE_ITEMS = 4
_SHORTEST, _LONGEST = 14, 24  # tokens of a text
_TOLERANCE = 1e-5


class Multiway(nn.Module):
    """A layer for each modality: split, two layers, join."""

    def __init__(self, vision: nn.Module, text: nn.Module) -> None:
        super().__init__()
        self.vision, self.text = vision, text

    def forward(self, tokens: Tensor, split: int) -> Tensor:
        """Tokens (B, N, d), the first `split` of them patches."""
        return torch.cat([self.vision(tokens[:, :split]), self.text(tokens[:, split:])], dim=1)


class PlainBlock(nn.Module):
    """One block, with the numbers of `block`."""

    def __init__(self, block: MultiwayBlock) -> None:
        super().__init__()
        experts = (block.vision, block.text)
        self.heads = block.vision.heads
        for name in ("attention_norm", "inner_norm", "out", "ffn_norm", "fc1", "mid_norm", "fc2"):
            setattr(self, name, Multiway(*(getattr(expert, name) for expert in experts)))
        for index, name in enumerate(("query", "key", "value")):
            setattr(self, name, Multiway(*(_third(expert, index) for expert in experts)))

    def forward(self, tokens: Tensor, allowed: Tensor | None, split: int) -> Tensor:
        """Tokens (B, N, d) after the block."""
        items, length, width = tokens.shape
        normal = self.attention_norm(tokens, split)
        q, k, v = (
            part(normal, split).view(items, length, self.heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2))  # (B, h, N, N)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, float("-inf"))
        attended = torch.matmul(torch.softmax(scores, dim=-1), v).transpose(1, 2).reshape(items, length, width)
        tokens = tokens + self.out(self.inner_norm(attended, split), split)
        hidden = functional.gelu(self.fc1(self.ffn_norm(tokens, split), split))
        return tokens + self.fc2(self.mid_norm(hidden, split), split)


class PlainEncoder(nn.Module):
    """All of an encoder, with the numbers of `encoder`."""

    def __init__(self, encoder: MultiwayEncoder) -> None:
        super().__init__()
        self.embedding = encoder  # only its `embed` is used; the rest of it is in the blocks
        self.blocks = nn.ModuleList(PlainBlock(block) for block in encoder.blocks)
        self.norm = Multiway(encoder.vision_norm, encoder.text_norm)

    def forward(self, images: Tensor, ids: Tensor, padding: Tensor, masked: Tensor | None = None) -> Tensor:
        """States (B, N, d)."""
        states = self.embedding.embed(images, ids, padding, masked)
        tokens, split = torch.cat([states.vision, states.text], dim=1), states.vision.shape[1]
        for block in self.blocks:
            tokens = block(tokens, states.keys, split)
        return self.norm(tokens, split)


class PlainIca(nn.Module):
    """Masked words, masked patches and the bags of CLS, in one pass, with the numbers of `objective`."""

    def __init__(self, objective: IcaObjective) -> None:
        super().__init__()
        self.encoder = PlainEncoder(objective.encoder)
        self.mlm_head, self.mim_head = objective.mlm_head.project, objective.mim_head.project
        self.word_weights = objective.word_weights

    def forward(self, batch: IcaBatch) -> dict[str, Tensor]:
        """The terms of `IcaObjective`."""
        hidden = as_mask(batch.hidden_patches, batch.visual_tokens.shape[1])
        states = self.encoder(standardise(batch.images), batch.hidden_words.tokens, batch.padding, hidden)
        split = 1 + hidden.shape[1]
        words, patches = self.mlm_head(states[:, split:]), self.mim_head(states[:, 1:split])  # all positions
        read = torch.full_like(batch.tokens, -100)
        rows, columns = batch.hidden_words.present.nonzero(as_tuple=True)
        read[rows, batch.hidden_words.positions[rows, columns]] = batch.hidden_words.targets[rows, columns]
        cls = states[:, 0]
        weights = self.word_weights[batch.tokens] * (batch.tokens >= 4)
        return {
            "mlm": functional.cross_entropy(words.flatten(0, 1), read.flatten()),
            "mim": functional.cross_entropy(
                patches.flatten(0, 1), batch.visual_tokens.masked_fill(~hidden, -100).flatten()
            ),
            "cls_words": _bag(self.mlm_head(cls), batch.tokens, weights),
            "cls_patches": _bag(self.mim_head(cls), batch.visual_tokens, torch.ones(batch.visual_tokens.shape)),
        }


def _third(expert: ModalityExpert, index: int) -> nn.Linear:
    width = expert.qkv.in_features
    rows = slice(index * width, (index + 1) * width)
    layer = nn.Linear(width, width, device="meta")
    layer.weight = nn.Parameter(expert.qkv.weight.detach()[rows])
    layer.bias = nn.Parameter(expert.qkv.bias.detach()[rows])
    return layer


def _bag(logits: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
    shares = torch.zeros_like(logits).scatter_add_(1, tokens, weights / weights.sum(dim=1, keepdim=True))
    return functional.cross_entropy(logits, shares)


def draw_batch(encoder: MultiwaySettings, items: int, seed: int = 0) -> IcaBatch:
    """A batch of drawn pictures and of texts of 14 to 24 tokens, a third of them hidden."""
    rng, numbers = torch_rng(seed, "benchmark"), numpy_rng(seed, "benchmark")
    lengths = torch.randint(_SHORTEST, _LONGEST + 1, (items, 1), generator=rng)
    padding = torch.arange(_LONGEST) >= lengths
    tokens = torch.randint(4, encoder.text_vocab - 1, (items, _LONGEST), generator=rng).masked_fill(padding, 1)
    tokens[:, 0] = 0
    size, everywhere = encoder.image_size, torch.ones(items, dtype=torch.bool)
    words = mask_text(tokens, padding, numbers, mask_id=encoder.text_vocab - 1, settings=TextMasking(share=0.3))
    return IcaBatch(
        images=torch.randint(0, 256, (items, 3, size, size), generator=rng, dtype=torch.uint8),
        visual_tokens=torch.randint(0, encoder.visual_vocab, (items, encoder.patches), generator=rng),
        tokens=tokens,
        padding=padding,
        hidden_words=words,
        hidden_patches=mask_blocks(items, encoder.grid, numbers, ImageMasking(share=0.4)),
        has_image=everywhere,
        has_text=everywhere,
        shows_image=everywhere,
        shows_text=everywhere,
    )


def training_step() -> Row:
    """Forward, backward, clipping and AdamW of the tiny preset: 64 items, 37 + 24 tokens, joint pass, bags of CLS."""
    encoder = MultiwaySettings.preset("tiny")
    batch = draw_batch(encoder, _ITEMS)
    ours, twin = (
        IcaObjective(encoder, IcaSettings(), torch.ones(encoder.text_vocab), torch_rng(0, "weights")) for _ in range(2)
    )
    theirs = PlainIca(twin)
    expected, found = ({name: float(term.detach()) for name, term in side(batch).items()} for side in (theirs, ours))
    if any(abs(found[name] - expected[name]) > _TOLERANCE * expected[name] for name in expected):
        raise AssertionError(f"the plain version's losses are {expected}, ours {found}: the comparison would be void")
    return compare(
        "encoder training step, tiny",
        _stepper(theirs, batch, torch.optim.AdamW(theirs.parameters(), lr=1e-3)),
        _stepper(ours, batch, torch.optim.AdamW(ours.parameters(), lr=1e-3, fused=True)),
        goal=1.5,
        repeats=15,
    )


def _stepper(objective: nn.Module, batch: IcaBatch, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(objective(batch).values())).sum().backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 3.0)
        optimizer.step()

    return step


def base_forward() -> Row:
    """Item vectors at base size, 197 + 24 tokens; in bfloat16 where the processor multiplies it."""
    settings = MultiwaySettings.preset("base")
    encoder = MultiwayEncoder(settings, torch_rng(0, "weights")).eval()
    theirs = PlainEncoder(encoder)
    batch = draw_batch(settings, _BASE_ITEMS)
    images, half = standardise(batch.images), _multiplies_bfloat16()

    @torch.no_grad()
    def plain() -> Tensor:
        return theirs(images, batch.tokens, batch.padding)[:, 0]

    @torch.no_grad()
    def ours() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return encoder(images, batch.tokens, batch.padding).cls

    difference = float((ours() - plain()).pow(2).mean().sqrt())  # states have unit variance
    if difference > (0.05 if half else 1e-4):
        raise AssertionError(f"item vectors differ by {difference} from the plain version's: no comparison")
    name = "bfloat16" if half else "float32: this processor has no bfloat16"
    return compare(f"encoder forward, base, {name}", plain, ours, goal=2.0 if half else None, repeats=3)


def _multiplies_bfloat16() -> bool:
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16"})


MEASURES: dict[str, Any] = {"encoder_step": training_step, "encoder_base_forward": base_forward}
