import numpy as np
import torch
from torch.nn.functional import normalize

from alignrec.losses import Needs, PluginInputs, create_plugin, similarity_regularizer
from alignrec.losses.feature_similarity import FeatureSimilarity, FeatureSimilarityConfig
from alignrec.types import Batch, Embeddings, Representations

DRAW = np.random.default_rng(0)
IMAGE, TEXT = DRAW.normal(size=(6, 5)).astype(np.float32), DRAW.normal(size=(6, 3)).astype(np.float32)
CONTENT, FINAL = (torch.from_numpy(DRAW.normal(size=(6, 4)).astype(np.float32)) for _ in range(2))
BATCH = Batch(torch.tensor([0, 1, 0, 1]), torch.tensor([5, 2, 5, 3]), torch.tensor([0, 0, 0, 0]))


def make(features: dict, **settings: object) -> FeatureSimilarity:
    return create_plugin("reg", PluginInputs(4, features=features), torch.Generator(), settings)


def reps(items: torch.Tensor, content: torch.Tensor, item_ids: torch.Tensor | None = None) -> Representations:
    users = torch.zeros(2, 4)
    return Representations(Embeddings(users, items), views={"content": Embeddings(users, content)}, item_ids=item_ids)


def test_compares_the_content_view_with_cosines_of_the_features() -> None:
    found = make({"image": IMAGE}, weight=0.5)(reps(FINAL, CONTENT), BATCH)["items"]
    rows = BATCH.positives
    torch.testing.assert_close(found, 0.5 * similarity_regularizer(CONTENT[rows], torch.from_numpy(IMAGE)[rows]))


def test_several_modalities_count_alike_whatever_their_scale() -> None:
    both = make({"image": 100 * IMAGE, "text": TEXT})(reps(FINAL, CONTENT), BATCH)["items"]
    mean = torch.stack([n @ n.t() for n in (normalize(torch.from_numpy(t)) for t in (IMAGE, TEXT))]).mean(0)
    rows = BATCH.positives
    distance = (CONTENT @ CONTENT.t() - mean)[rows][:, rows].norm() / len(rows)
    torch.testing.assert_close(both, 0.1 * distance)


def test_finds_the_features_of_the_items_it_is_shown() -> None:
    plugin, ids = make({"image": IMAGE}), torch.tensor([2, 3, 5])
    part = Batch(BATCH.users, torch.tensor([2, 0, 2, 1]), BATCH.negatives)
    torch.testing.assert_close(
        plugin(reps(FINAL[ids], CONTENT[ids], ids), part)["items"], plugin(reps(FINAL, CONTENT), BATCH)["items"]
    )


def test_can_be_put_on_what_is_scored_and_then_needs_no_view() -> None:
    found = make({"image": IMAGE}, table="final", form="cosine")(reps(FINAL, CONTENT), BATCH)["items"]
    rows = BATCH.positives
    expected = similarity_regularizer(FINAL[rows], torch.from_numpy(IMAGE)[rows], "cosine")
    torch.testing.assert_close(found, 0.1 * expected)
    assert FeatureSimilarity.needs(FeatureSimilarityConfig(table="final")) == Needs(features=True)
    assert FeatureSimilarity.needs(FeatureSimilarityConfig()) == Needs(features=True, views=True)


def test_features_are_not_among_the_weights() -> None:
    assert make({"image": IMAGE}).state_dict() == {}
