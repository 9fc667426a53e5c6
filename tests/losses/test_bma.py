import pytest
import torch

from alignrec.errors import SettingsError
from alignrec.losses import PluginInputs, create_plugin, info_nce
from alignrec.losses.bma import Bma
from alignrec.types import Batch, Embeddings, Representations

BATCH = Batch(torch.tensor([0, 3, 3, 1]), torch.tensor([5, 1, 5, 2]), torch.tensor([0, 0, 0, 0]))


def tables(seed: int) -> Embeddings:
    draw = torch.Generator().manual_seed(seed)
    return Embeddings(torch.randn(5, 4, generator=draw), torch.randn(6, 4, generator=draw))


def make(**settings: float) -> Bma:
    return create_plugin("bma", PluginInputs(4), torch.Generator(), settings)


BEHAVIOUR, CONTENT = tables(0), tables(1)
REPS = Representations(tables(2), views={"behaviour": BEHAVIOUR, "content": CONTENT})


def test_intra_aligns_users_with_their_items_inside_each_view() -> None:
    inside = [info_nce(view.users[BATCH.users], view.items[BATCH.positives], 0.2) for view in (BEHAVIOUR, CONTENT)]
    torch.testing.assert_close(make(intra_weight=0.5)(REPS, BATCH)["intra"], 0.5 * sum(inside))


def test_inter_aligns_behaviour_with_content_for_users_and_items() -> None:
    users = info_nce(BEHAVIOUR.users[BATCH.users], CONTENT.users[BATCH.users], 0.2)
    items = info_nce(BEHAVIOUR.items[BATCH.positives], CONTENT.items[BATCH.positives], 0.2)
    torch.testing.assert_close(make(inter_weight=0.5)(REPS, BATCH)["inter"], 0.5 * (users + items))


def test_a_weight_of_zero_leaves_a_part_out_and_two_leave_nothing() -> None:
    assert set(make(inter_weight=0)(REPS, BATCH)) == {"intra"}
    assert set(make(intra_weight=0)(REPS, BATCH)) == {"inter"}
    with pytest.raises(SettingsError, match="both weights are 0, so nothing is left"):
        make(intra_weight=0, inter_weight=0)
