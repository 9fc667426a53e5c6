import re

from alignrec.data.shop_attributes import BRANDS, CATEGORIES, COLOURS, STYLES, TEXTURES
from alignrec.data.shop_words import CATEGORY_WORDS, FILLER, OPENERS, STYLE_WORDS, TEXTURE_WORDS


def words(*texts):
    return {word for text in texts for word in re.findall(r"\w+", text.lower())}


def test_there_are_words_for_everything():
    assert set(CATEGORY_WORDS) == set(CATEGORIES)
    assert set(STYLE_WORDS) == set(STYLES)
    assert set(TEXTURE_WORDS) == set(TEXTURES)


def test_no_other_word_gives_away_a_colour_or_a_texture():
    said = words(*BRANDS, *FILLER, *OPENERS)
    for category in CATEGORY_WORDS.values():
        said |= words(*category.shelf, *category.nouns, *category.uses)
    for style in STYLE_WORDS.values():
        said |= words(*style.adjectives, *style.notes)
    assert not said & words(*COLOURS, *TEXTURES, *TEXTURE_WORDS.values())


def test_styles_share_no_adjective():
    adjectives = [adjective for style in STYLE_WORDS.values() for adjective in style.adjectives]
    assert len(set(adjectives)) == 3 * len(STYLES)
