"""All that decides a pre-training run, settled and checked before anything is written.

Settings come from three places, the later before the earlier: the defaults of each section, the recipe, the user.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from alignrec.data import Dataset
from alignrec.encoders.ica import IcaSettings
from alignrec.encoders.item_texts import ITEM_TEXT_COLUMNS, item_texts
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.patch_kmeans import PatchKMeansSettings
from alignrec.encoders.starting_weights import StartingWeights, read_starting_weights
from alignrec.encoders.text_tokens import TextTokenizer
from alignrec.encoders.visual_tokens import VisualTokenizer, load_visual_tokenizer, require_fit
from alignrec.errors import ArtifactError, SettingsError, UsageError
from alignrec.settings import Settings
from alignrec.training.encoder import MaskingSettings, PretrainingSettings

__all__ = ["RECIPES", "CatalogueSettings", "PretrainingPlan", "StartSettings", "make_plan"]

_SECTIONS = ("start", "encoder", "ica", "masking", "training", "catalogue", "visual")

RECIPES: dict[str, dict[str, dict[str, Any]]] = {  # Any: values of settings
    "scratch": {},
    "paper": {
        "start": {"words": "random"},
        "ica": {"passes": "separate", "cls_objective": "none"},
        "masking": {"text_share": 0.15, "image_share": 0.4, "modality_dropout": 0.0},
        "training": {"lr": 5e-4, "batch_size": 1024},
        "catalogue": {"max_length": 128},
    },
}
_PRESETS = {"scratch": "tiny", "paper": "base"}  # where neither a preset nor weights are given
_DERIVED = {  # settings that follow from others
    "encoder": {"text_vocab": "catalogue.text_vocab", "visual_vocab": "catalogue.visual_vocab"},
    "visual": dict.fromkeys(("vocab_size", "most_words"), "catalogue.visual_vocab")
    | {"patch_size": "encoder.patch_size"},
}


class StartSettings(Settings):
    """What a run starts from, and which defaults its other settings have."""

    recipe: Literal["scratch", "paper"] = "scratch"
    """`scratch`: vectors that are useful after minutes, from nothing; the item's vector must predict words and patches.
    `paper`: the published objective, share of hidden parts, learning rate and batch on a base encoder; the item's
    vector is in no loss, so it means something only when going on from BEiT-3's weights or after very long training."""
    weights: Path | None = None
    """A BEiT-3 checkpoint (.pth, .safetensors) or the folder of a trained encoder; None: drawn at random."""
    text_tokenizer: Path | None = None
    """A SentencePiece model, such as BEiT-3's `beit3.spm`; None: that of the weights' folder, or trained here."""
    visual_tokenizer: Path | None = None
    """A VQ-KD checkpoint or a tokenizer's folder; None: that of the weights' folder, or fitted here."""
    words: Literal["latent", "random"] = "latent"
    """How words start that come from no weights: `latent` from counting which stand in the same texts of the
    catalogue (latent semantic analysis), which a small encoder could not find out itself; `random` from nothing."""
    text: Literal["keep", "new"] = "keep"
    """`keep` starts from the weights' text embedding and MLM head too, for which the tokenizer must be theirs; `new`
    draws both anew, for a tokenizer of another vocabulary."""
    visual: Literal["keep", "new"] = "keep"
    """`keep` goes on with the visual tokenizer of the weights' folder, if there is one; `new` fits one here."""


class CatalogueSettings(Settings):
    """How pictures and texts are read."""

    fit: Literal["pad", "squash"] = "pad"
    """`pad` keeps a picture's proportions, `squash` does not."""
    max_length: int = Field(default=64, ge=3)
    """Longest text in tokens; the recipe `paper` has 128, as the authors' features."""
    text_columns: tuple[str, ...] = ITEM_TEXT_COLUMNS
    """Columns of the catalogue that make an item's text, what must not be cut off first; the paper reads title, brand
    and description, and leaves out `categories`."""
    text_vocab: int | None = Field(default=None, ge=8)
    """Pieces of the tokenizer trained on the catalogue; None: by the size of its texts."""
    visual_vocab: int | None = Field(default=None, ge=2, le=32_768)
    """Visual tokens, fitted on the catalogue's patches; None: 128 for a tiny encoder, 512 for a small, 8192 for a
    larger, fewer where the patches sampled (`visual.sample_size`) do not support them."""
    probe_every: int = Field(default=0, ge=0)
    """Rounds between two zero-shot probes of the features on the way; 0: none."""


@dataclass(frozen=True, eq=False)
class PretrainingPlan:
    """The settings of every section, and what was read of the files that were named."""

    preset: str | None  # None: the shape of the weights
    seed: int
    dataset: str  # its content hash
    start: StartSettings
    encoder: MultiwaySettings  # its vocabularies are settled by the tokenizers
    ica: IcaSettings
    masking: MaskingSettings
    training: PretrainingSettings
    catalogue: CatalogueSettings
    visual: PatchKMeansSettings
    weights: StartingWeights | None
    text_tokenizer: TextTokenizer | None  # None: to be trained on the catalogue
    visual_tokenizer: VisualTokenizer | None

    @property
    def keeps_text(self) -> bool:
        """Whether text embedding and MLM head are those of the weights."""
        return self.weights is not None and self.start.text == "keep"

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """For `plan.json`: files are named by what is in them, so that a run goes on wherever they are."""
        parts = ("encoder", "ica", "masking", "training", "catalogue", "visual")
        files = (self.weights, self.text_tokenizer, self.visual_tokenizer)
        names = ("weights", "text_tokenizer", "visual_tokenizer")
        start = {name: file and file.content_hash for name, file in zip(names, files, strict=True)}
        return {
            "dataset": self.dataset,
            "preset": self.preset,
            "seed": self.seed,
            "start": {**self.start.model_dump(mode="json", exclude=set(names)), **start},
            **{part: getattr(self, part).model_dump(mode="json") for part in parts},
        }


def make_plan(
    data: Dataset, preset: str | None, settings: Mapping[str, Mapping[str, Any]], seed: int
) -> PretrainingPlan:
    """Settle every setting, read the files that are named, and check that all fit together.

    Raises:
        SettingsError: an unknown preset, section or setting, or two that exclude each other.
        UsageError: weights or tokenizers that do not fit the encoder.
        ArtifactError: a file that cannot be read or holds something else.
    """
    _require_known(settings)
    start = _start(settings.get("start") or {})
    chosen = {part: {**RECIPES[start.recipe].get(part, {}), **settings.get(part, {})} for part in _SECTIONS}
    catalogue = CatalogueSettings.create(chosen["catalogue"], section="catalogue")
    item_texts(data, catalogue.text_columns, rows=range(0))  # a column that is not there is refused now
    ica = IcaSettings.create(chosen["ica"], section="ica")
    masking = MaskingSettings.create(chosen["masking"], section="masking")
    training = PretrainingSettings.create(chosen["training"], section="training")
    weights = None if start.weights is None else read_starting_weights(start.weights, chosen["encoder"].get("heads"))
    encoder = _encoder(preset, start.recipe, chosen["encoder"], weights)
    if catalogue.max_length > encoder.text_positions:
        raise SettingsError(
            f"catalogue.max_length={catalogue.max_length} is beyond the encoder's {encoder.text_positions} positions; "
            "lower it or raise encoder.text_positions"
        )
    _require_something_to_hide(encoder, ica)
    words = {"vocab_size": catalogue.visual_vocab, "most_words": encoder.visual_vocab, "patch_size": encoder.patch_size}
    visual = PatchKMeansSettings.create({**chosen["visual"], **words}, section="visual")
    text_tokenizer, visual_tokenizer = _text_tokenizer(start, weights), _visual_tokenizer(start, weights, encoder)
    if text_tokenizer is not None:
        _require_unset(settings, "text", "catalogue.text_vocab")
    if visual_tokenizer is not None:
        _require_unset(settings, "visual", "catalogue.visual_vocab", "visual")
    return PretrainingPlan(
        preset=preset or (_PRESETS[start.recipe] if weights is None else None),
        seed=seed,
        dataset=data.content_hash,
        start=start,
        encoder=encoder,
        ica=ica,
        masking=masking,
        training=training,
        catalogue=catalogue,
        visual=visual,
        weights=weights,
        text_tokenizer=text_tokenizer,
        visual_tokenizer=visual_tokenizer,
    )


def _start(given: Mapping[str, Any]) -> StartSettings:
    start = StartSettings.create(given, section="start")
    return StartSettings.create({**RECIPES[start.recipe].get("start", {}), **given}, section="start")


def _require_known(settings: Mapping[str, Mapping[str, Any]]) -> None:
    unknown = sorted(set(settings) - set(_SECTIONS))
    if unknown:
        raise SettingsError(f"unknown section {unknown[0]!r} of settings; allowed: {', '.join(_SECTIONS)}")
    for section, names in _DERIVED.items():
        for name in sorted(set(names) & set(settings.get(section, {}))):
            raise SettingsError(f"{section}.{name} follows from {names[name]}; set that instead")


def _require_unset(settings: Mapping[str, Mapping[str, Any]], kind: str, *names: str) -> None:
    for name in names:
        section, _, key = name.partition(".")
        given = settings.get(section, {})
        if given and (not key or given.get(key) is not None):
            raise SettingsError(
                f"{name} is for {kind} tokens made here, but their tokenizer is given or kept with the weights; leave "
                f"{name} out, or give no tokenizer and, beside an encoder's folder, start.{kind}=new"
            )


def _encoder(
    preset: str | None, recipe: str, changed: Mapping[str, Any], weights: StartingWeights | None
) -> MultiwaySettings:
    if weights is None:
        return MultiwaySettings.preset(preset or _PRESETS[recipe], **changed)
    if preset is None:
        encoder = MultiwaySettings.create({**weights.settings.model_dump(), **changed}, section="encoder")
    else:
        encoder = MultiwaySettings.preset(preset, **changed)
    weights.require_fit(encoder)
    return encoder


def _require_something_to_hide(encoder: MultiwaySettings, ica: IcaSettings) -> None:
    if encoder.grid < 2:
        raise SettingsError(
            f"encoder.image_size={encoder.image_size} is one patch of encoder.patch_size={encoder.patch_size}, and "
            "nothing is left when it is hidden; give at least 2 patches a side"
        )
    if ica.cls_objective == "aggregate" and encoder.layers < 2:
        raise SettingsError("encoder.layers=1 has no early block; ica.cls_objective=aggregate needs 2 or more")


def _text_tokenizer(start: StartSettings, weights: StartingWeights | None) -> TextTokenizer | None:
    given = None if start.text_tokenizer is None else TextTokenizer.load(start.text_tokenizer)
    if weights is None or start.text == "new":
        return given
    own = None if weights.readers is None else weights.readers.text
    rows = weights.settings.text_vocab
    if given is None and own is None:
        raise UsageError(
            f"the text embedding of {weights.source} has {rows} rows for the words of another tokenizer; pass it as "
            "--text-tokenizer beit3.spm, or --set start.text=new to draw the embedding anew and take only the rest"
        )
    if given is None:
        return own
    other = own is not None and own.content_hash != given.content_hash
    if other or not given.fits_rows(rows):
        raise ArtifactError(
            f"{start.text_tokenizer} ({given.vocab_size} ids) is not the tokenizer that {weights.source} ({rows} rows) "
            "was trained with; give that one, or --set start.text=new to draw the text embedding anew"
        )
    return given


def _visual_tokenizer(
    start: StartSettings, weights: StartingWeights | None, encoder: MultiwaySettings
) -> VisualTokenizer | None:
    tokenizer: VisualTokenizer | None = None
    if start.visual_tokenizer is not None:
        tokenizer = load_visual_tokenizer(start.visual_tokenizer)
    elif weights is not None and weights.readers is not None and start.visual == "keep":
        tokenizer = weights.readers.visual
    if tokenizer is not None:
        require_fit(tokenizer, encoder.image_size, encoder.patch_size)
    return tokenizer
