"""The first step of a pre-training run: weights that others trained go into the encoder, and what was taken is told.

A head of visual words is the doubtful part: BEiT-3's own visual tokenizer was never named, so a head that fits in
shape may have learnt other words. It is kept only if it predicts better than chance before any training. An encoder's
folder does name its visual words.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from alignrec.encoders.catalogue_inputs import CatalogueInputs
from alignrec.encoders.encoder_folder import Readers
from alignrec.encoders.ica import IcaObjective
from alignrec.encoders.starting_weights import StartingWeights
from alignrec.runtime import numpy_rng
from alignrec.studies.encoder_readers import visual_usage
from alignrec.studies.pretraining_plan import PretrainingPlan
from alignrec.training.encoder import MaskedItems, held_out_losses

__all__ = ["begin", "beginning_lines"]

_ITEMS = 64  # that the first losses are measured on


def begin(
    objective: IcaObjective, plan: PretrainingPlan, readers: Readers, inputs: CatalogueInputs, device: torch.device
) -> dict[str, Any]:
    """Put the plan's weights, if any, into `objective`; returns what is worth knowing before training, for JSON.

    The key `visual_usage` says how the catalogue uses the visual words; `weights` is None or says what was taken, the
    first losses of both heads where there are items to measure them on, and what chance would give.
    """
    record: dict[str, Any] = {"visual_usage": asdict(visual_usage(inputs, readers.visual.vocab_size))}
    objective.to(device)
    record["weights"] = None if plan.weights is None else _start_from(plan.weights, objective, plan, readers, inputs)
    return record


def beginning_lines(record: Mapping[str, Any]) -> list[str]:  # Any: JSON values
    """What `begin` returned, in words."""
    lines = [] if record["weights"] is None else _weights_lines(record["weights"])
    usage = record["visual_usage"]
    share = usage["used"] / usage["vocab_size"]
    return [
        *lines,
        f"visual words: {share:.0%} of {usage['vocab_size']} used, perplexity {usage['perplexity']:.0f}, "
        f"the most frequent is {usage['largest']:.1%} of {usage['tokens']:,} patches",
    ]


def _start_from(
    weights: StartingWeights,
    objective: IcaObjective,
    plan: PretrainingPlan,
    readers: Readers,
    inputs: CatalogueInputs,
) -> dict[str, Any]:
    drawn = {name: value.clone() for name, value in objective.mim_head.state_dict().items()}
    known = weights.knows_visual_words(readers.visual)
    report = weights.copy_into(
        objective.encoder,
        mlm_head=objective.mlm_head if plan.keeps_text else None,
        mim_head=objective.mim_head if known else None,
        keep_text=plan.keeps_text,
    )
    heads = {
        "mlm_head": _origin("mlm_head" in weights.heads, plan.keeps_text, "start.text=new"),
        "mim_head": _origin("mim_head" in weights.heads, known, "the visual words are others"),
    }
    settings = objective.encoder.settings
    chance = {"mlm": math.log(settings.text_vocab), "mim": math.log(settings.visual_vocab)}
    losses = _first_losses(objective, plan, inputs)
    doubtful = heads["mim_head"] == "taken" and weights.readers is None
    if doubtful and losses.get("mim", 0.0) > chance["mim"]:
        objective.mim_head.load_state_dict(drawn)
        heads["mim_head"] = "drawn anew: worse than chance, so its visual words are others"
    return {
        "name": weights.source.name,
        "kind": "checkpoint" if weights.readers is None else "encoder",
        "sha256": weights.content_hash,
        "tensors": {kind: len(names) if kind == "loaded" else list(names) for kind, names in asdict(report).items()},
        "text_embedding": "taken" if plan.keeps_text else "drawn anew: start.text=new",
        **heads,
        "first_losses": losses,
        "chance": {name: chance[name] for name in losses},
    }


def _origin(present: bool, wanted: bool, reason: str) -> str:
    if not present:
        return "drawn: the weights bring none"
    return "taken" if wanted else f"drawn anew: {reason}"


def _first_losses(objective: IcaObjective, plan: PretrainingPlan, inputs: CatalogueInputs) -> dict[str, float]:
    """Of both heads, on items that have a picture and a text; empty where there is no such item."""
    both = np.flatnonzero(inputs.has_image & inputs.has_text)
    items = np.sort(numpy_rng(plan.seed, "first losses").permutation(both)[:_ITEMS])
    if not len(items):
        return {}
    source = MaskedItems(inputs, items, objective, plan.masking, plan.training, plan.seed)
    losses = held_out_losses(source, items, objective, plan.seed)
    return {name: losses[name] for name in ("mlm", "mim") if name in losses}


def _weights_lines(weights: Mapping[str, Any]) -> list[str]:
    tensors = weights["tensors"]
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in tensors.items() if kind != "loaded")
    parts = "; ".join(f"{part} {weights[part]}" for part in ("text_embedding", "mlm_head", "mim_head"))
    lines = [f"started from {weights['name']}: {tensors['loaded']} tensors taken ({counts})", parts]
    losses, chance = weights["first_losses"], weights["chance"]
    if losses:
        told = ", ".join(f"{name} {loss:.2f} (chance {chance[name]:.2f})" for name, loss in losses.items())
        lines.append(f"losses before training: {told}")
    doubtful = weights["mlm_head"] == "taken" and weights["kind"] == "checkpoint"  # an encoder's folder is sure
    if doubtful and losses.get("mlm", 0.0) > chance.get("mlm", math.inf):
        lines.append("the MLM head is worse than chance: check that the text tokenizer is the one of these weights")
    return lines
