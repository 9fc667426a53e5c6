"""*Pictures and texts → item vectors.*"""

from alignrec.encoders.beit3 import Beit3MismatchError, Beit3Report, beit3_settings, beit3_state, load_beit3
from alignrec.encoders.builtin import BUILTIN_ENCODERS, BuiltinEncoder, extract_builtin
from alignrec.encoders.catalogue_inputs import CatalogueInputs, prepare_inputs
from alignrec.encoders.catalogue_stream import CatalogueStream
from alignrec.encoders.classical import PixelSettings, TfidfSettings, extract_pixels, extract_tfidf
from alignrec.encoders.encoder_folder import EncoderFolder, Readers
from alignrec.encoders.extraction import ExtractionSettings, extract
from alignrec.encoders.ica import IcaBatch, IcaObjective, IcaSettings
from alignrec.encoders.image_cache import ImageCache, build_image_cache, open_image_cache
from alignrec.encoders.image_resizing import ImageSettings
from alignrec.encoders.item_texts import item_texts
from alignrec.encoders.masking import ImageMasking, MaskedText, TextMasking, as_mask, mask_blocks, mask_text
from alignrec.encoders.multiway import KeptTokens, MultiwayEncoder, MultiwayStates, TokenHead
from alignrec.encoders.multiway_settings import MULTIWAY_PRESETS, MultiwaySettings
from alignrec.encoders.patch_kmeans import PatchKMeans, PatchKMeansSettings
from alignrec.encoders.pictures import PictureReport, open_picture, read_pictures
from alignrec.encoders.pretrained import PretrainedSettings, extract_pretrained, pretrained_name
from alignrec.encoders.starting_weights import StartingWeights, read_starting_weights
from alignrec.encoders.text_tokens import TextTokenizer, TextTokenizerSettings, TokenizedTexts
from alignrec.encoders.token_usage import TokenUsage, measure_usage
from alignrec.encoders.visual_tokens import VisualTokenizer, load_visual_tokenizer
from alignrec.encoders.vqkd import VqKd, VqKdReport

__all__ = [
    "BUILTIN_ENCODERS",
    "MULTIWAY_PRESETS",
    "Beit3MismatchError",
    "Beit3Report",
    "BuiltinEncoder",
    "CatalogueInputs",
    "CatalogueStream",
    "EncoderFolder",
    "ExtractionSettings",
    "IcaBatch",
    "IcaObjective",
    "IcaSettings",
    "ImageCache",
    "ImageMasking",
    "ImageSettings",
    "KeptTokens",
    "MaskedText",
    "MultiwayEncoder",
    "MultiwaySettings",
    "MultiwayStates",
    "PatchKMeans",
    "PatchKMeansSettings",
    "PictureReport",
    "PixelSettings",
    "PretrainedSettings",
    "Readers",
    "StartingWeights",
    "TextMasking",
    "TextTokenizer",
    "TextTokenizerSettings",
    "TfidfSettings",
    "TokenHead",
    "TokenUsage",
    "TokenizedTexts",
    "VisualTokenizer",
    "VqKd",
    "VqKdReport",
    "as_mask",
    "beit3_settings",
    "beit3_state",
    "build_image_cache",
    "extract",
    "extract_builtin",
    "extract_pixels",
    "extract_pretrained",
    "extract_tfidf",
    "item_texts",
    "load_beit3",
    "load_visual_tokenizer",
    "mask_blocks",
    "mask_text",
    "measure_usage",
    "open_image_cache",
    "open_picture",
    "prepare_inputs",
    "pretrained_name",
    "read_pictures",
    "read_starting_weights",
]
