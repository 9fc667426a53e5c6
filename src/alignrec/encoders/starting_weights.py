"""Weights for an encoder to start from: an official BEiT-3 checkpoint, or the folder of an encoder trained before.

Both go one way, under the official names of BEiT-3's tensors: what fits another image size or text length is fitted,
and the report says what became of each tensor. The folder brings its tokenizers too; the checkpoint brings none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from alignrec.artifacts import hash_file, hash_values
from alignrec.encoders.beit3 import Beit3MismatchError, Beit3Report, beit3_settings, beit3_state, load_beit3
from alignrec.encoders.checkpoint_files import read_checkpoint
from alignrec.encoders.encoder_folder import EncoderFolder, Readers
from alignrec.encoders.multiway import MultiwayEncoder, TokenHead
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.visual_tokens import VisualTokenizer
from alignrec.encoders.vqkd import VqKd
from alignrec.errors import ArtifactError, UsageError

__all__ = ["StartingWeights", "read_starting_weights"]

_SHAPE = ("layers", "width", "ffn", "patch_size")
_EMBEDDING = "beit3.text_embed.weight"
_WORDS_OF_VQKD = "quantize.embedding.weight"


@dataclass(frozen=True, eq=False)
class StartingWeights:
    """Weights under their official names, checked as far as that goes without an encoder."""

    source: Path
    tensors: Mapping[str, Tensor]
    settings: MultiwaySettings  # of the encoder they are from; its heads are a guess where `readers` is None
    content_hash: str
    readers: Readers | None  # of an encoder's folder

    @property
    def heads(self) -> frozenset[str]:
        """Which of mlm_head and mim_head the weights bring."""
        return frozenset(name for name in ("mlm_head", "mim_head") if f"{name}.weight" in self.tensors)

    def require_fit(self, encoder: MultiwaySettings) -> None:
        """Check that an encoder of these settings could start from the weights and heads, whatever its vocabularies.

        Raises:
            UsageError: its blocks or patches are of another shape.
            Beit3MismatchError: tensors are missing, unexpected or mis-shaped.
        """
        shape = _SHAPE if self.readers is None else (*_SHAPE, "heads")
        other = [name for name in shape if getattr(self.settings, name) != getattr(encoder, name)]
        if other:
            theirs, ours = (", ".join(f"{name}={getattr(s, name)}" for name in other) for s in (self.settings, encoder))
            raise UsageError(
                f"{self.source} is of an encoder with {theirs}, the one to train has {ours}; leave out the preset and "
                "these settings to take the shape of the weights"
            )
        if encoder.text_positions > self.settings.text_positions:
            raise UsageError(
                f"{self.source} has positions for texts of {self.settings.text_positions} tokens, "
                f"encoder.text_positions is {encoder.text_positions}; lower it"
            )
        vocabularies = {"text_vocab": self.settings.text_vocab, "visual_vocab": self.settings.visual_vocab}
        trial = MultiwayEncoder(encoder.model_copy(update=vocabularies), None)
        mlm_head, mim_head = (TokenHead(encoder.width, size, None) for size in vocabularies.values())
        try:
            load_beit3(trial, self.tensors, mlm_head=mlm_head, mim_head=mim_head)
        except Beit3MismatchError as error:
            raise Beit3MismatchError(
                f"{self.source} does not fit the encoder: {error.report.summary()}; give an official BEiT-3 file or an "
                "encoder's folder",
                error.report,
            ) from None

    def knows_visual_words(self, tokenizer: VisualTokenizer) -> bool:
        """Whether the MIM head may have been trained on the words of `tokenizer`.

        A checkpoint does not say which words its head predicts; it can only have been VQ-KD's, and as many.
        """
        if "mim_head" not in self.heads or self.settings.visual_vocab != tokenizer.vocab_size:
            return False
        if self.readers is not None:
            return self.readers.visual.content_hash == tokenizer.content_hash
        return isinstance(tokenizer, VqKd)

    def copy_into(
        self, encoder: MultiwayEncoder, *, mlm_head: TokenHead | None, mim_head: TokenHead | None, keep_text: bool
    ) -> Beit3Report:
        """Copy all weights but those of the heads that are None and, without `keep_text`, of the text embedding.

        Raises:
            Beit3MismatchError: they do not fit; nothing is copied.
        """
        left = () if keep_text else (_EMBEDDING,)
        return load_beit3(encoder, self.tensors, mlm_head=mlm_head, mim_head=mim_head, leave_out=left)


def read_starting_weights(path: Path, heads: int | None = None) -> StartingWeights:
    """Read a checkpoint file (.pth, .pt, .safetensors) or an encoder's folder; no code in a file is run.

    Args:
        path: of the file or folder.
        heads: attention heads of a checkpoint, which leave no trace in it; width / 64, as in every official one, if not
            given.

    Raises:
        ArtifactError: it cannot be read, or is of another architecture.
    """
    if path.is_dir():
        return _of_folder(EncoderFolder(path))
    tensors = read_checkpoint(path)
    if _WORDS_OF_VQKD in tensors:
        raise ArtifactError(
            f"{path} is a visual tokenizer (VQ-KD), no encoder; give it as the visual tokenizer instead"
        )
    try:
        settings = beit3_settings(tensors, **({} if heads is None else {"heads": heads}))
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}; give an official BEiT-3 file or an encoder's folder") from None
    return StartingWeights(path, tensors, settings, hash_file(path), None)


def _of_folder(folder: EncoderFolder) -> StartingWeights:
    encoder, readers, about = folder.load()
    tensors = beit3_state(encoder) | folder.load_heads()
    content = {"weights": about["weights"], "heads": about.get("heads"), "tokenizers": readers.hashes}
    return StartingWeights(folder.path, tensors, encoder.settings, hash_values(content), readers)
