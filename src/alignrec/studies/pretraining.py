"""Pre-train an encoder on a catalogue: where data, encoder, loop and probes meet."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alignrec.artifacts import hash_values, is_vacant, read_json, sole_writer, write_json
from alignrec.data import Dataset
from alignrec.encoders.catalogue_inputs import CatalogueInputs, inverse_document_frequency
from alignrec.encoders.encoder_folder import EncoderFolder, Readers
from alignrec.encoders.extraction import ExtractionSettings, extract
from alignrec.encoders.ica import IcaObjective
from alignrec.encoders.word_vectors import latent_word_vectors, start_words_from
from alignrec.errors import ArtifactError, DataError
from alignrec.features import FeatureTable
from alignrec.probes import zero_shot
from alignrec.runtime import keep_large_buffers, numpy_rng, resolve_device, return_freed_memory, set_threads, torch_rng
from alignrec.studies.encoder_readers import loading_workers, make_readers
from alignrec.studies.encoder_start import begin
from alignrec.studies.pretraining_plan import PretrainingPlan, make_plan
from alignrec.studies.training import TrainingStoppedError
from alignrec.training import RunFiles
from alignrec.training.encoder import MaskedItems, held_out_items, held_out_losses, pretrain

__all__ = ["pretrain_encoder"]

_IRRELEVANT = ("checkpoint_seconds", "prefetch")  # settings of training that change no number


def pretrain_encoder(
    dataset: Dataset | str | Path,
    *,
    out: str | Path,
    preset: str | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,  # Any: user input
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    resume: bool = False,
) -> EncoderFolder:
    """Train an encoder by mask-then-predict on the pictures and texts of `dataset`; interactions teach it nothing.

    `settings={"start": {"recipe": "paper", "weights": "beit3_base_patch16_224.pth", "text_tokenizer": "beit3.spm"}}`
    goes on from BEiT-3 by the published objective; without `start`, a small encoder learns from nothing.

    Args:
        dataset: a dataset or its folder.
        out: folder of the encoder; must be new, unless `resume`. `start.json` in it tells, while it trains, what it
            started from and how the visual words are used; `encoder.json` does when it is finished.
        preset: size of the encoder: tiny, small, base, large; None: that of the weights it starts from, base for the
            recipe `paper`, else tiny.
        settings: sections `start`, `encoder`, `ica`, `masking`, `training`, `catalogue`, `visual`.
        seed: decides everything that is drawn.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        threads: CPU threads; one makes the run repeatable to the byte.
        resume: go on with the run in `out`, or return it if it is finished.

    Raises:
        DataError: no text, no readable picture, or nobody to probe by where the run is to be probed.
        SettingsError: an unknown preset, section or setting, or two that exclude each other.
        UsageError: weights or tokenizers that do not fit the encoder.
        ArtifactError: `out` holds something else or is written by another process; a file to start from cannot be
            read or is something else.
        TrainingStoppedError: Ctrl-C was pressed; the state is saved.
    """
    data = dataset if isinstance(dataset, Dataset) else Dataset.load(dataset)
    folder = EncoderFolder(Path(out))
    plan = make_plan(data, preset, settings or {}, seed)
    if _already_there(folder, plan, resume):
        return folder
    _require_somebody_to_probe_by(data, plan.catalogue.probe_every)
    where = resolve_device(device)
    set_threads(threads)
    keep_large_buffers()
    readers = make_readers(folder, data, plan)
    inputs = readers.inputs(data, workers=loading_workers(), device=where)
    with sole_writer(folder.path):
        objective = _objective(plan, readers, inputs)
        beginning = begin(objective, plan, readers, inputs, where)
        write_json(folder.path / "start.json", beginning)
        return_freed_memory()  # of tokenizers and counts, which grew with the catalogue
        result = pretrain(
            objective,
            inputs,
            plan.training,
            plan.masking,
            _Validation(data, inputs, objective, plan),
            seed=seed,
            device=where,
            files=RunFiles(folder.path),
        )
        if result.status == "interrupted":
            raise TrainingStoppedError(
                f"stopped after round {result.epochs} of {plan.training.rounds}; "
                "the same command with --resume goes on from there"
            )
        about = {"plan": plan.as_dict(), "start": beginning, "held_out": result.history[-1]["valid"]}
        heads = {"mlm_head": objective.mlm_head, "mim_head": objective.mim_head}
        folder.save(objective.encoder, readers, about, heads)
        shutil.rmtree(folder.path / "checkpoint", ignore_errors=True)
    return folder


def _require_somebody_to_probe_by(data: Dataset, probe_every: int) -> None:
    if probe_every and not (np.diff(data.interactions.indptr) > 1).any():
        raise DataError(
            f"catalogue.probe_every={probe_every} probes by users with two different items, and dataset {data.name!r} "
            "has none; set it to 0"
        )


def _objective(plan: PretrainingPlan, readers: Readers, inputs: CatalogueInputs) -> IcaObjective:
    """Encoder and heads with vocabularies as the tokenizers', and rows to spare where the weights' embedding has."""
    rows = readers.text.vocab_size
    if plan.weights is not None and plan.keeps_text:
        rows = plan.weights.settings.text_vocab
    encoder = plan.encoder.model_copy(update={"text_vocab": rows, "visual_vocab": readers.visual.vocab_size})
    weights = inverse_document_frequency(inputs.tokens, rows)
    objective = IcaObjective(encoder, plan.ica, weights, torch_rng(plan.seed, "init"))
    if plan.start.words == "latent" and not plan.keeps_text:
        rng = numpy_rng(plan.seed, "latent words")
        vectors = latent_word_vectors(inputs.tokens, weights.numpy(), encoder.width, rng)
        start_words_from(vectors, objective.encoder, objective.mlm_head)
    return objective


class _Validation:
    """Losses on the held-out items, and every few rounds the zero-shot recall of all items' vectors."""

    def __init__(
        self,
        data: Dataset,
        inputs: CatalogueInputs,
        objective: IcaObjective,
        plan: PretrainingPlan,
    ) -> None:
        self._data, self._inputs, self._objective, self._seed = data, inputs, objective, plan.seed
        self._items = held_out_items(len(inputs), plan.training.held_out, plan.seed)
        if not len(self._items):
            self._items = np.arange(min(len(inputs), 64))
        self._source = MaskedItems(inputs, self._items, objective, plan.masking, plan.training, plan.seed)
        self._probe_every, self._modality = plan.catalogue.probe_every, plan.ica.modalities

    def __call__(self, number: int) -> dict[str, float]:
        figures = held_out_losses(self._source, self._items, self._objective, self._seed)
        if self._probe_every and number % self._probe_every == 0:
            for pooling in ("cls", "cls+bos"):
                shown = ExtractionSettings(pooling=pooling, post="center", modality=self._modality)
                matrix = extract(self._objective.encoder, self._inputs, shown)
                table = FeatureTable("probe", "image+text", self._data.items.ids, matrix)
                figures[f"zero-shot {pooling} recall@20"] = zero_shot(table, self._data.log, ks=(20,)).recall(20)
        return figures


def _already_there(folder: EncoderFolder, plan: PretrainingPlan, resume: bool) -> bool:
    path, described = folder.path, folder.path / "plan.json"
    if not described.is_file():
        if not is_vacant(path):
            raise ArtifactError(f"{path} exists and is not an encoder's folder; choose another --out")
        return False
    if not resume:
        raise ArtifactError(f"{path} holds an encoder's run; add --resume to go on with it, or choose another --out")
    if _identity(read_json(described)) != _identity(plan.as_dict()):
        raise ArtifactError(f"{path} holds a run with other settings, data or seed; choose another --out")
    if folder.finished:  # a kill may have come between the last file and this
        shutil.rmtree(path / "checkpoint", ignore_errors=True)
    return folder.finished


def _identity(plan: dict[str, Any]) -> str:  # Any: JSON values
    """A hash of everything that decides a run's numbers."""
    training = {name: value for name, value in plan["training"].items() if name not in _IRRELEVANT}
    return hash_values({**plan, "training": training})
