import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("transformers")

import tiny_models
import transformers
from safetensors.torch import load_file, save_file

from alignrec.data import Dataset
from alignrec.encoders.pictures import PictureReport
from alignrec.encoders.pretrained_images import PictureEncoder, describe_pictures
from alignrec.encoders.pretrained_models import load_model
from alignrec.errors import ArtifactError, FeatureError, UsageError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return tiny_models.vit(tmp_path_factory.mktemp("vit"))


def without_processor(vit, folder):
    """A copy that lacks the processor's file."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(vit / name, folder / name)


def pictures(count=3):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (20 + n, 30, 3), dtype=np.uint8)) for n in range(count)]


def encode(folder, images, pooling="auto"):
    encoder = PictureEncoder(load_model(folder, CPU), pooling)
    return encoder.encode(encoder.prepare(images))


def plain(folder, images):
    """What the library's own classes give, by hand: squash to 16, scale to [-1, 1], forward."""
    squares = [np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR)) for image in images]
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255 * 2 - 1
    with torch.no_grad():
        return transformers.ViTModel.from_pretrained(folder).eval()(pixels)


def test_each_pooling_equals_the_plain_forward_on_the_same_pixels(vit):
    output = plain(vit, pictures())
    states = output.last_hidden_state
    expected = {"cls": states[:, 0], "mean": states[:, 1:].mean(dim=1), "pooler": output.pooler_output}
    for pooling, vectors in expected.items():
        assert encode(vit, pictures(), pooling) == pytest.approx(vectors.numpy(), abs=1e-5)


def test_by_itself_a_vit_gives_its_class_token_not_the_dense_layer_on_it(vit):
    assert np.array_equal(encode(vit, pictures()), encode(vit, pictures(), "cls"))


def test_vectors_do_not_depend_on_what_is_beside_them(vit):
    together, alone = encode(vit, pictures()), [encode(vit, [picture])[0] for picture in pictures()]
    assert together == pytest.approx(np.stack(alone), abs=1e-5)


def test_a_pooler_whose_weights_the_file_lacks_cannot_be_asked_for(tmp_path):
    file = tiny_models.vit(tmp_path) / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if not name.startswith("pooler.")}
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(UsageError, match=r"'pooler' does not apply to the 'vit' model .*; allowed: auto, cls, mean$"):
        encode(tmp_path, pictures(), "pooler")


def test_registers_and_class_token_are_not_counted_among_the_patches(tmp_path):
    config = transformers.Dinov2WithRegistersConfig(**tiny_models.IMAGE, num_register_tokens=3)
    transformers.BitImageProcessorPil(size={"height": 16, "width": 16}, do_center_crop=False).save_pretrained(tmp_path)
    tiny_models.save(tiny_models.random(transformers.Dinov2WithRegistersModel, config), tmp_path)
    encoder = PictureEncoder(load_model(tmp_path, CPU), "mean")
    inputs = encoder.prepare(pictures())
    with torch.no_grad():
        states = encoder.model.module(**inputs).last_hidden_state
    assert states.shape[1] == 1 + 3 + 4
    assert encoder.encode(inputs) == pytest.approx(states[:, 4:].mean(dim=1).numpy(), abs=1e-6)


def test_a_convolutional_network_gives_its_pooled_channels(tmp_path):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    transformers.ConvNextImageProcessorPil(size={"shortest_edge": 32}).save_pretrained(tmp_path)
    tiny_models.save(tiny_models.random(transformers.ResNetModel, config), tmp_path)
    pooled, mean = encode(tmp_path, pictures()), encode(tmp_path, pictures(), "mean")
    assert pooled.shape == (3, 16)
    assert pooled == pytest.approx(mean, abs=1e-5)


def test_a_masked_autoencoder_is_shown_every_patch(tmp_path):
    config = transformers.ViTMAEConfig(**tiny_models.IMAGE)
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    tiny_models.save(tiny_models.random(transformers.ViTMAEModel, config), tmp_path)
    assert encode(tmp_path, pictures()) == pytest.approx(encode(tmp_path, pictures()), abs=1e-5)


def test_processor_files_of_other_ages_are_understood(vit, tmp_path):
    """Older files name a feature extractor and one number for the size; the newest nest what they say."""
    without_processor(vit, tmp_path)
    old = {"feature_extractor_type": "ViTFeatureExtractor", "size": 16, "do_resize": True, "do_normalize": True}
    old |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old))
    assert np.array_equal(encode(tmp_path, pictures()), encode(vit, pictures()))
    (tmp_path / "preprocessor_config.json").unlink()
    new = {"image_processor": {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}}
    (tmp_path / "processor_config.json").write_text(json.dumps(new))
    assert np.array_equal(encode(tmp_path, pictures()), encode(vit, pictures()))


def test_a_processor_that_only_torch_has_is_stood_in_for_by_the_like(vit, tmp_path):
    without_processor(vit, tmp_path)
    about = {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": {"height": 16, "width": 16}, "resample": 2}
    about |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(about))
    assert np.array_equal(encode(tmp_path, pictures()), encode(vit, pictures()))


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, r"has no image processor \(preprocessor_config\.json"), ('{"size": 16', "cannot use|not valid JSON")],
)
def test_a_folder_without_a_usable_processor_is_an_error_in_one_line(vit, tmp_path, content, words):
    without_processor(vit, tmp_path)
    if content is not None:
        (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(ArtifactError, match=words) as caught:
        encode(tmp_path, pictures())
    assert "\n" not in str(caught.value)


def test_items_keep_their_order_and_those_without_a_picture_are_left_out_and_counted(vit, shop_folder):
    encoder, report = PictureEncoder(load_model(vit, CPU)), PictureReport()
    dataset = Dataset.load(shop_folder)
    items, rows = describe_pictures(encoder, dataset, 3, report)
    assert items.tolist() == [1, *range(3, 40)]
    assert (report.counts["found"], report.counts["missing"]) == (38, 2)
    with Image.open(dataset.image_path(7)) as picture:
        own = encoder.encode(encoder.prepare([picture.convert("RGB")]))
    assert rows[items.tolist().index(7)] == pytest.approx(own[0], abs=1e-5)


def test_a_catalogue_without_pictures_is_an_error(vit, tmp_path, shop_folder):
    dataset = Dataset.load(shop_folder)
    object.__setattr__(dataset, "path", tmp_path)
    with pytest.raises(FeatureError, match="0 of 40 pictures can be read"):
        describe_pictures(PictureEncoder(load_model(vit, CPU)), dataset, 16, PictureReport())
