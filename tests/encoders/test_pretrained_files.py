import hashlib
import sys

import pytest

from alignrec.encoders.pretrained_files import (
    ModelFiles,
    fetch_weights,
    find_model,
    hash_weights,
    quietly,
    require_transformers,
)
from alignrec.errors import ArtifactError, MissingExtraError, UsageError


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'alignrec\[pretrained\]'"):
        require_transformers()


@pytest.fixture
def hub(monkeypatch):
    """A hub of one repository; `asked` keeps what was fetched."""
    pytest.importorskip("transformers")
    import huggingface_hub

    class Hub:
        def __init__(self):
            self.asked, self.folder, self.files, self.error = [], None, {}, None

        def fetch(self, name, *, revision=None, allow_patterns=(), ignore_patterns=()):
            self.asked.append((name, revision, tuple(allow_patterns)))
            if self.error is not None:
                raise self.error
            for file, pattern in self.files.items():
                if pattern in allow_patterns:
                    (self.folder / file).write_bytes(b"x")
            return str(self.folder)

    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.fetch)
    return hub


def test_a_folder_is_used_as_it_is(hub, tmp_path):
    assert find_model(str(tmp_path)) == ModelFiles(str(tmp_path), tmp_path, None)
    assert hub.asked == []


def test_a_name_is_fetched_and_its_commit_kept(hub, tmp_path):
    hub.folder = tmp_path / "0123abc"
    hub.folder.mkdir()
    assert find_model("owner/model", "v1") == ModelFiles("owner/model", hub.folder, "0123abc")
    (name, revision, patterns) = hub.asked[0]
    assert (name, revision) == ("owner/model", "v1")
    assert not any(part in pattern for pattern in patterns for part in ("py", "bin", "safetensors", "*.*"))


def test_safetensors_are_fetched_before_and_instead_of_other_files(hub, tmp_path):
    hub.folder = tmp_path
    hub.files = {"model.safetensors": "model.safetensors", "pytorch_model.bin": "pytorch_model.bin"}
    fetch_weights(ModelFiles("owner/model", tmp_path, "0123abc"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert hub.asked[0][1] == "0123abc"


def test_where_there_are_no_safetensors_torch_files_are_fetched(hub, tmp_path):
    hub.folder, hub.files = tmp_path, {"pytorch_model.bin": "pytorch_model.bin"}
    fetch_weights(ModelFiles("owner/model", tmp_path, "0123abc"))
    assert set(hash_weights(tmp_path)) == {"pytorch_model.bin"}


def test_a_folder_without_weights_is_an_error(hub, tmp_path):
    with pytest.raises(ArtifactError, match="holds no weights"):
        fetch_weights(ModelFiles("here", tmp_path))
    assert hub.asked == []


def test_weights_are_known_by_their_bytes_also_those_of_inner_folders(tmp_path):
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"a")
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read beside the other")
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(b"b")
    expected = {"model.safetensors": b"a", "2_Dense/pytorch_model.bin": b"b"}
    assert hash_weights(tmp_path) == {name: hashlib.sha256(text).hexdigest() for name, text in expected.items()}


def test_an_unreachable_hub_is_one_line(hub):
    from huggingface_hub.errors import LocalEntryNotFoundError

    hub.error = LocalEntryNotFoundError("no connection\nand more")
    with pytest.raises(ArtifactError, match=r"'owner/model' is no folder.*hub \(no connection\); check") as caught:
        find_model("owner/model")
    assert "\n" not in str(caught.value)


def test_a_model_that_the_hub_does_not_have_is_one_line(hub):
    import huggingface_hub.errors as errors

    for kind, words in ((errors.RepositoryNotFoundError, "none of that name"), (errors.RevisionNotFoundError, "v9")):
        hub.error = kind.__new__(kind)
        with pytest.raises(ArtifactError, match=words):
            find_model("owner/model", "v9")


@pytest.mark.parametrize("name", ["", "./nowhere", "/a/b", "a/b/c"])
def test_what_can_only_be_a_folder_is_not_asked_of_the_hub(hub, name):
    with pytest.raises(ArtifactError, match="is not a folder"):
        find_model(name)
    assert hub.asked == []


def test_a_folder_has_no_revision(hub, tmp_path):
    with pytest.raises(UsageError, match=r"'hf.revision' does not apply to the folder"):
        find_model(str(tmp_path), "main")


def test_silence_ends_with_its_block():
    pytest.importorskip("transformers")
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with quietly():
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.ERROR, False)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
