import json

import numpy as np
import pytest
import torch

from alignrec.data import Dataset, ShopSettings, draw_shop
from alignrec.encoders import CatalogueInputs, EncoderFolder, ImageCache, ImageSettings
from alignrec.encoders.image_resizing import OUTCOMES
from alignrec.encoders.item_texts import item_texts
from alignrec.encoders.text_tokens import TextTokenizerSettings
from alignrec.errors import ArtifactError, DataError
from alignrec.studies import encoder_readers
from alignrec.studies.encoder_readers import loading_workers, make_readers, visual_usage
from alignrec.studies.pretraining_plan import make_plan

SHAPE = {"encoder": {"image_size": 32}, "catalogue": {"text_vocab": 100, "max_length": 12}}


def test_tokenizers_are_made_once_and_read_again(shop32, tmp_path):
    pytest.importorskip("sentencepiece")
    data, folder = Dataset.load(shop32), EncoderFolder(tmp_path / "encoder")
    plan = make_plan(data, None, SHAPE, 0)
    readers = make_readers(folder, data, plan)
    assert json.loads((folder.path / "plan.json").read_text()) == plan.as_dict()
    assert make_readers(folder, data, plan).hashes == readers.hashes
    assert readers.visual.vocab_size < 128  # 40 pictures of 16 patches do not support the 128 words of a tiny encoder
    assert readers.visual.vocab_size == max(2, readers.visual.usage.tokens // 50)


def test_a_large_catalogue_gives_the_tokenizer_a_sample_of_its_texts_a_chunk_at_a_time(shop32, monkeypatch):
    data, columns = Dataset.load(shop32), ("title", "description")
    every = item_texts(data, columns)
    whole, few = (TextTokenizerSettings(fit_characters=n) for n in (sum(map(len, every)), 2000))
    assert encoder_readers._some_texts(data, columns, whole, seed=0) == every
    monkeypatch.setattr(encoder_readers, "_ROWS", 7)
    some = encoder_readers._some_texts(data, columns, few, seed=0)
    assert 2000 - max(map(len, every)) < sum(map(len, some)) <= 2000
    places = [every.index(text) for text in some]
    assert places == sorted(places)
    assert some == encoder_readers._some_texts(data, columns, few, seed=0)
    assert some != encoder_readers._some_texts(data, columns, few, seed=1)


def test_given_tokenizers_are_taken_as_they_are(shop32, spm, vqkd_file, vqkd_folder, tmp_path):
    data, folder = Dataset.load(shop32), EncoderFolder(tmp_path / "encoder")
    start = {"text_tokenizer": str(spm), "visual_tokenizer": str(vqkd_folder)}
    plan = make_plan(data, None, {"encoder": {"image_size": 32}, "start": start}, 0)
    readers = make_readers(folder, data, plan)
    assert readers.text.model == spm.read_bytes()
    assert readers.visual.vocab_size == 64
    other = make_plan(data, None, {"encoder": {"image_size": 32}, "start": start | {"visual_tokenizer": vqkd_file}}, 0)
    with pytest.raises(ArtifactError, match="is not the visual tokenizer that the run began with"):
        make_readers(folder, data, other)


def test_a_catalogue_without_pictures_is_refused_even_with_both_tokenizers(tmp_path, spm, vqkd_folder):
    data = draw_shop(tmp_path / "shop", settings=ShopSettings(items=30, users=5, pictures=False))
    start = {"text_tokenizer": str(spm), "visual_tokenizer": str(vqkd_folder)}
    plan = make_plan(data, None, {"encoder": {"image_size": 32}, "start": start}, 0)
    with pytest.raises(DataError, match="has a readable picture"):
        make_readers(EncoderFolder(tmp_path / "encoder"), data, plan)
    assert not (tmp_path / "encoder").exists()


def test_only_the_patches_of_pictures_count_as_use(tmp_path):
    """Two of three items have a picture; the words of the third are those of no picture at all."""
    outcomes = np.array([OUTCOMES.index(name) for name in ("found", "missing", "found")], dtype=np.uint8)
    images = ImageCache(tmp_path, ImageSettings(size=16), np.zeros((3, 3, 16, 16), dtype=np.uint8), outcomes)
    visual = np.array([[0, 0, 1, 1], [3, 3, 3, 3], [0, 0, 1, 1]], dtype=np.int16)
    tokens = np.zeros((3, 2), dtype=np.int32)
    usage = visual_usage(CatalogueInputs(images, visual, tokens, np.ones(3, dtype=bool), torch.zeros(9) > 0), 4)
    assert (usage.used, usage.tokens, usage.largest) == (2, 8, 0.5)
    assert usage.perplexity == pytest.approx(2)


def test_one_thread_decodes_pictures_itself():
    assert torch.get_num_threads() == 1
    assert loading_workers() == 0
