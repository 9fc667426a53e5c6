"""One block of BEiT-3's multiway transformer: an expert for pictures, one for texts, one attention over both.

Source: Wang et al., "Image as a Foreign Language" (BEiT-3), 2022, with the sub-LayerNorm of Magneto (Wang et al.,
2022), as in the released checkpoints: every weight of a block exists once per modality, only the attention
matrix is shared. With x the states of one modality and A the attention over the tokens of all modalities:

    x ← x + W_o LN_inner(A(LN₁ x))
    x ← x + W₂ LN_mid(gelu(W₁ LN₂ x))

B items, n tokens of a modality, N tokens of all modalities, d width, h heads.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["LAYER_NORM_EPS", "ModalityExpert", "MultiwayBlock", "small_normal_"]

LAYER_NORM_EPS = 1e-5
_STD = 0.02
_KEYS_AT_ONCE = 16


def small_normal_(tensor: Tensor, rng: torch.Generator) -> None:
    """Fill with a normal of deviation 0.02 cut at two deviations: for embeddings, positions, tokens, heads."""
    nn.init.trunc_normal_(tensor, std=_STD, a=-2 * _STD, b=2 * _STD, generator=rng)


class ModalityExpert(nn.Module):
    """All weights of a block for one modality."""

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.qkv = nn.Linear(width, 3 * width)  # queries, keys and values, one below the other
        self.inner_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.out = nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.fc1 = nn.Linear(width, ffn)
        self.mid_norm = nn.LayerNorm(ffn, eps=LAYER_NORM_EPS)
        self.fc2 = nn.Linear(ffn, width)

    def project(self, states: Tensor) -> Tensor:
        """States (B, n, d) → queries, keys and values side by side (B, n, 3d)."""
        return self.qkv(self.attention_norm(states))  # type: ignore[no-any-return]

    def mix_in(self, states: Tensor, attended: Tensor, scale: Tensor | None) -> Tensor:
        """Add the attention's answer (B, n, d) to the states (B, n, d); `scale` (B,) weighs it per item."""
        return _add(states, self.out(self.inner_norm(attended)), scale)

    def feed(self, states: Tensor, scale: Tensor | None) -> Tensor:
        """Add the feed-forward network's answer to the states (B, n, d)."""
        hidden = functional.gelu(self.fc1(self.ffn_norm(states)))
        return _add(states, self.fc2(self.mid_norm(hidden)), scale)

    def initialise(self, gain: float, rng: torch.Generator) -> None:
        """Xavier-uniform weights, those on the way of values times `gain`; biases 0; norms the identity."""
        for norm in (self.attention_norm, self.inner_norm, self.ffn_norm, self.mid_norm):
            norm.reset_parameters()
        query_key_value = self.qkv.weight.chunk(3)
        for weight, factor in zip(query_key_value, (1.0, 1.0, gain), strict=True):
            nn.init.xavier_uniform_(weight, gain=factor / math.sqrt(2), generator=rng)
        for layer in (self.out, self.fc1, self.fc2):
            nn.init.xavier_uniform_(layer.weight, gain=gain, generator=rng)
        for layer in (self.qkv, self.out, self.fc1, self.fc2):
            nn.init.zeros_(layer.bias)


class MultiwayBlock(nn.Module):
    """Two experts whose tokens attend to each other; a modality that is absent takes no part."""

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.vision = ModalityExpert(width, heads, ffn)
        self.text = ModalityExpert(width, heads, ffn)

    def forward(
        self,
        vision: Tensor | None,
        text: Tensor | None,
        keys: Tensor | None,
        scale: Tensor | None,
        kept_vision: Tensor | None = None,
        kept_text: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """The states of both modalities after the block.

        Args:
            vision: (B, n_v, d) or None.
            text: (B, n_t, d) or None; not both None.
            keys: (B, 1, 1, N) bool, True where a token may be attended to; None: everywhere.
            scale: (2, B) weights of the attention's and the feed-forward network's answer (drop-path); None: 1.
            kept_vision: (B, m) int64, the tokens whose states come back, (B, m, d), in this order; None: all. The
                others are attended to, but have no feed-forward pass.
            kept_text: the same for the text.
        """
        pairs = ((self.vision, vision, kept_vision), (self.text, text, kept_text))
        present = [(expert, states, kept) for expert, states, kept in pairs if states is not None]
        parts = [expert.project(states) for expert, states, _ in present]
        asking = None if kept_vision is None and kept_text is None else [kept for _, _, kept in present]
        attended = _attend(parts, keys, asking, self.vision.heads)
        own = [_pick(states, kept) for _, states, kept in present]
        lengths = [states.shape[1] for states in own]
        shares = torch.split(attended, [*lengths, attended.shape[1] - sum(lengths)], dim=1)[: len(own)]
        of_attention, of_ffn = (None, None) if scale is None else scale.unbind(0)
        outcome = []
        for (expert, _, _), states, share in zip(present, own, shares, strict=True):
            outcome.append(expert.feed(expert.mix_in(states, share, of_attention), of_ffn))
        return (None if vision is None else outcome[0]), (None if text is None else outcome[-1])

    def initialise(self, layers: int, rng: torch.Generator) -> None:
        """Both experts, drawn one after the other; the gain √ln(2 · layers) is Magneto's for encoders."""
        for expert in (self.vision, self.text):
            expert.initialise(math.sqrt(math.log(2 * layers)), rng)


def _add(states: Tensor, change: Tensor, scale: Tensor | None) -> Tensor:
    return states + (change if scale is None else change * scale[:, None, None])


def _attend(parts: list[Tensor], allowed: Tensor | None, asking: list[Tensor | None] | None, heads: int) -> Tensor:
    """Attention over the tokens of all modalities, (B, N, d) and perhaps some rows more, which mean nothing.

    Args:
        parts: queries, keys and values of each modality, side by side (B, n, 3d).
        allowed: (B, 1, 1, N) bool, True where a token may be attended to; None: everywhere.
        asking: positions (B, m) in each modality, None for all of its; then only these tokens ask, (B, M, d).
        heads: number of heads.
    """
    length = sum(part.shape[1] for part in parts)
    if allowed is not None and (short := -length % _KEYS_AT_ONCE):
        # a mask is read anyway, and a ragged end costs more than the tokens it spares
        filling = parts[0].new_zeros(1, 1, 1).expand(len(parts[0]), short, parts[0].shape[2])
        parts, allowed = [*parts, filling], functional.pad(allowed, (0, short), value=False)
    queries, keys, values = torch.cat(parts, dim=1).chunk(3, dim=-1)
    if asking is not None:
        queries = _pick(queries, _among_all(asking, parts))
    q, k, v = (part.view(*part.shape[:2], heads, -1).transpose(1, 2) for part in (queries, keys, values))
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(1, 2).flatten(2)


def _among_all(kept: list[Tensor | None], parts: list[Tensor]) -> Tensor:
    """Positions (B, m) in each modality (B, n, ...) as positions among the tokens of all, (B, M)."""
    found, before = [], 0
    for positions, part in zip(kept, parts, strict=False):  # filling may follow
        if positions is None:
            positions = torch.arange(part.shape[1], device=part.device).expand(len(part), -1)
        found.append(before + positions)
        before += part.shape[1]
    return torch.cat(found, dim=1)


def _pick(states: Tensor, positions: Tensor | None) -> Tensor:
    """Rows `positions` (B, m) of each item's states (B, n, d), (B, m, d); all of them where there are none."""
    if positions is None:
        return states
    items = torch.arange(len(states), device=states.device).unsqueeze(1)
    chosen = (items * states.shape[1] + positions).flatten()
    return states.flatten(0, 1).index_select(0, chosen).view(*positions.shape, -1)
