"""BEiT-v2's visual tokenizer, VQ-KD, read from its official checkpoints.

Peng et al. 2022 ("vector-quantized knowledge distillation"): a vision transformer's patch states are mapped to short
codes, and each code to its nearest word. Modules bear the names of the official tensors (github.com/microsoft/unilm,
folder beit2), so weights load as they are. Only what makes words is kept: the decoder, the teacher and the running
sums of the words' training are left out.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from alignrec.artifacts import hash_arrays, hash_values, read_json, staged_folder, write_arrays, write_json
from alignrec.encoders.checkpoint_files import read_checkpoint
from alignrec.encoders.pixel_values import patches_per_side, standardise
from alignrec.errors import ArtifactError, UsageError
from alignrec.ops import nearest_centres

__all__ = ["VqKd", "VqKdReport"]

_FORMAT = 1
_EPS = 1e-6
_HEAD_SIZE = 64  # of every official tokenizer
_OTHER_PARTS = re.compile(
    r"(loss|teacher|scaling|decoder|decode_task_layer)|quantize\.(cluster_size|embedding\.(cluster_size|embed_avg|initted))$"
)
_NAMED = 3  # names shown of each kind in an error
_SHAPED_BY = ("encoder.pos_embed", "encoder.patch_embed.proj.weight", "quantize.embedding.weight")


@dataclass(frozen=True)
class VqKdReport:
    """What became of a checkpoint's tensors; names are those of the file."""

    loaded: tuple[str, ...]
    left_out: tuple[str, ...]  # decoder, teacher and training state, which make no words


class VqKd(nn.Module):
    """The encoder of VQ-KD and its words; made by `from_checkpoint` or `load`."""

    def __init__(
        self, state: Mapping[str, Tensor], heads: int | None = None, *, source: str = "the checkpoint"
    ) -> None:
        """Take the tensors `state` under their official names; `heads` is width / 64 in all official files.

        Raises:
            ArtifactError: tensors are missing, unexpected or of another shape.
            UsageError: `heads` does not divide the width.
        """
        super().__init__()
        kept = {name: value for name, value in state.items() if not _OTHER_PARTS.match(name)}
        _check_kind(kept, source)
        position, projection, words = (kept[name] for name in _SHAPED_BY)
        width, code = position.shape[-1], words.shape[-1]
        self.patch_size = projection.shape[-1]
        self.image_size = self.patch_size * math.isqrt(position.shape[1] - 1)
        heads = heads or max(1, width // _HEAD_SIZE)
        if width % heads:
            raise UsageError(
                f"{heads} attention heads do not divide a width of {width}; official files have {_HEAD_SIZE} a head"
            )
        self.heads = heads
        layers = len({name.split(".")[2] for name in kept if name.startswith("encoder.blocks.")})
        with torch.device("meta"):
            self.encoder = _Encoder(width, heads, layers, self.patch_size, self.grid(self.image_size) ** 2)
            self.encode_task_layer = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, code))
            self.quantize = nn.ModuleDict({"embedding": nn.Embedding(len(words), code)})
        _check_names(self.state_dict(), kept, source)
        self.load_state_dict(kept, assign=True)
        self.requires_grad_(False).eval()
        self.report = VqKdReport(tuple(sorted(kept)), tuple(sorted(set(state) - set(kept))))

    @classmethod
    def from_checkpoint(cls, path: Path, heads: int | None = None) -> Self:
        """Read an official file, `.pth` (tensors only are read) or `.safetensors`.

        Raises:
            ArtifactError: the file cannot be read or is of another architecture.
        """
        return cls({name: value.float() for name, value in read_checkpoint(path).items()}, heads, source=str(path))

    @property
    def vocab_size(self) -> int:
        """K."""
        return len(self._words)

    @property
    def content_hash(self) -> str:
        """SHA-256 of all that decides the words: two tokenizers with one hash are the same."""
        weights = hash_arrays(*(tensor.cpu().numpy() for _, tensor in sorted(self.state_dict().items())))
        return hash_values({"kind": "vqkd", "heads": self.heads, "weights": weights})

    @property
    def _words(self) -> Tensor:
        return self.get_parameter("quantize.embedding.weight")

    def grid(self, image_size: int) -> int:
        """g: an image of `image_size` pixels a side has g x g patches.

        Raises:
            UsageError: the size is not the one this tokenizer was made for.
        """
        if image_size != self.image_size:
            raise UsageError(f"this VQ-KD tokenizer reads images of {self.image_size} pixels a side, not {image_size}")
        return patches_per_side(image_size, image_size, self.patch_size)

    @torch.no_grad()
    def codes(self, images: Tensor) -> Tensor:
        """The code of each patch before it becomes a word, of length 1: (B, 3, H, W) → (B, g·g, c)."""
        values = standardise(images).to(self.encoder.pos_embed.dtype)
        patches_per_side(values.shape[2], values.shape[3], self.patch_size)
        self.grid(values.shape[2])
        states = self.encoder(values)
        with torch.autocast(images.device.type, enabled=False):  # words nearly as near must not change places
            return functional.normalize(self.encode_task_layer(states.to(self._words.dtype)), dim=-1)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The word of each patch, row by row: (B, 3, H, W) bytes or [0, 1] → (B, g·g) int64.

        Raises:
            UsageError: images of another size.
        """
        codes = self.codes(images)
        with torch.autocast(images.device.type, enabled=False):
            return nearest_centres(codes.flatten(0, 1), self._words)[0].view(codes.shape[:2])

    def save(self, folder: Path) -> None:
        """Write `folder` whole or not at all.

        Raises:
            ArtifactError: the folder is there and not empty.
        """
        with staged_folder(folder) as stage:
            write_arrays(stage / "tokenizer.safetensors", {n: t.cpu().numpy() for n, t in self.state_dict().items()})
            write_json(stage / "tokenizer.json", {"format": _FORMAT, "kind": "vqkd", "heads": self.heads})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is missing, damaged or of another kind.
        """
        about = read_json(folder / "tokenizer.json")
        if (about.get("kind"), about.get("format")) != ("vqkd", _FORMAT):
            raise ArtifactError(
                f"{folder} holds no VQ-KD tokenizer of format {_FORMAT}; save it again from its checkpoint"
            )
        return cls(read_checkpoint(folder / "tokenizer.safetensors"), int(about["heads"]), source=str(folder))


class _Encoder(nn.Module):
    """A vision transformer with absolute positions; its last norm is over single patches."""

    def __init__(self, width: int, heads: int, layers: int, patch_size: int, patches: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, patches + 1, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch_size, patch_size)})
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.fc_norm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] → patch states (B, g·g, d)."""
        patches = self.patch_embed["proj"](images).flatten(2).transpose(1, 2)
        states = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1) + self.pos_embed
        for block in self.blocks:
            states = block(states)
        normed: Tensor = self.fc_norm(states[:, 1:])
        return normed


class _Block(nn.Module):
    """Pre-norm attention and feed-forward network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.attn(self.norm1(states))
        change: Tensor = self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(states))))
        return states + change


class _Attention(nn.Module):
    """Self-attention whose keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.empty(width))
        self.v_bias = nn.Parameter(torch.empty(width))
        self.proj = nn.Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        images, tokens, width = states.shape
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = functional.linear(states, self.qkv.weight, bias).view(images, tokens, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed: Tensor = self.proj(
            functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(images, tokens, width)
        )
        return mixed


def _check_kind(tensors: Mapping[str, Tensor], source: str) -> None:
    lacking = [name for name in _SHAPED_BY if name not in tensors]
    dims = [tensors[name].dim() for name in _SHAPED_BY if name in tensors]
    if lacking or dims != [3, 4, 2]:
        raise ArtifactError(
            f"{source} has no usable {(lacking or _SHAPED_BY)[0]}, so it is not a VQ-KD checkpoint of BEiT-v2; "
            f"its tensors are such as {', '.join(sorted(tensors)[:_NAMED])}"
        )


def _check_names(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> None:
    shaped = sorted(
        f"{name} is {tuple(given[name].shape)}, needed {tuple(wanted[name].shape)}"
        for name in set(wanted) & set(given)
        if wanted[name].shape != given[name].shape
    )
    found = {"missing": sorted(set(wanted) - set(given)), "unexpected": sorted(set(given) - set(wanted))}
    wrong = {kind: names for kind, names in {**found, "misshaped": shaped}.items() if names}
    if wrong:
        listed = "; ".join(f"{len(names)} {kind} ({', '.join(names[:_NAMED])})" for kind, names in wrong.items())
        raise ArtifactError(f"{source} does not fit the VQ-KD tokenizer of BEiT-v2: {listed}; use an official file")
