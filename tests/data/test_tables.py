import gzip
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from alignrec.data.build import build_dataset
from alignrec.data.splitting import RatioSplit
from alignrec.data.table_settings import TableSettings
from alignrec.data.tables import read_tables
from alignrec.errors import DataError

LOG = "user_id,item_id,rating,timestamp\n007,a,5,100\n007,b,3,200\n8,a,4,300\n8,zz,1,400\n"
ITEMS = "item_id,title,brand,categories,description\na,Mug,Kiln,Home|Tea,A mug.\nb,Cup,,Home,\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder of tables: item "zz" has no row, item "b" no picture."""
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    (folder / "interactions.csv").write_text(LOG)
    (folder / "items.csv").write_text(ITEMS)
    Image.new("RGB", (4, 4)).save(folder / "images" / "a.png")
    return folder


def test_a_folder_is_read_with_items_and_pictures(shop: Path) -> None:
    raw = read_tables(shop)
    assert raw.name == "shop"
    assert raw.interactions.rows() == [
        ("007", "a", 5.0, 100),
        ("007", "b", 3.0, 200),
        ("8", "a", 4.0, 300),
        ("8", "zz", 1.0, 400),
    ]
    assert raw.items.rows() == [
        ("a", "Mug", "Kiln", ["Home", "Tea"], "A mug.", str(shop / "images" / "a.png")),
        ("b", "Cup", None, ["Home"], None, None),
    ]
    assert sorted(raw.source["files"]) == ["interactions.csv", "items.csv"]
    assert raw.source["columns"] == {
        "user": "user_id",
        "item": "item_id",
        "rating": "rating",
        "timestamp": "timestamp",
    }


def test_a_table_becomes_a_dataset_with_the_users_own_ids(shop: Path, tmp_path: Path) -> None:
    dataset = build_dataset(read_tables(shop), tmp_path / "out", core=0, split=RatioSplit(), min_rating=3)
    assert dataset.users.ids == ("007", "8")
    assert dataset.items.ids == ("a", "b")
    assert dataset.catalogue.frame["title"].to_list() == ["Mug", "Cup"]
    assert dataset.image_path(0) == shop / "images" / "a.png"


def test_gzip_and_every_format_give_the_same(shop: Path, tmp_path: Path) -> None:
    expected = read_tables(shop)
    frame = expected.interactions.rename({"user": "user_id", "item": "item_id"})
    frame.write_parquet(tmp_path / "log.parquet")
    frame.write_ndjson(tmp_path / "log.jsonl")
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(LOG.encode()))
    (tmp_path / "log.jsonl.gz").write_bytes(gzip.compress((tmp_path / "log.jsonl").read_bytes()))
    settings = TableSettings(items=shop / "items.csv", images=shop / "images")
    for name in ("log.parquet", "log.jsonl", "log.csv.gz", "log.jsonl.gz"):
        raw = read_tables(tmp_path / name, settings)
        assert raw.interactions.equals(expected.interactions), name
        assert raw.items.equals(expected.items), name
        assert raw.name == "log"


def test_unknown_items_are_kept_dropped_or_refused(shop: Path) -> None:
    kept = read_tables(shop)
    assert kept.source["unknown_items"] == {"rule": "keep", "items": 1, "interactions": 1}
    assert len(kept.interactions) == 4
    dropped = read_tables(shop, TableSettings(unknown_items="drop"))
    assert dropped.interactions["item"].to_list() == ["a", "b", "a"]
    with pytest.raises(DataError, match=r"interactions\.csv line 5: item 'zz' is not in items\.csv .* keep or drop"):
        read_tables(shop, TableSettings(unknown_items="fail"))


def test_items_without_a_picture_can_be_left_out(shop: Path) -> None:
    raw = read_tables(shop, TableSettings(require_image=True))
    assert raw.interactions["item"].to_list() == ["a", "a"]
    assert raw.source["without_image"] == {"items": 2, "interactions": 2}


def test_an_item_without_a_row_may_have_a_picture(shop: Path) -> None:
    Image.new("RGB", (4, 4)).save(shop / "images" / "zz.jpg")
    raw = read_tables(shop, TableSettings(require_image=True))
    assert raw.items.rows()[-1] == ("zz", None, None, None, None, str(shop / "images" / "zz.jpg"))
    (shop / "items.csv").unlink()
    assert read_tables(shop).items["item_id"].to_list() == ["a", "zz"]


def test_pictures_named_in_a_column_lie_beside_the_item_file(shop: Path) -> None:
    (shop / "items.csv").write_text("item_id,image\na,images/a.png\nb,images/gone.png\n")
    raw = read_tables(shop / "interactions.csv", TableSettings(items=shop / "items.csv"))
    assert raw.items["image"].to_list() == [str(shop / "images" / "a.png"), str(shop / "images" / "gone.png")]


@pytest.mark.parametrize("named", ["images/a.png", "a.png"])
def test_a_folder_may_name_its_pictures_with_or_without_images(shop: Path, named: str) -> None:
    (shop / "items.csv").write_text(f"item_id,image\na,{named}\n")
    assert read_tables(shop).items["image"].to_list() == [str(shop / "images" / "a.png")]


def test_named_columns_are_read_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "log.tsv"
    file.write_text("who\twhat\tpart\nu\ti\ttrain\n")
    raw = read_tables(file, TableSettings(user="who", item="what", split="part"))
    assert raw.interactions.rows() == [("u", "i", 0)]
    with pytest.raises(DataError, match="no column of user ids; it has: who, what, part; name one with --user-column"):
        read_tables(file)
    with pytest.raises(DataError, match="no column 'stars' for the rating"):
        read_tables(file, TableSettings(user="who", item="what", rating="stars"))


def test_a_folder_needs_exactly_one_interactions_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no interactions\.csv"):
        read_tables(tmp_path)
    (tmp_path / "interactions.csv").write_text(LOG)
    (tmp_path / "interactions.old.csv").write_text("not a table of this folder")
    (tmp_path / "interactions.tsv.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds interactions\.csv, interactions\.tsv\.gz; keep one"):
        read_tables(tmp_path)
    with pytest.raises(DataError, match=r"cannot read .*nothing\.csv"):
        read_tables(tmp_path / "nothing.csv")


def test_capitals_in_file_names_do_not_hide_them(shop: Path) -> None:
    plain = read_tables(shop)
    for name, other in (("interactions.csv", "Interactions.CSV"), ("items.csv", "ITEMS.csv"), ("images", "Images")):
        (shop / name).rename(shop / other)
    raw = read_tables(shop)
    assert raw.interactions.equals(plain.interactions)
    assert raw.items["title"].to_list() == plain.items["title"].to_list()
    assert "Images" in raw.items["image"][0]


@pytest.mark.parametrize(
    ("times", "order"),
    [
        (["1600000000900", "1600000000500", "1600000000100", "1500000000000"], "zyxw"),
        (["2020-09-13T12:26:40.9Z", "2020-09-13T12:26:40.5Z", "2020-09-13T12:26:40.1Z", "1500000000"], "zyxw"),
        (["1600000000", "1600000000", "1600000000", "1500000000"], "xyzw"),
    ],
)
def test_milliseconds_order_what_happened_within_a_second(tmp_path: Path, times: list[str], order: str) -> None:
    rows = "".join(f"a,{item},{time}\nb,{item},{time}\n" for item, time in zip("xyzw", times, strict=True))
    (tmp_path / "interactions.csv").write_text(f"user_id,item_id,timestamp\n{rows}")
    frame = read_tables(tmp_path).interactions
    assert "".join(frame.filter(pl.col("user") == "a")["item"]) == order
    assert frame["user"].to_list() == ["a", "b"] * 4
    assert frame["timestamp"].to_list() == [1600000000] * 6 + [1500000000] * 2


def test_when_nothing_is_left_the_message_says_what_took_it(shop: Path) -> None:
    (shop / "interactions.csv").write_text("user_id,item_id\n007,zz\n")
    with pytest.raises(DataError, match=r"none of the last 1 interactions has a picture; leave out --require-image"):
        read_tables(shop, TableSettings(require_image=True))
    with pytest.raises(DataError, match=r"in 1 interactions, lack a row in the item file; .* --unknown-items keep"):
        read_tables(shop, TableSettings(unknown_items="drop"))
    (shop / "interactions.csv").write_text("user_id,item_id,timestamp\na,b,soon\n")
    with pytest.raises(DataError, match=r"all were skipped: 1 column 'timestamp' is not a timestamp \(first .* line 2"):
        read_tables(shop, on_error="skip")


def test_skipped_rows_of_both_files_are_counted(shop: Path) -> None:
    with (shop / "interactions.csv").open("a") as log, (shop / "items.csv").open("a") as items:
        log.write("9,a\n9,a,x,1\n,a,1,1\n")
        items.write("b,again,,,\n")
    raw = read_tables(shop, on_error="skip")
    assert len(raw.interactions) == 4
    assert raw.skipped.total == 4
    with pytest.raises(DataError, match=r"interactions\.csv line 6: 2 fields instead of 4"):
        read_tables(shop)


def test_a_truncated_gzip_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "log.csv.gz"
    whole = gzip.compress(b"user_id,item_id\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(20_000)))
    file.write_bytes(whole[:-1000])
    with pytest.raises(
        DataError, match=r"log\.csv\.gz line \d+: the gzip stream breaks off .* compress the file again"
    ):
        read_tables(file)
    raw = read_tables(file, on_error="skip")
    assert 1000 < len(raw.interactions) < 20_000
    assert raw.skipped.total == 1


def test_reading_a_wide_file_does_not_hold_it_whole(tmp_path: Path) -> None:
    file = tmp_path / "log.csv.gz"
    rows = b"".join(b"%d,%d,%s\n" % (n % 1000, n % 77, b"x" * 1000) for n in range(10_000))
    member = gzip.compress(rows, compresslevel=1)
    with file.open("wb") as stream:  # 120 MB of text in gzip members, as `cat` joins them
        stream.write(gzip.compress(b"user_id,item_id,review\n"))
        stream.writelines([member] * 12)
    code = (
        "import resource, sys\n"
        "from alignrec.data import read_tables\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rows = len(read_tables(sys.argv[1]).interactions)\n"
        "print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    read, grown = map(int, run.stdout.split())
    assert read == 120_000
    assert grown / (1 if sys.platform != "darwin" else 1024) < 70_000  # kilobytes


@pytest.mark.shared
def test_movielens_sparse_keeps_its_split_and_finds_its_posters(research_data: Path, tmp_path: Path) -> None:
    folder = research_data / "movielens-1m"
    settings = TableSettings(items=folder / "items.csv", images=folder / "posters")
    dataset = build_dataset(read_tables(folder / "sparse.tsv", settings), tmp_path / "out")
    counts = [int((dataset.log.splits == code).sum()) for code in range(3)]
    assert (dataset.n_users, dataset.n_items, counts) == (5740, 1952, [53_745, 7_534, 7_534])
    assert dataset.catalogue.frame["image"].null_count() == 0
    toys = dataset.catalogue.frame.row(dataset.items.index("1"), named=True)
    assert toys["title"] == "Toy Story (1995)"
    assert toys["categories"] == ["Animation", "Children's", "Comedy"]
    assert toys["description"].startswith("Led by Woody")


@pytest.mark.shared
def test_movielens_ratings_are_all_read(research_data: Path) -> None:
    folder = research_data / "movielens-1m"
    settings = TableSettings(items=folder / "items.csv", images=folder / "posters", require_image=True)
    raw = read_tables(folder / "ratings.tsv.gz", settings)
    assert raw.interactions["user"].n_unique() == 6040
    assert len(raw.interactions) + raw.source["without_image"]["interactions"] == 1_000_209
    assert raw.interactions.schema["rating"] == pl.Float64


def test_a_file_with_another_separator_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id;item_id\n1;2\n")
    with pytest.raises(DataError, match=r"it has: user_id;item_id; .* or the separator with --separator"):
        read_tables(tmp_path)
