import numpy as np
import pytest

from alignrec.data import Dataset, build_dataset, describe, read_mmrec
from alignrec.errors import DataError, FeatureError

HEADER = "userID\titemID\trating\ttimestamp\tx_label"
ROWS = ("0\t2\t5.0\t100\t0", "0\t0\t3.0\t90\t2", "2\t1\t4.0\t80\t0")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    write(folder, *ROWS)
    np.save(folder / "image_feat.npy", np.arange(6, dtype=np.float64).reshape(3, 2))
    return folder


def write(folder, *lines, header=HEADER, end="\n"):
    (folder / "toy.inter").write_bytes((end.join([header, *lines]) + end).encode())


def test_interactions_keep_their_numbers_ratings_times_and_labels(folder):
    raw = read_mmrec(folder)
    assert raw.name == "toy"
    assert raw.interactions.rows() == [("0", "2", 5.0, 100, 0), ("0", "0", 3.0, 90, 2), ("2", "1", 4.0, 80, 0)]
    assert raw.interactions.columns == ["user", "item", "rating", "timestamp", "split"]


def test_there_are_as_many_users_as_the_highest_number_says(folder):
    raw = read_mmrec(folder)
    assert raw.user_order == ("0", "1", "2")  # nobody is number 1
    assert raw.item_order == ("0", "1", "2")


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_rating_timestamp_and_label_may_be_absent(folder, columns):
    write(
        folder, *("\t".join(row.split("\t")[:columns]) for row in ROWS), header="\t".join(HEADER.split("\t")[:columns])
    )
    assert len(read_mmrec(folder).interactions.columns) == columns


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_both_line_ends_are_read(folder, end):
    write(folder, *ROWS, end=end)
    assert read_mmrec(folder).interactions["split"].to_list() == [0, 2, 0]


def test_a_byte_order_mark_is_passed_over(folder):
    file = folder / "toy.inter"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read_mmrec(folder).interactions) == 3


def test_times_with_a_fraction_become_whole_seconds(folder):
    write(folder, "0\t0\t100.9", header="userID\titemID\ttimestamp")
    (folder / "image_feat.npy").unlink()
    assert read_mmrec(folder).interactions["timestamp"].to_list() == [100]


def test_the_inter_file_itself_can_be_given(folder):
    assert read_mmrec(folder / "toy.inter").interactions.equals(read_mmrec(folder).interactions)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_of_any_float_type_are_named_by_modality(folder, dtype):
    np.save(folder / "audio_feat.npy", np.ones((3, 2), dtype=dtype))
    audio, image = read_mmrec(folder).features
    assert (audio.name, audio.modality, audio.matrix.dtype) == ("audio", "audio", np.float32)
    assert image.matrix.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_every_file_read_is_recorded_with_its_hash(folder):
    files = read_mmrec(folder).source["files"]
    assert set(files) == {"toy.inter", "image_feat.npy"}
    assert all(len(sha) == 64 for sha in files.values())


@pytest.mark.parametrize("separator", ["\t", ","])
def test_mapping_files_give_the_users_own_ids(folder, separator):
    rows = [("asin", "itemID"), ("B0", "0"), ("B1", "1"), ("B2", "2")]
    (folder / "i_id_mapping.csv").write_text("".join(separator.join(row) + "\n" for row in rows))
    raw = read_mmrec(folder)
    assert raw.item_order == ("B0", "B1", "B2")
    assert raw.interactions["item"].to_list() == ["B2", "B0", "B1"]
    assert list(raw.features[0].item_ids) == ["B0", "B1", "B2"]


def test_own_ids_that_look_like_numbers_keep_their_zeros_in_front(folder):
    (folder / "i_id_mapping.csv").write_text("asin,itemID\n0001,0\n0010,1\n0100,2\n")
    assert read_mmrec(folder).item_order == ("0001", "0010", "0100")


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("B0\t0\nB1\t1\n", "no id for number 2"),
        ("B0\t0\nB0\t1\nB2\t2\n", "the same id for two numbers"),
        ("B0\t0\nB1\tone\nB2\t2\n", "no id for number 1"),
    ],
)
def test_a_mapping_that_does_not_fit_is_an_error(folder, rows, fault):
    (folder / "i_id_mapping.csv").write_text("asin\titemID\n" + rows)
    with pytest.raises(DataError, match=f"i_id_mapping.csv has {fault}.*mend it or take it away"):
        read_mmrec(folder)


def test_features_with_another_number_of_rows_are_refused_by_file(folder):
    np.save(folder / "image_feat.npy", np.ones((4, 2), dtype=np.float32))
    with pytest.raises(
        FeatureError, match=r"image_feat\.npy has 4 rows, but the \.inter file counts 3 items.*take it away"
    ):
        read_mmrec(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_features_with_a_value_that_is_not_finite_are_refused_by_file_and_row(folder, value):
    np.save(folder / "image_feat.npy", np.array([[0, 0], [0, value], [0, 0]]))
    with pytest.raises(FeatureError, match=r"image_feat\.npy: 1 rows hold NaN or infinity, first row 1"):
        read_mmrec(folder)


def test_pickled_features_are_never_read(folder):
    np.save(folder / "image_feat.npy", np.array([{"a": 1}] * 3, dtype=object), allow_pickle=True)
    with pytest.raises(FeatureError, match=r"image_feat\.npy is not a plain array"):
        read_mmrec(folder)


def test_a_truncated_feature_file_is_an_error(folder):
    file = folder / "image_feat.npy"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(FeatureError, match=r"image_feat\.npy is not a plain array"):
        read_mmrec(folder)


@pytest.mark.parametrize("array", [np.ones(3), np.full((3, 2), 1j), np.full((3, 1), "x")])
def test_features_that_are_not_a_matrix_of_numbers_are_refused(folder, array):
    np.save(folder / "image_feat.npy", array)
    with pytest.raises(FeatureError, match="give numbers of shape"):
        read_mmrec(folder)


def test_whole_numbers_are_features_too(folder):
    np.save(folder / "image_feat.npy", np.arange(6).reshape(3, 2))
    matrix = next(table for table in read_mmrec(folder).features if table.name == "image").matrix
    assert (matrix.dtype, matrix.tolist()) == (np.float32, [[0, 1], [2, 3], [4, 5]])


def test_a_malformed_row_is_reported_with_its_line(folder):
    write(folder, *ROWS, "0\tx\t1\t1\t0")
    with pytest.raises(DataError, match=r"toy\.inter line 5 \('x'\): itemID is not a whole number"):
        read_mmrec(folder)


@pytest.mark.parametrize("row", ["0\t1\t1\t1\t0\t9", "0\t1", "0\t1\t1\t1\t5", "0\t1\tnan\t1\t0", "-1\t1\t1\t1\t0"])
def test_malformed_rows_can_be_skipped_and_are_counted(folder, row):
    write(folder, row, *ROWS)
    raw = read_mmrec(folder, on_error="skip")
    assert len(raw.interactions) == 3
    assert raw.skipped.total == 1


def test_a_missing_column_is_named(folder):
    write(folder, "0\t1", header="user\titemID")
    with pytest.raises(DataError, match=r"toy\.inter line 1: no column 'userID' among 'user, itemID'"):
        read_mmrec(folder)


@pytest.mark.parametrize("rows", [(), ("x\t0\t0\t0\t0",)])
def test_a_file_without_a_usable_row_is_an_error(folder, rows):
    write(folder, *rows)
    with pytest.raises(DataError, match="no usable row"):
        read_mmrec(folder, on_error="skip")


def test_an_empty_file_is_an_error(folder):
    (folder / "toy.inter").write_bytes(b"")
    with pytest.raises(DataError, match="line 1: no column 'userID'"):
        read_mmrec(folder)


def test_most_numbers_may_be_unused_as_in_a_sample_of_a_large_log(folder):
    (folder / "image_feat.npy").unlink()
    write(folder, *(f"0\t{item}\t1\t1\t0" for item in range(0, 3000, 100)))
    assert len(read_mmrec(folder).item_order) == 2901


def test_ids_that_are_not_a_numbering_are_refused_rather_than_filled_up(folder):
    write(folder, "0\t1000000\t1\t1\t0")
    with pytest.raises(DataError, match=r"itemID goes up to 1000000 with 1 different values.*import tables"):
        read_mmrec(folder)


def test_a_folder_with_two_inter_files_asks_which(folder):
    (folder / "other.inter").write_text("")
    with pytest.raises(DataError, match=r"holds: other\.inter, toy\.inter; give the path of the file"):
        read_mmrec(folder)


def test_a_path_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_mmrec(tmp_path / "nowhere")


def test_the_golden_dataset_keeps_its_labels_and_its_untrained_item(goldens, tmp_path):
    description = describe(build_dataset(read_mmrec(goldens / "dataset.inter"), tmp_path / "golden"))
    assert (description.users, description.items, description.cold_items) == (60, 40, 1)
    assert [f.name for f in description.features] == ["image", "text", "unified"]


def imported(path, tmp_path):
    build_dataset(read_mmrec(path), tmp_path / "dataset")
    return describe(Dataset.load(tmp_path / "dataset"))


@pytest.mark.shared
def test_amazon_baby_has_its_published_counts_and_the_split_of_lattice(research_data, tmp_path):
    baby = imported(research_data / "amazon-baby" / "baby.inter", tmp_path)
    assert (baby.users, baby.items, baby.interactions) == (19_445, 7_050, 160_792)
    assert list(baby.splits.values()) == [118_551, 21_682, 20_559]
    assert baby.family.name == "lattice"


@pytest.mark.shared
def test_amazon_baby_split_by_mmrecs_rule_has_the_published_sizes(research_data, tmp_path):
    from alignrec.data import MmrecSplit

    raw = read_mmrec(research_data / "amazon-baby")
    dataset = build_dataset(raw, tmp_path / "baby", split=MmrecSplit(), seed=999)
    baby = describe(dataset)
    assert list(baby.splits.values()) == [118_551, 20_559, 21_682]
    assert (baby.family.name, baby.about["cleaning"]["below_core"]) == ("mmrec", 0)


@pytest.mark.shared
def test_tiktok_has_its_counts_and_two_modalities(research_data, tmp_path):
    tiktok = imported(research_data / "tiktok", tmp_path)
    assert (tiktok.users, tiktok.items, tiktok.splits["train"]) == (9_308, 6_710, 59_541)
    assert tiktok.about["cleaning"]["read"] == 68_722
    assert tiktok.about["split"]["users_without_train"] == 10  # with one row each
    assert tiktok.splits["valid"] + tiktok.splits["test"] == 3_051 + 6_130 - 10
    assert [(f.name, f.items, f.size) for f in tiktok.features] == [("audio", 6_710, 128), ("image", 6_710, 128)]


@pytest.mark.shared
def test_gowalla_with_a_million_interactions_keeps_its_split(research_data, tmp_path):
    gowalla = imported(research_data / "gowalla", tmp_path)
    assert (gowalla.users, gowalla.items) == (29_858, 40_981)
    assert list(gowalla.splits.values()) == [719_081, 91_047, 217_242]


def test_brackets_in_a_path_are_no_pattern(folder):
    own = folder.rename(folder.with_name("toy[1]"))
    (folder.with_name("toy1")).mkdir()
    write(folder.with_name("toy1"), "0\t0\t1.0\t1\t0")
    assert len(read_mmrec(own).interactions) == 3


def test_an_archive_of_arrays_is_no_feature_file(folder):
    np.savez(folder / "packed.npz", features=np.ones((3, 2)))
    (folder / "packed.npz").rename(folder / "image_feat.npy")
    with pytest.raises(FeatureError, match=r"image_feat\.npy is not a plain array .*; save it with numpy.save"):
        read_mmrec(folder)


def test_milliseconds_are_read_as_seconds(folder):
    write(folder, "0\t0\t5.0\t1662984066459\t0", "0\t2\t5.0\t1662984066\t0")
    assert read_mmrec(folder).interactions["timestamp"].to_list() == [1662984066, 1662984066]


def test_a_number_too_large_for_a_time_is_named_with_its_line(folder):
    write(folder, *ROWS, "0\t1\t5.0\t1e30\t0")
    with pytest.raises(DataError, match=r"toy.inter line 5 \('1e30'\): timestamp is not in seconds or milliseconds"):
        read_mmrec(folder)


def test_two_ids_for_one_number_are_refused(folder):
    (folder / "i_id_mapping.csv").write_text("asin\titemID\nA\t0\nB\t1\nC\t2\nD\t2\n")
    with pytest.raises(DataError, match=r"i_id_mapping\.csv has two ids for the same number"):
        read_mmrec(folder)
