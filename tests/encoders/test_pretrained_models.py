import json
import pickle

import pytest
import torch

pytest.importorskip("transformers")

import tiny_models
from safetensors.torch import load_file, save_file

from alignrec.encoders.pretrained_models import MODEL_TYPES, load_model, modality_of, model_type_of
from alignrec.errors import ArtifactError, UsageError

CPU = torch.device("cpu")


def test_every_kind_is_one_that_the_library_knows():
    from transformers import CONFIG_MAPPING

    kinds = [kind for kinds in MODEL_TYPES.values() for kind in kinds]
    assert len(kinds) == len(set(kinds))
    assert [kind for kind in kinds if kind not in CONFIG_MAPPING] == []


def test_kinds_are_told_by_the_settings_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    assert model_type_of(tmp_path) == "clip"
    assert [modality_of(kind) for kind in ("clip", "dinov2", "bert")] == ["image+text", "image", "text"]


@pytest.mark.parametrize("kind", ["whisper", "gpt2", "wav2vec2", "llama"])
def test_a_model_of_another_kind_is_refused_and_the_allowed_ones_are_listed(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(UsageError, match=rf"of the kind '{kind}' gives no vectors.*image\+text: .*clip.*text: .*bert"):
        model_type_of(tmp_path)


def test_a_folder_that_is_no_model_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match=r"is not the folder of a Hugging Face model, it has no config\.json"):
        model_type_of(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match="does not say its model_type"):
        model_type_of(tmp_path)


def test_half_precision_weights_are_computed_in_single(tmp_path):
    folder = tiny_models.bert(tmp_path)
    file = folder / "model.safetensors"
    save_file({name: value.half() for name, value in load_file(file).items()}, file, {"format": "pt"})
    model = load_model(folder, CPU)
    assert {value.dtype for value in model.module.parameters()} == {torch.float32}
    assert not model.module.training


def test_a_file_without_the_pooler_is_read_and_the_pooler_not_used(tmp_path):
    folder = tiny_models.bert(tmp_path)
    assert load_model(folder, CPU).has_pooler
    file = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if not name.startswith("pooler.")}
    save_file(kept, file, {"format": "pt"})
    assert not load_model(folder, CPU).has_pooler


def test_lacking_weights_are_an_error_not_random_numbers(tmp_path):
    folder = tiny_models.bert(tmp_path)
    file = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if "layer.1.attention" not in name}
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(ArtifactError, match=r"lack 10 tensors of a 'bert' model, first 'encoder\.layer\.1"):
        load_model(folder, CPU)


class Harm:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_in_place_of_weights_is_refused_and_not_run(tmp_path, capsys):
    folder = tiny_models.bert(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(ArtifactError, match="cannot read the model in") as caught:
        load_model(folder, CPU)
    assert "\n" not in str(caught.value)
    assert "run" not in capsys.readouterr().out.split()


def test_code_beside_the_weights_is_never_run(tmp_path):
    folder = tiny_models.bert(tmp_path)
    about = json.loads((folder / "config.json").read_text())
    about["auto_map"] = {"AutoModel": "code.Model", "AutoConfig": "code.Config"}
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "code.py").write_text("raise SystemExit('run')")
    assert type(load_model(folder, CPU).module).__module__.startswith("transformers.")


def test_damaged_weights_are_an_error_in_one_line(tmp_path):
    folder = tiny_models.vit(tmp_path)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ArtifactError, match="cannot read the model in") as caught:
        load_model(folder, CPU)
    assert "\n" not in str(caught.value)
