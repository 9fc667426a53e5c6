import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from alignrec.data import Dataset
from alignrec.encoders.encoder_folder import EncoderFolder
from alignrec.encoders.extraction import ExtractionSettings, extract
from alignrec.encoders.multiway import TokenHead
from alignrec.encoders.patch_kmeans import PatchKMeans, PatchKMeansSettings
from alignrec.encoders.text_tokens import TextTokenizer, TextTokenizerSettings
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


def test_heads_are_kept_for_further_training(folder, encoder, readers):
    assert folder.load_heads() == {}
    head = TokenHead(16, 5, torch.Generator().manual_seed(0))
    folder.save(encoder, readers, {}, {"mim_head": head})
    heads = folder.load_heads()
    assert sorted(heads) == ["mim_head.bias", "mim_head.weight"]
    assert torch.equal(heads["mim_head.weight"], head.project.weight)
    (folder.path / "heads.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"are not those that encoder\.json describes"):
        folder.load_heads()


def test_tokenizers_that_were_exchanged_are_refused(folder, readers, shop_folder):
    noise = torch.rand(8, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    visual = PatchKMeans.fit([noise], PatchKMeansSettings(patch_size=8, vocab_size=8))
    shutil.rmtree(folder.path / "visual")
    visual.save(folder.path / "visual")
    with pytest.raises(ArtifactError, match=r"tokenizers .* are not those that its encoder was trained with"):
        folder.load()
    shutil.rmtree(folder.path / "visual")
    readers.visual.save(folder.path / "visual")
    folder.load()
    TextTokenizer.train(["red shoe"] * 9, TextTokenizerSettings(vocab_size=16)).save(folder.path / "text")
    with pytest.raises(ArtifactError, match="are not those that its encoder was trained with; restore them"):
        folder.load()


def test_folders_of_format_1_had_no_hashes_of_tokenizers_and_are_read(folder):
    about = folder.description()
    about = {name: value for name, value in about.items() if name not in ("tokenizers", "heads")} | {"format": 1}
    (folder.path / "encoder.json").write_text(json.dumps(about))
    assert folder.load()[2]["format"] == 1
    assert folder.load_heads() == {}


def test_weights_that_are_gone_are_refused(folder):
    (folder.path / "encoder.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"are not those that encoder\.json describes"):
        folder.load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "has encoder format 9, this version reads 1, 2"),
        ({"encoder": {"layers": 3}}, "not of the shape"),
    ],
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
