"""Hugging Face models of random weights, of a few thousand numbers each, saved as their library saves them."""

import json
from pathlib import Path

import torch
import transformers
from transformers.utils import logging

logging.disable_progress_bar()

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "mug", "hat", "of", "wool", "a", "##s", "p", ":")
TEXT = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "pad_token_id": 0,
}
IMAGE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 16,
    "patch_size": 8,
}


def save(model: torch.nn.Module, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def random(build, config, seed: int = 0) -> torch.nn.Module:
    """A network whose weights are wide enough for its states to differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(config).eval()
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(0.2 * torch.randn_like(weight))
    return network


def save_tokenizer(folder: Path, **options) -> None:
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    transformers.BertTokenizer(
        vocab=vocabulary, model_max_length=options.pop("longest", 20), **options
    ).save_pretrained(folder)


def bert(folder: Path) -> Path:
    save_tokenizer(folder)
    return save(random(transformers.BertModel, transformers.BertConfig(**TEXT)), folder)


def sentence_model(folder: Path, pooling: str = "mean_tokens", **about) -> Path:
    """A BERT in the layout of sentence-transformers, whose texts are cut after 6 tokens."""
    bert(folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "max_tokens")}
    write(folder / "modules.json", modules)
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, **modes})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 6, "do_lower_case": False} | about)
    return folder


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def vit(folder: Path) -> Path:
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return save(random(transformers.ViTModel, transformers.ViTConfig(**IMAGE)), folder)


def clip(folder: Path) -> Path:
    text = TEXT | {"eos_token_id": 3, "bos_token_id": 2}
    config = transformers.CLIPConfig(text_config=text, vision_config=IMAGE, projection_dim=12)
    size = {"crop_size": {"height": 16, "width": 16}, "size": {"shortest_edge": 16}}
    transformers.CLIPImageProcessorPil(**size).save_pretrained(folder)
    save_tokenizer(folder)
    return save(random(transformers.CLIPModel, config), folder)


def siglip(folder: Path) -> Path:
    text = TEXT | {"eos_token_id": 3, "bos_token_id": 2, "projection_size": 16}
    config = transformers.SiglipConfig(text_config=text, vision_config=IMAGE)
    transformers.SiglipImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    save_tokenizer(folder)
    return save(random(transformers.SiglipModel, config), folder)
