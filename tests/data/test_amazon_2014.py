import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from alignrec.data.amazon_2014 import IMAGE_FEATURE_SIZE, read_image_features, read_meta_2014
from alignrec.data.raw import ITEM_COLUMNS, SkipLog
from alignrec.errors import DataError

A, B, C = "B000000001", "B000000002", "0000000003"
META = (
    "{'asin': '" + A + "', 'title': \"Baby&#39;s Mug\", 'brand': 'Kiln', 'price': 3.5, "
    "'imUrl': 'http://ecx.images-amazon.com/images/I/51abc._SY300_.jpg', "
    "'categories': [['Baby', 'Feeding &amp; Cups'], ['Gifts']], 'description': 'Holds\\n milk.'}\n"
    "{'title': 'asin comes last', 'asin': '" + B + "'}\n"
    "{'asin': 'B999999999', 'title': 'not wanted'}\n"
)


def write_vectors(path: Path, vectors: dict[str, float], *, cut: int = 0) -> Path:
    """A file of image features in which every vector holds one value throughout."""
    records = [item.encode() + np.full(IMAGE_FEATURE_SIZE, v, dtype="<f4").tobytes() for item, v in vectors.items()]
    content = b"".join(records)
    path.write_bytes(content[: len(content) - cut])
    return path


def test_metadata_is_read_from_python_literals(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(META)
    frame = read_meta_2014(
        tmp_path / "meta.json", {A, B, C}, {"51abc._SY300_": "/pictures/51abc._SY300_.jpg"}, SkipLog()
    )
    assert frame.schema == pl.Schema(ITEM_COLUMNS)
    mug = (A, "Baby's Mug", "Kiln", ["Baby", "Feeding & Cups"], "Holds milk.", "/pictures/51abc._SY300_.jpg")
    assert frame.rows() == [mug, (B, "asin comes last", None, None, None, None)]


def test_a_picture_with_the_asin_comes_before_the_one_with_the_address(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(META)
    pictures = {A: "/by-asin.jpg", "51abc._SY300_": "/by-address.jpg"}
    assert read_meta_2014(tmp_path / "meta.json", {A}, pictures, SkipLog())["image"].to_list() == ["/by-asin.jpg"]


@pytest.mark.parametrize(
    "line",
    [
        "{'asin': '" + A + "', 'title': 'cut",
        "{'title': 'no asin'}",
        "['asin']",
        "__import__('os').getcwd()",
        '{"asin": "' + A + '", "price": null}',
        "(" * 500,
    ],
)
def test_a_malformed_literal_is_named_or_skipped_and_never_run(tmp_path: Path, line: str) -> None:
    file = tmp_path / "meta_Baby.json.gz"
    file.write_bytes(gzip.compress((line + "\n" + META).encode()))
    with pytest.raises(DataError, match=r"meta_Baby\.json\.gz line 1: .*; download the file again or mend the line"):
        read_meta_2014(file, {A, B}, {}, SkipLog())
    skipped = SkipLog("skip")
    assert read_meta_2014(file, {A, B}, {}, skipped)["item_id"].to_list() == [A, B]
    assert skipped.total == 1


def test_the_first_of_several_rows_of_an_item_counts(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(META + "{'asin': '" + A + "', 'title': 'again'}\n")
    titles = read_meta_2014(tmp_path / "meta.json", {A}, {}, SkipLog())["title"].to_list()
    assert titles == ["Baby's Mug"]


def test_image_features_follow_the_items_and_gaps_get_the_mean(tmp_path: Path) -> None:
    file = write_vectors(tmp_path / "image_features_Baby.b", {A: 1.0, "B999999999": 50.0, C: 4.0})
    table = read_image_features(file, [C, B, A], SkipLog())
    assert (table.name, table.modality, table.matrix.shape) == ("image", "image", (3, 4096))
    assert table.matrix[:, 0].tolist() == table.matrix[:, -1].tolist() == [4.0, 2.5, 1.0]
    assert table.provenance["items_without_vector"] == 1
    assert table.provenance["examples"] == [B]


def test_image_features_may_be_gzipped(tmp_path: Path) -> None:
    plain = write_vectors(tmp_path / "x.b", {A: 1.0, B: 2.0})
    packed = tmp_path / "x.b.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert np.array_equal(
        read_image_features(packed, [A, B], SkipLog()).matrix, read_image_features(plain, [A, B], SkipLog()).matrix
    )
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"x\.b\.gz record \d: the gzip stream breaks off"):
        read_image_features(packed, [A, B], SkipLog())


def test_a_truncated_record_is_named_or_left_out(tmp_path: Path) -> None:
    file = write_vectors(tmp_path / "x.b", {A: 1.0, B: 2.0}, cut=100)
    with pytest.raises(
        DataError, match=r"x\.b record 2: the file ends after 16294 of 16394 bytes; download the file again"
    ):
        read_image_features(file, [A, B], SkipLog())
    skipped = SkipLog("skip")
    assert read_image_features(file, [A, B], skipped).matrix[:, 0].tolist() == [1.0, 1.0]
    assert skipped.total == 1


def test_a_record_that_is_not_finite_or_has_no_asin_is_named(tmp_path: Path) -> None:
    file = write_vectors(tmp_path / "x.b", {A: 1.0, B: float("nan")})
    with pytest.raises(DataError, match=r"x\.b record 2: the vector holds NaN or infinity"):
        read_image_features(file, [A], SkipLog())
    file = write_vectors(tmp_path / "y.b", {"not an id!": 1.0})
    with pytest.raises(DataError, match=r"y\.b record 1: it does not begin with an asin"):
        read_image_features(file, [A], SkipLog())


def test_a_file_of_another_category_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no vector for any of the 1 items"):
        read_image_features(write_vectors(tmp_path / "x.b", {A: 1.0}), [B], SkipLog())


def test_memory_holds_the_wanted_vectors_only(tmp_path: Path) -> None:
    items = {f"B{n:09d}": float(n) for n in range(1500)}  # 24.6 MB, of which 0.2 MB are wanted
    file = write_vectors(tmp_path / "x.b", items)
    wanted = list(items)[::100]
    read_image_features(file, wanted, SkipLog())  # warm up
    tracemalloc.start()
    table = read_image_features(file, wanted, SkipLog())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert table.matrix[:, 7].tolist() == [items[item] for item in wanted]
    assert peak < 6 * table.matrix.nbytes < file.stat().st_size / 10


def test_metadata_of_other_items_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "meta.json.gz"
    with gzip.open(file, "wt", compresslevel=1) as stream:
        for n in range(20_000):  # 20 MB
            stream.write(f"{{'asin': 'B{n:09d}', 'description': '{'x' * 1000}'}}\n")
    wanted = {"B000000005", "B000019999"}
    tracemalloc.start()
    frame = read_meta_2014(file, wanted, {}, SkipLog())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(frame["item_id"]) == wanted
    assert peak < 4_000_000


def test_categories_in_other_shapes_than_a_list_of_paths_are_read_or_left_out(tmp_path: Path) -> None:
    shapes = {A: "'Baby'", B: "{'a': 1}", C: "['Baby', 'Cups']"}
    lines = (f"{{'asin': '{item}', 'categories': {shape}}}\n" for item, shape in shapes.items())
    (tmp_path / "meta.json").write_text("".join(lines))
    frame = read_meta_2014(tmp_path / "meta.json", {A, B, C}, {}, SkipLog())
    assert frame["categories"].to_list() == [["Baby"], None, ["Baby", "Cups"]]


def test_a_literal_that_python_itself_cannot_build_is_a_malformed_line(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("{'asin': '" + A + "', {}: 1}\n")
    with pytest.raises(DataError, match=r"meta\.json line 1: not a Python dict literal \(TypeError\)"):
        read_meta_2014(tmp_path / "meta.json", {A}, {}, SkipLog())
