"""*Pictures and texts → item vectors.*"""

from alignrec.encoders.builtin import BUILTIN_ENCODERS, BuiltinEncoder, extract_builtin
from alignrec.encoders.classical import PixelSettings, TfidfSettings, extract_pixels, extract_tfidf
from alignrec.encoders.pictures import PictureReport, open_picture, read_pictures

__all__ = [
    "BUILTIN_ENCODERS",
    "BuiltinEncoder",
    "PictureReport",
    "PixelSettings",
    "TfidfSettings",
    "extract_builtin",
    "extract_pixels",
    "extract_tfidf",
    "open_picture",
    "read_pictures",
]
