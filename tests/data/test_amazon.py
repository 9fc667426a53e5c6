import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alignrec.data.amazon import read_amazon
from alignrec.data.build import build_dataset
from alignrec.data.describe import describe
from alignrec.errors import DataError, UsageError

A, B, RARE = "B000000001", "B000000002", "B000000003"
# (user, item, rating, time): users u and v with items A and B are a 2-core; w and RARE are not in it
ROWS = [("u", A, 5, 100), ("u", B, 4, 200), ("w", RARE, 5, 250), ("v", A, 2, 300), ("v", B, 5, 400), ("v", A, 5, 500)]


def ratings(rows: list[tuple[str, str, int, int]]) -> str:
    return "".join(f"{u},{i},{r}.0,{t}\n" for u, i, r, t in rows)


def reviews(rows: list[tuple[str, str, int, int]]) -> str:
    keys = ("reviewerID", "asin", "overall", "unixReviewTime")
    return "".join(
        json.dumps({**dict(zip(keys, row, strict=True)), "reviewText": 'Nice, "really"'}) + "\n" for row in rows
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The 2014 files of Baby."""
    home = tmp_path / "amazon"
    home.mkdir()
    (home / "ratings_Baby.csv").write_text(ratings(ROWS))
    meta = "".join(f"{{'asin': '{item}', 'title': 'Title of {item}'}}\n" for item in (A, B, RARE))
    (home / "meta_Baby.json.gz").write_bytes(gzip.compress(meta.encode()))
    vectors = [item.encode() + np.full(4096, n, dtype="<f4").tobytes() for n, item in enumerate((A, RARE), start=1)]
    (home / "image_features_Baby.b").write_bytes(b"".join(vectors))
    return home


def test_the_2014_files_become_interactions_items_and_features(folder: Path) -> None:
    raw = read_amazon(folder, "Baby")
    assert raw.name == "amazon-2014-Baby"
    assert raw.interactions.rows() == [(u, i, float(r), t) for u, i, r, t in ROWS]
    assert raw.items["title"].to_list() == [f"Title of {item}" for item in (A, B, RARE)]
    assert raw.features[0].item_ids == [A, B, RARE]
    assert raw.features[0].matrix[:, 0].tolist() == [1.0, 1.5, 2.0]
    assert sorted(raw.source["files"]) == ["image_features_Baby.b", "meta_Baby.json.gz", "ratings_Baby.csv"]


def test_ratings_and_reviews_give_the_same_interactions(folder: Path) -> None:
    from_ratings = read_amazon(folder, "Baby").interactions
    (folder / "ratings_Baby.csv").unlink()
    for name, content in (
        ("reviews_Baby_5.json", reviews(ROWS).encode()),
        ("reviews_Baby_5.json.gz", gzip.compress(reviews(ROWS).encode())),
    ):
        (folder / name).write_bytes(content)
        assert read_amazon(folder, "baby").interactions.equals(from_ratings)
        (folder / name).unlink()


def test_metadata_and_features_are_kept_for_the_core_alone(folder: Path, tmp_path: Path) -> None:
    raw = read_amazon(folder, "Baby", core=2)
    assert len(raw.interactions) == len(ROWS)
    assert raw.items["item_id"].to_list() == [A, B]
    assert raw.features[0].item_ids == [A, B]
    dataset = build_dataset(raw, tmp_path / "out", core=2)
    assert dataset.items.ids == (A, B)
    assert dataset.features("image").matrix[:, 0].tolist() == [1.0, 1.0]
    assert describe(dataset).features[0].items_without_vector == 1  # B, of A and B
    assert len(dataset.log) == 4  # v's second rating of A is the same pair


@pytest.mark.parametrize(("core", "min_rating"), [(0, None), (2, None), (2, 3), (1, 5), (0, 4.5)])
def test_what_is_kept_is_what_the_same_cleaning_leaves(
    folder: Path, tmp_path: Path, core: int, min_rating: float | None
) -> None:
    raw = read_amazon(folder, "Baby", core=core, min_rating=min_rating)
    dataset = build_dataset(raw, tmp_path / "out", core=core, min_rating=min_rating)
    assert tuple(raw.features[0].item_ids) == dataset.items.ids


def test_pictures_are_found_by_asin_with_and_without_metadata(folder: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for item in (A, RARE):
        Image.new("RGB", (4, 4)).save(pictures / f"{item}.jpg")
    raw = read_amazon(folder, "Baby", images=pictures)
    assert raw.items["image"].to_list() == [str(pictures / f"{A}.jpg"), None, str(pictures / f"{RARE}.jpg")]
    (folder / "meta_Baby.json.gz").unlink()
    raw = read_amazon(folder, "Baby", images=pictures)
    assert raw.items.select("item_id", "title").rows() == [(A, None), (RARE, None)]


@pytest.mark.parametrize("gz", [False, True])
def test_the_2023_files_become_interactions_and_items(tmp_path: Path, gz: bool) -> None:
    keys = ("user_id", "parent_asin", "rating", "timestamp")
    log = "".join(
        json.dumps({**dict(zip(keys, (u, i, r, t * 1000 + 10**12), strict=True)), "asin": "other", "images": []}) + "\n"
        for u, i, r, t in ROWS
    )
    meta = "".join(
        json.dumps({"parent_asin": item, "title": f"Title of {item}", "store": "S"}) + "\n" for item in (A, B)
    )
    for name, content in (("Baby_Products.jsonl", log), ("meta_Baby_Products.jsonl", meta)):
        packed = gzip.compress(content.encode())
        (tmp_path / (name + ".gz" * gz)).write_bytes(packed if gz else content.encode())
    raw = read_amazon(tmp_path, "Baby")
    assert raw.name == "amazon-2023-Baby_Products"
    assert raw.interactions.rows() == [(u, i, float(r), t + 10**9) for u, i, r, t in ROWS]
    assert raw.items["brand"].to_list() == ["S", "S"]
    assert raw.features == ()


def test_short_names_stand_for_the_long_ones(tmp_path: Path) -> None:
    (tmp_path / "ratings_Sports_and_Outdoors.csv").write_text(ratings(ROWS))
    assert read_amazon(tmp_path, "Sports").interactions.equals(
        read_amazon(tmp_path, "Sports_and_Outdoors").interactions
    )


def test_both_editions_in_one_folder_need_a_choice(folder: Path) -> None:
    (folder / "Baby_Products.csv").write_text("user_id,parent_asin,rating,timestamp\nu,B1,5.0,1000000000000\n")
    with pytest.raises(UsageError, match="--edition 2014 or --edition 2023"):
        read_amazon(folder, "Baby")
    assert len(read_amazon(folder, "Baby", edition="2023").interactions) == 1
    assert len(read_amazon(folder, "Baby", edition="2014").interactions) == len(ROWS)


def test_missing_files_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no interactions of 'Baby'; .* ratings_Baby\.csv, reviews_Baby\.json"):
        read_amazon(tmp_path, "Baby")
    with pytest.raises(DataError, match="is not a folder"):
        read_amazon(tmp_path / "nothing", "Baby")


@pytest.mark.parametrize("row", ["u,B1,5.0", "u,B1,good,100", ",B1,5.0,100", "u,B1,5.0,"])
def test_a_malformed_rating_is_named_or_skipped(folder: Path, row: str) -> None:
    with (folder / "ratings_Baby.csv").open("a") as stream:
        stream.write(row + "\n")
    with pytest.raises(DataError, match=r"ratings_Baby\.csv line 7"):
        read_amazon(folder, "Baby")
    raw = read_amazon(folder, "Baby", on_error="skip")
    assert len(raw.interactions) == len(ROWS)
    assert raw.skipped.total == 1


def test_reviews_of_another_format_name_the_missing_column(tmp_path: Path) -> None:
    (tmp_path / "reviews_Baby.json").write_text('{"user": "u", "asin": "B1"}\n')
    with pytest.raises(DataError, match="no column 'reviewerID'; it has: user, asin"):
        read_amazon(tmp_path, "Baby")
