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
        """States (B, n, d) → queries, keys and values (3, B, h, n, d / h)."""
        parts = self.qkv(self.attention_norm(states))  # (B, n, 3d)
        return parts.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # type: ignore[no-any-return]

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
        self, vision: Tensor | None, text: Tensor | None, keys: Tensor | None, scale: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """The states of both modalities after the block.

        Args:
            vision: (B, n_v, d) or None.
            text: (B, n_t, d) or None; not both None.
            keys: (B, 1, 1, N) bool, True where a token may be attended to; None: everywhere.
            scale: (2, B) weights of the attention's and the feed-forward network's answer (drop-path); None: 1.
        """
        pairs = ((self.vision, vision), (self.text, text))
        present = [(expert, states) for expert, states in pairs if states is not None]
        parts = [expert.project(states) for expert, states in present]
        queries, all_keys, values = (parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)).unbind(0)
        attended = functional.scaled_dot_product_attention(queries, all_keys, values, attn_mask=keys)
        attended = attended.transpose(1, 2).flatten(2)  # (B, N, d)
        of_attention, of_ffn = (None, None) if scale is None else scale.unbind(0)
        shares = torch.split(attended, [states.shape[1] for _, states in present], dim=1)
        outcome = []
        for (expert, states), own in zip(present, shares, strict=True):
            outcome.append(expert.feed(expert.mix_in(states, own, of_attention), of_ffn))
        return (None if vision is None else outcome[0]), (None if text is None else outcome[-1])

    def initialise(self, layers: int, rng: torch.Generator) -> None:
        """Both experts, drawn one after the other; the gain √ln(2 · layers) is Magneto's for encoders."""
        for expert in (self.vision, self.text):
            expert.initialise(math.sqrt(math.log(2 * layers)), rng)


def _add(states: Tensor, change: Tensor, scale: Tensor | None) -> Tensor:
    return states + (change if scale is None else change * scale[:, None, None])
