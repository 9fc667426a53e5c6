"""Loads the official BEiT-3 checkpoints into a `MultiwayEncoder`, and names an encoder's weights as they do.

Source: github.com/microsoft/unilm, folder beit3, and torchscale 0.2.0, whose names the files use: `A` is the picture's
and `B` the text's copy of a weight. Their position tables begin with two rows that are never read. The files
`base` and `indomain` bring both heads of masked pre-training, `itc` and fine-tuned ones other heads, which are dropped.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from alignrec.encoders.checkpoint_files import read_checkpoint
from alignrec.encoders.multiway import MultiwayEncoder, TokenHead
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.errors import ArtifactError

__all__ = ["Beit3MismatchError", "Beit3Report", "beit3_settings", "beit3_state", "load_beit3"]

_DEAD_ROWS = 2
_VISION_POSITIONS = "beit3.encoder.embed_positions.A.weight"
_TEXT_POSITIONS = "beit3.encoder.embed_positions.B.weight"
_SHAPED_BY = {  # tensors that the settings are read off, and their dimensions
    "beit3.text_embed.weight": 2,
    "beit3.vision_embed.proj.weight": 4,
    "beit3.encoder.layers.0.ffn.A.fc1.weight": 2,
    _VISION_POSITIONS: 2,
    _TEXT_POSITIONS: 2,
}
_OPTIONAL = ("beit3.encoder.layer_norm.", "mlm_head.", "mim_head.")  # what fine-tuned files may lack
_OTHER_HEADS = re.compile(r"(mlm_head|mim_head|vision_head|language_head|pooler|head|fc_norm)\.|logit_scale$")
_NAMED = 3  # names shown of each kind in an error


@dataclass(frozen=True)
class Beit3Report:
    """What became of a checkpoint's tensors; names are those of the file."""

    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # needed and not in the file
    unexpected: tuple[str, ...] = ()  # in the file and not known
    misshaped: tuple[str, ...] = ()  # "name is (3, 4), needed (3, 5)"
    resized: tuple[str, ...] = ()  # position tables fitted to another resolution or text length
    absent: tuple[str, ...] = ()  # final norms and heads that a fine-tuned file lacks: left as they were
    dropped: tuple[str, ...] = ()  # heads that nobody asked for, and what was to be left out

    @property
    def fits(self) -> bool:
        """Whether nothing is missing, unexpected or mis-shaped."""
        return not (self.missing or self.unexpected or self.misshaped)

    def summary(self) -> str:
        """One line: how many of each kind, and the first names of what does not fit."""
        return f"{len(self.loaded)} tensors fit; " + "; ".join(
            _listed(kind, getattr(self, kind)) for kind in ("missing", "unexpected", "misshaped")
        )


class Beit3MismatchError(ArtifactError):
    """The checkpoint is of another architecture; `report` has all names."""

    def __init__(self, message: str, report: Beit3Report) -> None:
        super().__init__(message)
        self.report = report


def beit3_settings(source: Path | Mapping[str, Tensor], **changed: Any) -> MultiwaySettings:  # Any: settings' values
    """The settings of a checkpoint, read off the shapes of its tensors, with some of them changed.

    The number of heads leaves no trace in a file: it is taken as width / 64, as in every official one.

    Raises:
        ArtifactError: it is not a BEiT-3 checkpoint.
        SettingsError: a changed setting does not exist or cannot have this value.
    """
    tensors = read_checkpoint(source) if isinstance(source, Path) else source
    for name, dims in _SHAPED_BY.items():
        if name not in tensors or tensors[name].dim() != dims or 0 in tensors[name].shape:
            raise ArtifactError(
                f"{_what(source)} has no {'' if name not in tensors else 'usable '}{name}, so it is not a BEiT-3 "
                f"checkpoint; its {len(tensors)} tensors are such as {', '.join(sorted(tensors)[:_NAMED])}"
            )
    text, patch, ffn, vision_positions, text_positions = (tensors[name].shape for name in _SHAPED_BY)
    blocks = {name.split(".")[3] for name in tensors if name.startswith("beit3.encoder.layers.")}
    values = {
        "layers": len(blocks),
        "width": text[1],
        "heads": max(1, text[1] // 64),
        "ffn": ffn[0],
        "patch_size": patch[-1],
        "image_size": patch[-1] * math.isqrt(max(vision_positions[0] - _DEAD_ROWS - 1, 0)),
        "text_vocab": text[0],
        "text_positions": text_positions[0] - _DEAD_ROWS,
    }
    if "mim_head.weight" in tensors and tensors["mim_head.weight"].dim() == 2:
        values["visual_vocab"] = len(tensors["mim_head.weight"])
    return MultiwaySettings.create({**values, **changed}, section="encoder")


def load_beit3(
    encoder: MultiwayEncoder,
    source: Path | Mapping[str, Tensor],
    *,
    mlm_head: TokenHead | None = None,
    mim_head: TokenHead | None = None,
    leave_out: Collection[str] = (),
    strict: bool = True,
) -> Beit3Report:
    """Copy a checkpoint's weights into `encoder`, and into the heads that are given.

    Pictures of another resolution get interpolated positions, shorter texts the first ones. What is named in
    `leave_out` stays as it is in the encoder. With `strict` either everything fits or nothing is copied; without it,
    what fits is copied and the report says what does not. An encoder without numbers (on the meta device) is only
    checked.

    Raises:
        Beit3MismatchError: `strict`, and tensors are missing, unexpected or mis-shaped.
        ArtifactError: the file cannot be read.
    """
    tensors = read_checkpoint(source) if isinstance(source, Path) else source
    targets = [target for target in _targets(encoder, mlm_head, mim_head) if not set(target[1]) & set(leave_out)]
    plan = _Plan(tensors, leave_out)
    fitted = [(parameter, plan.fit(parameter, names)) for parameter, names in targets]
    report = plan.report({name for _, names in targets for name in names})
    if strict and not report.fits:
        raise Beit3MismatchError(
            f"{_what(source)} does not fit this encoder: {report.summary()}; make the encoder with "
            "beit3_settings(checkpoint), or load what fits with strict=False",
            report,
        )
    with torch.no_grad():
        for parameter, value in fitted:
            if value is not None:
                parameter.copy_(value)
    return report


def beit3_state(
    encoder: MultiwayEncoder, *, mlm_head: TokenHead | None = None, mim_head: TokenHead | None = None
) -> dict[str, Tensor]:
    """The weights under their official names, in the official shapes: what `load_beit3` reads back, bit by bit."""
    state: dict[str, Tensor] = {}
    for parameter, names in _targets(encoder, mlm_head, mim_head):
        for name, part in zip(names, parameter.detach().chunk(len(names)), strict=True):
            dead = [part.new_zeros(_DEAD_ROWS, *part.shape[1:])] if name in (_VISION_POSITIONS, _TEXT_POSITIONS) else []
            state[name] = torch.cat([*dead, part])
    return state


class _Plan:
    """Finds the values of parameters in a checkpoint and keeps the books."""

    def __init__(self, tensors: Mapping[str, Tensor], leave_out: Collection[str]) -> None:
        self._tensors, self._leave_out = tensors, leave_out
        self._books: dict[str, list[str]] = {kind: [] for kind in ("loaded", "missing", "misshaped", "resized")}
        self._books["absent"] = []

    def fit(self, parameter: Tensor, names: tuple[str, ...]) -> Tensor | None:
        """The value of `parameter`, the tensors `names` one below the other; None where it cannot be had."""
        lacking = [name for name in names if name not in self._tensors]
        if lacking:
            self._books["absent" if names[0].startswith(_OPTIONAL) else "missing"] += lacking
            return None
        shape = (len(parameter) // len(names), *parameter.shape[1:])
        parts = [self._part(name, shape) for name in names]
        if any(part is None for part in parts):
            return None
        self._books["loaded"] += names
        return torch.cat([part for part in parts if part is not None])

    def report(self, claimed: set[str]) -> Beit3Report:
        rest = sorted(set(self._tensors) - claimed)
        dropped = tuple(name for name in rest if _OTHER_HEADS.match(name) or name in self._leave_out)
        books = {kind: tuple(names) for kind, names in self._books.items()}
        return Beit3Report(**books, unexpected=tuple(name for name in rest if name not in dropped), dropped=dropped)

    def _part(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        value = self._tensors[name]
        if name in (_VISION_POSITIONS, _TEXT_POSITIONS):
            given, wanted = tuple(value.shape), (shape[0] + _DEAD_ROWS, *shape[1:])
            fit = _fit_vision_positions if name == _VISION_POSITIONS else _fit_text_positions
            positions = fit(value, shape) if value.dim() == 2 and value.shape[1:] == shape[1:] else None
            if positions is None:
                self._books["misshaped"].append(f"{name} is {given}, needed {wanted}")
            elif given != wanted:
                self._books["resized"].append(name)
            return positions
        if tuple(value.shape) != shape:
            self._books["misshaped"].append(f"{name} is {tuple(value.shape)}, needed {shape}")
            return None
        return value


def _fit_vision_positions(table: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Rows of CLS and of a square of patches, the square interpolated to the wanted one: (1 + P, d)."""
    rows = table[_DEAD_ROWS:]
    if len(rows) == shape[0]:
        return rows
    side, wanted = math.isqrt(max(len(rows) - 1, 0)), math.isqrt(shape[0] - 1)
    if side == 0 or side**2 != len(rows) - 1:
        return None
    square = rows[1:].T.reshape(1, -1, side, side)  # (1, d, g, g)
    if square.dtype in (torch.float16, torch.bfloat16):
        square = square.float()
    resized = functional.interpolate(square, size=(wanted, wanted), mode="bicubic", align_corners=False)
    return torch.cat([rows[:1].to(resized.dtype), resized.flatten(2)[0].T])


def _fit_text_positions(table: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """The first rows; None where the text may be longer than the table."""
    rows = table[_DEAD_ROWS : _DEAD_ROWS + shape[0]]
    return rows if len(rows) == shape[0] else None


def _targets(
    encoder: MultiwayEncoder, mlm_head: TokenHead | None, mim_head: TokenHead | None
) -> Iterator[tuple[Tensor, tuple[str, ...]]]:
    """Every parameter with the names of the official tensors that it joins, one below the other."""
    for name, parameter in encoder.named_parameters():
        yield parameter, _official(name)
    for official, head in (("mlm_head", mlm_head), ("mim_head", mim_head)):
        if head is not None:
            yield head.project.weight, (f"{official}.weight",)
            yield head.project.bias, (f"{official}.bias",)


_WHOLE = {
    "text_embedding.weight": "beit3.text_embed.weight",
    "patch_embedding.weight": "beit3.vision_embed.proj.weight",
    "patch_embedding.bias": "beit3.vision_embed.proj.bias",
    "cls_token": "beit3.vision_embed.cls_token",
    "mask_token": "beit3.vision_embed.mask_token",
    "vision_positions": _VISION_POSITIONS,
    "text_positions": _TEXT_POSITIONS,
    "vision_norm.weight": "beit3.encoder.layer_norm.A.weight",
    "vision_norm.bias": "beit3.encoder.layer_norm.A.bias",
    "text_norm.weight": "beit3.encoder.layer_norm.B.weight",
    "text_norm.bias": "beit3.encoder.layer_norm.B.bias",
}
_IN_BLOCK = {  # {} is A or B
    "attention_norm": ("self_attn_layer_norm.{}",),
    "qkv": ("self_attn.q_proj.{}", "self_attn.k_proj.{}", "self_attn.v_proj.{}"),
    "inner_norm": ("self_attn.inner_attn_ln.{}",),
    "out": ("self_attn.out_proj.{}",),
    "ffn_norm": ("final_layer_norm.{}",),
    "fc1": ("ffn.{}.fc1",),
    "mid_norm": ("ffn.{}.ffn_layernorm",),
    "fc2": ("ffn.{}.fc2",),
}


def _official(name: str) -> tuple[str, ...]:
    """`blocks.3.text.fc1.bias` → `("beit3.encoder.layers.3.ffn.B.fc1.bias",)`."""
    if name in _WHOLE:
        return (_WHOLE[name],)
    _, block, modality, layer, kind = name.split(".")
    letter = {"vision": "A", "text": "B"}[modality]
    return tuple(f"beit3.encoder.layers.{block}.{part.format(letter)}.{kind}" for part in _IN_BLOCK[layer])


def _listed(kind: str, names: tuple[str, ...]) -> str:
    if not names:
        return f"0 {kind}"
    more = ", …" if len(names) > _NAMED else ""
    return f"{len(names)} {kind} ({', '.join(names[:_NAMED])}{more})"


def _what(source: Path | Mapping[str, Tensor]) -> str:
    return str(source) if isinstance(source, Path) else "the checkpoint"
