import numpy as np
import pytest

from alignrec.encoders.vector_shards import VectorShards
from alignrec.errors import ArtifactError

MATRIX = np.arange(20, dtype=np.float32).reshape(10, 2)


@pytest.fixture
def shards(tmp_path):
    return VectorShards(tmp_path / "vectors", items=10, size=4)


def write(shards, *parts):
    for rows in parts:
        shards.write(rows, MATRIX[rows.start : rows.stop])


def test_what_was_written_is_not_missing_and_is_read_back_in_order(shards):
    assert shards.missing() == [range(4), range(4, 8), range(8, 10)]
    write(shards, range(8, 10), range(4))
    assert shards.missing() == [range(4, 8)]
    write(shards, range(4, 8))
    for _ in range(2):
        assert np.array_equal(np.concatenate(list(shards)), MATRIX)


def test_a_shard_that_is_not_whole_or_of_other_rows_is_missing(shards):
    write(shards, range(4), range(4, 8), range(8, 10))
    first, second, _ = sorted(shards.folder.iterdir())
    first.write_bytes(first.read_bytes()[:-3])
    np.save(second, MATRIX[:3])
    assert shards.missing() == [range(4), range(4, 8)]


def test_reading_maps_the_file(shards):
    write(shards, range(4), range(4, 8), range(8, 10))
    assert isinstance(next(iter(shards)), np.memmap)


def test_a_shard_that_somebody_removed_is_named(shards):
    write(shards, range(4))
    with pytest.raises(ArtifactError, match=r"000000004\.npy is not there any more"):
        list(shards)


def test_removing_leaves_nothing(shards):
    write(shards, range(4))
    shards.remove()
    shards.remove()
    assert not shards.folder.exists()
