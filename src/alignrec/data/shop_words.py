"""The vocabulary of the built-in shop: what is said of a kind of thing, of a style, and of anything at all.

No word of a colour or a texture is in it: these enter a text only where the item's text is meant to name them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CATEGORY_WORDS", "FILLER", "OPENERS", "STYLE_WORDS", "TEXTURE_WORDS", "CategoryWords", "StyleWords"]


@dataclass(frozen=True)
class CategoryWords:
    """How a category is spoken of."""

    shelf: tuple[str, str]  # its place in the shop, wide to narrow
    nouns: tuple[str, str, str]
    uses: tuple[str, ...]  # continue "A rustic mug ..."


@dataclass(frozen=True)
class StyleWords:
    """How a style is spoken of."""

    adjectives: tuple[str, str, str]
    notes: tuple[str, ...]  # continue "..., "


CATEGORY_WORDS: Mapping[str, CategoryWords] = {
    "mug": CategoryWords(
        ("Kitchen", "Drinkware"),
        ("mug", "cup", "beaker"),
        (
            "for strong coffee on slow mornings",
            "that keeps cocoa hot",
            "holding three espressos and some milk",
            "for the desk or the breakfast table",
            "with a handle for cold hands",
        ),
    ),
    "teapot": CategoryWords(
        ("Kitchen", "Tea"),
        ("teapot", "tea kettle", "brewing pot"),
        (
            "with a strainer for loose leaves",
            "that pours four cups without a drip",
            "for jasmine tea and long afternoons",
            "with a snug lid and a neat spout",
            "brewing infusions for the whole family",
        ),
    ),
    "vase": CategoryWords(
        ("Home", "Decoration"),
        ("vase", "flower jar", "urn"),
        (
            "for tulips from the market",
            "that holds a tall bouquet upright",
            "for dried grasses or a single stem",
            "thrown and glazed by hand",
            "with a narrow neck for fresh blossoms",
        ),
    ),
    "lamp": CategoryWords(
        ("Home", "Lighting"),
        ("lamp", "table light", "lantern"),
        (
            "with a warm bulb for late reading",
            "that dims for quiet evenings",
            "for the bedside or the hallway",
            "with a linen shade and a long cable",
            "casting a gentle glow over the sofa",
        ),
    ),
    "chair": CategoryWords(
        ("Home", "Furniture"),
        ("chair", "seat", "armchair"),
        (
            "with sturdy wooden legs",
            "that stacks away after dinner",
            "with a padded back for long meals",
            "for a dining corner or a study",
            "carrying up to 120 kilos",
        ),
    ),
    "clock": CategoryWords(
        ("Home", "Timepieces"),
        ("clock", "wall clock", "timepiece"),
        (
            "with a silent quartz movement",
            "that needs one battery a year",
            "with clear hands, easy to read",
            "to hang over the kitchen door",
            "keeping time to the second",
        ),
    ),
    "cushion": CategoryWords(
        ("Home", "Textiles"),
        ("cushion", "pillow", "throw pillow"),
        (
            "filled with soft feathers",
            "for the sofa or a window bench",
            "with a zip cover that washes well",
            "to nap on after lunch",
            "stuffed with recycled fleece",
        ),
    ),
    "shirt": CategoryWords(
        ("Fashion", "Tops"),
        ("shirt", "tee", "T-shirt"),
        (
            "cut from organic jersey",
            "with short sleeves for summer",
            "that keeps its fit after washing",
            "to wear under a jacket",
            "with a round neck and a loose fit",
        ),
    ),
    "sock": CategoryWords(
        ("Fashion", "Hosiery"),
        ("sock pair", "ankle sock set", "stocking trio"),
        (
            "knitted from merino wool",
            "with a padded heel for hikes",
            "that never slips inside the boot",
            "sold in a cotton pouch",
            "to keep toes warm in winter",
        ),
    ),
    "hat": CategoryWords(
        ("Fashion", "Headwear"),
        ("hat", "fedora", "sun hat"),
        (
            "with a wide brim against the sun",
            "felted in one piece",
            "that packs flat for travel",
            "with a ribbon around the crown",
            "for garden parties and the beach",
        ),
    ),
    "bag": CategoryWords(
        ("Fashion", "Bags"),
        ("handbag", "tote", "purse"),
        (
            "with an inner pocket for the phone",
            "that carries a laptop and lunch",
            "with a magnetic clasp",
            "on a strap for the shoulder",
            "lined with cotton canvas",
        ),
    ),
    "umbrella": CategoryWords(
        ("Fashion", "Rainwear"),
        ("umbrella", "brolly", "parasol"),
        (
            "that stands up to a storm",
            "with a curved handle",
            "for sudden showers in the city",
            "opening at the push of a button",
            "with eight fibreglass ribs",
        ),
    ),
}

STYLE_WORDS: Mapping[str, StyleWords] = {
    "rustic": StyleWords(
        ("rustic", "farmhouse", "homespun"),
        ("like something from a country barn", "finished with raw oak and twine", "honest and a little rough"),
    ),
    "minimal": StyleWords(
        ("minimal", "Nordic", "understated"),
        ("nothing more than needed", "calm clean lines throughout", "made for quiet uncluttered rooms"),
    ),
    "retro": StyleWords(
        ("retro", "vintage", "mid-century"),
        ("straight out of a sixties diner", "with a nod to old jukeboxes", "as your grandparents had it"),
    ),
    "nautical": StyleWords(
        ("nautical", "maritime", "seaside"),
        ("with anchors and rope in mind", "smelling of harbour and salt", "ready to go on deck"),
    ),
    "bohemian": StyleWords(
        ("bohemian", "boho", "free-spirited"),
        ("with tassels and bazaar charm", "collected on far journeys", "for barefoot festival days"),
    ),
    "industrial": StyleWords(
        ("industrial", "loft", "workshop"),
        ("with rivets and brushed steel", "at home in an old factory", "tough as a machine hall"),
    ),
    "romantic": StyleWords(
        ("romantic", "lace-trimmed", "cottage"),
        ("with roses and a hint of lace", "sweet as a love letter", "for daydreams under an arbour"),
    ),
    "playful": StyleWords(
        ("playful", "whimsical", "cheerful"),
        ("guaranteed to raise a smile", "for the child in everyone", "as silly as a circus clown"),
    ),
}

TEXTURE_WORDS: Mapping[str, str] = {
    "plain": "solid-coloured",
    "striped": "striped",
    "dotted": "polka-dot",
    "chequered": "chequered",
    "zigzag": "zigzag",
    "marbled": "marbled",
}

OPENERS = ("A", "Our", "This", "Meet the", "The")

FILLER = (
    "Ships in two days.",
    "A lovely gift.",
    "Designed in our own studio.",
    "Made in small batches.",
    "Customers order it again and again.",
    "Free returns within a month.",
    "Packed without plastic.",
    "Limited stock, so be quick.",
    "New this season.",
    "Comes with a two year guarantee.",
    "Easy to care for.",
    "Every piece is checked by hand.",
)
