import torch

from alignrec.losses import Needs, PluginInputs, create_plugin, info_nce
from alignrec.losses.content_alignment import ContentAlignment, ContentAlignmentConfig
from alignrec.types import Batch, Embeddings, Representations


def tables(seed: int) -> Embeddings:
    draw = torch.Generator().manual_seed(seed)
    return Embeddings(torch.randn(5, 4, generator=draw), torch.randn(6, 4, generator=draw))


def test_pulls_content_toward_behaviour_for_items_and_users() -> None:
    behaviour, content = tables(0), tables(1)
    reps = Representations(tables(2), views={"behaviour": behaviour, "content": content})
    batch = Batch(torch.tensor([0, 3, 3]), torch.tensor([5, 1, 5]), torch.tensor([0, 0, 0]))
    terms = create_plugin("cca", PluginInputs(4), torch.Generator(), {"weight": 2.0, "temperature": 0.5})(reps, batch)
    for name, side, ids in (("items", "items", batch.positives), ("users", "users", batch.users)):
        anchors, targets = (getattr(view, side)[ids] for view in (content, behaviour))
        torch.testing.assert_close(terms[name], 2.0 * info_nce(anchors, targets, 0.5))


def test_needs_both_views() -> None:
    assert ContentAlignment.needs(ContentAlignmentConfig()) == Needs(views=True)
