import json
from dataclasses import replace

import numpy as np
import pytest

from alignrec.data import Dataset
from alignrec.encoders.encoder_folder import EncoderFolder
from alignrec.encoders.extraction import ExtractionSettings, extract
from alignrec.errors import ArtifactError, DataError


@pytest.fixture
def folder(tmp_path, encoder, readers):
    folder = EncoderFolder(tmp_path / "encoder")
    folder.save_readers(readers)
    folder.save(encoder, readers, {"note": "random"})
    return folder


def test_an_encoder_read_back_gives_the_same_vectors(folder, encoder, readers, shop_folder):
    data = Dataset.load(shop_folder)
    loaded, its_readers, about = EncoderFolder(folder.path).load()
    expected = extract(encoder, readers.inputs(data), ExtractionSettings())
    assert np.array_equal(extract(loaded, its_readers.inputs(data), ExtractionSettings()), expected)
    assert about["about"] == {"note": "random"} == folder.description()["about"]
    assert (its_readers.images, its_readers.max_length) == (readers.images, 20)
    assert its_readers.visual.content_hash == readers.visual.content_hash


def test_the_same_encoder_is_written_in_the_same_bytes(folder, encoder, readers, tmp_path):
    other = EncoderFolder(tmp_path / "other")
    other.save_readers(readers)
    other.save(encoder, readers, {"note": "random"})
    written = [{p.relative_to(f.path): p.read_bytes() for p in f.path.rglob("*.*")} for f in (folder, other)]
    assert written[0] == written[1]
    assert len(written[0]) == 6


def test_tokenizers_are_there_before_the_encoder_is_finished(tmp_path, readers):
    folder = EncoderFolder(tmp_path / "encoder")
    assert not folder.has_readers
    folder.save_readers(readers)
    assert folder.has_readers
    assert not folder.finished
    with pytest.raises(ArtifactError, match=r"no finished encoder in .*; make one with 'alignrec encode pretrain'"):
        folder.load()


def test_weights_that_were_changed_are_refused(folder):
    file = folder.path / "encoder.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=r"are not those that encoder\.json describes"):
        folder.load()


def test_weights_that_are_gone_are_refused(folder):
    (folder.path / "encoder.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"are not those that encoder\.json describes"):
        folder.load()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"format": 9}, "has encoder format 9, this version reads 1"), ({"encoder": {"layers": 3}}, "not of the shape")],
)
def test_a_description_of_something_else_is_refused_in_one_line(folder, change, message):
    file = folder.path / "encoder.json"
    about = json.loads(file.read_text())
    about["encoder"] |= change.pop("encoder", {})
    file.write_text(json.dumps(about | change))
    with pytest.raises(ArtifactError, match=message) as refused:
        folder.load()
    assert "\n" not in str(refused.value)


def test_a_dataset_only_in_memory_has_nowhere_to_keep_the_input(readers, shop_folder):
    with pytest.raises(DataError, match="is only in memory; save it first"):
        readers.inputs(replace(Dataset.load(shop_folder), path=None))
