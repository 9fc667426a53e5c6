"""Texts → vectors by a Hugging Face text model: tokenised by its own tokenizer, cut, pooled.

Needs the extra `pretrained`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from alignrec.encoders.pretrained_files import quietly
from alignrec.encoders.pretrained_models import PretrainedModel, modality_of
from alignrec.encoders.sentence_modules import SentenceModules
from alignrec.errors import ArtifactError, FeatureError, UsageError
from alignrec.progress import progress_bar
from alignrec.types import FloatMatrix

__all__ = ["SentenceEncoder", "describe_texts", "pool_states"]

_TOKENIZER_FILES = ("tokenizer.json", "vocab*", "*.model", "*.spm", "*.codes")
_LONGEST = 512  # tokens, where neither model nor tokenizer says
_NO_LIMIT = 10**6  # a tokenizer that knows no limit gives a number beyond


class SentenceEncoder:
    """A text model, or the text half of a model of two towers, with its tokenizer.

    Args:
        model: the network.
        sentence: what its folder says of pooling and what follows.
        pooling: `auto`, `mean`, `cls` or `pooler`; a model of two towers has only its own (`auto`).
        max_length: texts are cut after that many tokens; None: as the model was trained.
        prompt: put before every text; None: what the folder says, mostly nothing.

    Raises:
        ArtifactError: the folder has no tokenizer that can be read.
        UsageError: a pooling that the model does not have, or longer texts than it can read.
    """

    def __init__(
        self,
        model: PretrainedModel,
        sentence: SentenceModules,
        *,
        pooling: str = "auto",
        max_length: int | None = None,
        prompt: str | None = None,
    ) -> None:
        self.model = model
        self.prompt = sentence.prompt if prompt is None else prompt
        self._lower_case = sentence.lower_case
        self._head = sentence.head.to(model.device).eval()
        self._tokenizer = _load_tokenizer(model)
        self._vocabulary = int(model.config.get_text_config().vocab_size)
        self.max_length = self._length(max_length, sentence.max_length)
        self._full_length = model.model_type.startswith("siglip")  # trained on padded texts, without a mask
        if modality_of(model.model_type) == "text":
            self.pooling = self._choose(pooling, sentence.pooling or "mean")
        else:
            self.pooling = "shared space"

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> FloatMatrix:
        """Texts (B,) → vectors (B, d), of length 1 if the model has two towers or its folder says so."""
        inputs = self._tokenise(texts)
        if self.pooling == "shared space":
            vectors = normalize(self.model.module.get_text_features(**inputs).pooler_output, dim=1)
        else:
            output = self.model.module(**inputs)
            if self.pooling == "pooler":
                vectors = output.pooler_output
            else:
                vectors = pool_states(output.last_hidden_state, inputs["attention_mask"].bool(), self.pooling)
            vectors = self._head(vectors)
        return np.asarray(vectors.float().cpu().numpy())

    def _tokenise(self, texts: Sequence[str]) -> dict[str, Tensor]:
        whole = [self.prompt + text for text in texts]
        batch = self._tokenizer(
            [text.lower() for text in whole] if self._lower_case else whole,
            padding="max_length" if self._full_length else True,
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=not self._full_length,
            return_token_type_ids=False,
            return_tensors="pt",
        )
        largest = int(batch["input_ids"].max())
        if largest >= self._vocabulary:
            raise ArtifactError(
                f"the tokenizer in {self.model.folder} gives the id {largest}, the model knows {self._vocabulary}; "
                "take both from the same model"
            )
        return {name: value.to(self.model.device) for name, value in batch.items()}

    def _length(self, asked: int | None, trained: int | None) -> int:
        positions, known = _positions(self.model), int(self._tokenizer.model_max_length)
        if asked is not None and positions is not None and asked > positions:
            raise UsageError(
                f"setting 'hf.max_length' cannot be {asked}, the {self.model.model_type!r} model in "
                f"{self.model.folder} reads at most {positions} tokens"
            )
        if asked is not None:
            return asked
        limits = (trained, positions, known if known < _NO_LIMIT else None)
        return min((limit for limit in limits if limit), default=_LONGEST)

    def _choose(self, pooling: str, default: str) -> str:
        if pooling == "pooler" and not self._has_pooler():
            raise UsageError(
                f"pooling 'pooler' does not apply to the {self.model.model_type!r} model in {self.model.folder}; "
                "allowed: auto, mean, cls"
            )
        return default if pooling == "auto" else pooling

    def _has_pooler(self) -> bool:
        with torch.no_grad():
            output = self.model.module(**self._tokenise(["a"]))
        return self.model.has_pooler and getattr(output, "pooler_output", None) is not None


def describe_texts(
    encoder: SentenceEncoder, texts: Sequence[str], batch_size: int
) -> tuple[NDArray[np.int64], FloatMatrix]:
    """Which of `texts` (I,) are not empty, (n,), and their vectors, (n, d).

    Texts of like length go together, so that little padding is computed; which go together changes no vector beyond
    rounding.

    Raises:
        FeatureError: all are empty.
    """
    found = np.array([row for row, text in enumerate(texts) if text], dtype=np.int64)
    if not len(found):
        raise FeatureError(f"none of {len(texts)} items has a text; give the catalogue titles or descriptions")
    longest_first = np.argsort([-len(texts[row]) for row in found], kind="stable")
    parts: list[FloatMatrix] = []
    with progress_bar("texts", len(found)) as bar:
        for start in range(0, len(found), batch_size):
            batch = found[longest_first[start : start + batch_size]]
            parts.append(encoder.encode([texts[row] for row in batch]))
            bar.advance(len(batch))
    shuffled = np.concatenate(parts)
    rows = np.empty_like(shuffled)
    rows[longest_first] = shuffled
    return found, rows


def pool_states(states: Tensor, attended: Tensor, pooling: str) -> Tensor:
    """States (B, L, d) of tokens, of which `attended` (B, L) are no padding → (B, d).

    `mean` and `max` are over the attended tokens, `cls` is the first of them.
    """
    if pooling == "cls":
        return states[torch.arange(len(states), device=states.device), attended.int().argmax(dim=1)]
    if pooling == "max":
        return states.masked_fill(~attended.unsqueeze(2), -torch.inf).amax(dim=1)
    weights = attended.unsqueeze(2).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def _load_tokenizer(model: PretrainedModel) -> Any:  # an object of transformers, whose classes are not typed
    from transformers import AutoTokenizer  # of an extra

    if not any(any(model.folder.glob(pattern)) for pattern in _TOKENIZER_FILES):
        raise ArtifactError(
            f"{model.folder} has no tokenizer (such as tokenizer.json or vocab.txt); "
            "save the model's own beside its weights"
        )
    try:
        with quietly():
            tokenizer = AutoTokenizer.from_pretrained(model.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise ArtifactError(
            f"cannot read the tokenizer in {model.folder} ({reason}); save the model's own beside its weights"
        ) from None
    if tokenizer.pad_token is None:
        raise ArtifactError(
            f"the tokenizer in {model.folder} knows no padding; save the model's own beside its weights"
        )
    return tokenizer


def _positions(model: PretrainedModel) -> int | None:
    """How many tokens the text model can tell the places of; None: any number."""
    text = getattr(model.module, "text_model", model.module)
    for name, part in text.named_modules():
        if name.rpartition(".")[2] in ("position_embedding", "position_embeddings") and isinstance(part, nn.Embedding):
            # like RoBERTa: rows up to the padding's are not used
            return part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1)
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(longest) if longest else None
