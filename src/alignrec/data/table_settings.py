"""How the columns of a table source are called, and what to do with items that lack something."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from alignrec.settings import Settings

__all__ = ["CANDIDATES", "TableSettings"]

# Names tried in turn where a column is not named in the settings; case matters.
CANDIDATES = {
    "user": ("user_id", "user", "userID", "userId", "UserID", "reviewerID", "customer_id"),
    "item": ("item_id", "item", "itemID", "itemId", "movie_id", "movieId", "product_id", "asin", "parent_asin"),
    "rating": ("rating", "overall", "stars"),
    "timestamp": ("timestamp", "unix_time", "unixReviewTime"),
    "split": ("split", "x_label"),
    "title": ("title", "name"),
    "brand": ("brand", "store", "manufacturer"),
    "categories": ("categories", "category", "genres"),
    "text": ("description", "overview", "text"),
    "image": ("image", "image_path"),
}


class TableSettings(Settings):
    """A column that is not named is looked for under the names in `CANDIDATES`; only user and item must be there."""

    user: str | None = None
    """Column of the interactions with the user's id."""
    item: str | None = None
    """Column of the interactions with the item's id."""
    rating: str | None = None
    """Column with the rating; an empty value is no rating."""
    timestamp: str | None = None
    """Column with the time: seconds or milliseconds since 1970, or ISO 8601 (UTC where it names no zone)."""
    split: str | None = None
    """Column with the split: 0, 1, 2 or train, valid, test."""
    separator: str | None = None
    """Separator of the interactions file; by default the one its suffix says."""
    header: bool = True
    """Whether a delimited interactions file names its columns; without, they are called "1", "2", ..."""
    items: Path | None = None
    """The item file; by default `items.*` in the folder, if the source is a folder."""
    item_separator: str | None = None
    """Separator of the item file; by default the one its suffix says."""
    item_id: str | None = None
    """Column of the item file with the id; by default called as in the interactions."""
    title: str | None = None
    """Column of the item file with the title."""
    brand: str | None = None
    """Column of the item file with the brand."""
    categories: str | None = None
    """Column of the item file with the categories: a list, or text cut at `category_separator`."""
    category_separator: str = Field(default="|", min_length=1)
    """What stands between categories in a text."""
    text_columns: tuple[str, ...] = ()
    """Columns of the item file that are joined, one line each, into the description."""
    image: str | None = None
    """Column of the item file with the path of the picture, relative to `images` or else to the item file."""
    images: Path | None = None
    """Folder with the pictures; an item without a path has ITEM_ID.jpg (or .jpeg, .png, .webp) there.
    By default `images` in the folder, if the source is a folder and has one."""
    unknown_items: Literal["keep", "drop", "fail"] = "keep"
    """What to do with interactions whose item is not in the item file."""
    require_image: bool = False
    """Keep only items whose picture is there, and their interactions."""
