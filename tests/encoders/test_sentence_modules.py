import json

import pytest
import torch
from safetensors.torch import save_file

from alignrec.encoders.sentence_modules import UnitLength, read_sentence_modules, transformer_folder
from alignrec.errors import ArtifactError


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def make(folder, *steps, pooling=None, transformer="", **about):
    """A folder with these steps after the transformer."""
    places = [(transformer, "Transformer"), *((f"{n}_{kind}", kind) for n, kind in enumerate(steps, start=1))]
    write(
        folder / "modules.json",
        [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in places],
    )
    write(folder / "1_Pooling" / "config.json", pooling or {"pooling_mode_mean_tokens": True})
    write(folder / transformer / "sentence_bert_config.json", about)
    return folder


def test_a_plain_folder_says_nothing(tmp_path):
    read = read_sentence_modules(tmp_path)
    assert (read.folder, read.pooling, read.max_length, read.prompt) == (tmp_path, None, None, "")
    rows = torch.tensor([[3.0, 4.0]])
    assert torch.equal(read.head(rows), rows)


def test_pooling_length_and_case_are_what_the_folder_says(tmp_path):
    folder = make(tmp_path, "Pooling", pooling={"pooling_mode_cls_token": True}, max_seq_length=256, do_lower_case=True)
    read = read_sentence_modules(folder)
    assert (read.pooling, read.max_length, read.lower_case) == ("cls", 256, True)


def test_normalising_gives_length_1(tmp_path):
    read = read_sentence_modules(make(tmp_path, "Pooling", "Normalize"))
    assert torch.allclose(read.head(torch.tensor([[3.0, 4.0]])), torch.tensor([[0.6, 0.8]]))
    assert torch.allclose(UnitLength()(torch.ones(2, 4)), torch.full((2, 4), 0.5))


def test_a_dense_layer_is_applied_before_normalising(tmp_path):
    folder = make(tmp_path, "Pooling", "Dense", "Normalize")
    write(folder / "2_Dense" / "config.json", {"activation_function": "torch.nn.modules.activation.Tanh"})
    tensors = {"linear.weight": torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), "linear.bias": torch.zeros(3)}
    save_file(tensors, folder / "2_Dense" / "model.safetensors")
    expected = torch.tanh(torch.tensor([[1.0, 1.0, 0.0]]))
    head = read_sentence_modules(folder).head
    assert torch.allclose(head(torch.tensor([[1.0, 0.5]])), expected / expected.norm())


def test_the_transformer_may_lie_in_a_folder_of_its_own(tmp_path):
    folder = make(tmp_path, "Pooling", transformer="0_Transformer", max_seq_length=9)
    assert transformer_folder(folder) == tmp_path / "0_Transformer"
    assert read_sentence_modules(folder).max_length == 9


def test_the_newer_way_to_name_the_pooling_is_read(tmp_path):
    assert read_sentence_modules(make(tmp_path, "Pooling", pooling={"pooling_mode": "max"})).pooling == "max"


def test_the_default_prompt_is_read(tmp_path):
    folder = make(tmp_path, "Pooling")
    write(
        folder / "config_sentence_transformers.json",
        {"prompts": {"query": "query: ", "document": "passage: "}, "default_prompt_name": "document"},
    )
    assert read_sentence_modules(folder).prompt == "passage: "


@pytest.mark.parametrize(
    ("steps", "pooling", "words"),
    [
        (("LSTM",), None, "names the modules Transformer, LSTM"),
        (("Pooling",), {"pooling_mode_lasttoken": True}, "pools by lasttoken; allowed is one of mean, cls, max"),
        (("Pooling",), {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, "pools by cls, max"),
        (("Pooling", "Dense"), None, r"2_Dense/config.json does not exist"),
    ],
)
def test_what_cannot_be_done_here_is_an_error_in_one_line(tmp_path, steps, pooling, words):
    with pytest.raises(ArtifactError, match=words) as caught:
        read_sentence_modules(make(tmp_path, *steps, pooling=pooling))
    assert "\n" not in str(caught.value)


def test_a_prompt_that_pooling_leaves_out_is_an_error(tmp_path):
    folder = make(tmp_path, "Pooling", pooling={"pooling_mode_mean_tokens": True, "include_prompt": False})
    write(folder / "config_sentence_transformers.json", {"prompts": {"a": "b"}, "default_prompt_name": "a"})
    with pytest.raises(ArtifactError, match="leaves the prompt out of pooling"):
        read_sentence_modules(folder)


@pytest.mark.parametrize("content", ["{", "[1]", '[{"path": ""}]', "[]"])
def test_a_damaged_list_of_modules_is_an_error(tmp_path, content):
    (tmp_path / "modules.json").write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"modules.json"):
        transformer_folder(tmp_path)


@pytest.mark.parametrize(("activation", "words"), [("a.Swish", "ends in Swish"), ("a.Tanh", "no matrix linear.weight")])
def test_a_dense_layer_that_cannot_be_read_is_an_error(tmp_path, activation, words):
    folder = make(tmp_path, "Pooling", "Dense")
    write(folder / "2_Dense" / "config.json", {"activation_function": activation})
    save_file({"other": torch.zeros(1)}, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(ArtifactError, match=words):
        read_sentence_modules(folder)
