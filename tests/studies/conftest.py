"""What other people's weights look like, tiny: BEiT-3 and VQ-KD as the goldens have them, and a SentencePiece model."""

import io

import pytest
import torch
from golden import load_golden

from alignrec.data import Dataset, ShopSettings, draw_shop
from alignrec.encoders.item_texts import item_texts
from alignrec.encoders.vqkd import VqKd

# what the golden's shape needs: its four heads leave no trace in the file, its texts are 12 tokens long at most
FROM_GOLDEN = {
    "encoder": {"heads": 4, "drop_path": 0.0},
    "catalogue": {"max_length": 12},
    "training": {"steps": 2, "round_steps": 1, "batch_size": 8, "checkpoint_seconds": 0, "lr": 1e-30},
}


@pytest.fixture
def from_golden():
    """Settings of two steps that move no weight; a test may change the dictionaries."""
    return {section: dict(values) for section, values in FROM_GOLDEN.items()}


@pytest.fixture(scope="session")
def shop32(tmp_path_factory):
    """Read only but for its cache."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    draw_shop(folder, settings=ShopSettings(items=40, users=10, image_size=32))
    return folder


def _state(goldens, name):
    tensors = load_golden(goldens, name).tensors
    return {key.removeprefix("state/"): value.float() for key, value in tensors.items() if key.startswith("state/")}


@pytest.fixture
def beit3_state(goldens):
    """Official names: 2 layers, width 32, 32 pixels, 100 text tokens, 48 visual ones; a test may change it."""
    return _state(goldens, "beit3_tiny")


@pytest.fixture
def beit3_file(beit3_state, tmp_path):
    torch.save({"model": beit3_state}, tmp_path / "beit3_tiny.pth")
    return tmp_path / "beit3_tiny.pth"


@pytest.fixture
def vqkd_file(goldens, tmp_path):
    """64 words of 8-pixel patches of 32-pixel pictures."""
    torch.save({"model": _state(goldens, "vqkd_tiny")}, tmp_path / "vqkd_tiny.pth")
    return tmp_path / "vqkd_tiny.pth"


@pytest.fixture
def vqkd_folder(goldens, tmp_path):
    """The same with the four heads it was made with."""
    VqKd(_state(goldens, "vqkd_tiny"), heads=4).save(tmp_path / "vqkd")
    return tmp_path / "vqkd"


def _train_spm(texts, path, pieces):
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=pieces,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        minloglevel=2,
        num_threads=1,
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="session")
def spm(shop32, tmp_path_factory):
    """94 pieces, so 96 ids: the golden's embedding has four rows to spare, as BEiT-3's has eight."""
    return _train_spm(item_texts(Dataset.load(shop32)), tmp_path_factory.mktemp("spm") / "beit3.spm", 94)


@pytest.fixture(scope="session")
def large_spm(shop32, tmp_path_factory):
    """152 ids."""
    return _train_spm(item_texts(Dataset.load(shop32)), tmp_path_factory.mktemp("spm") / "large.spm", 150)
