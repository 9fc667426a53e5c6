import torch
from checkerboard import checkerboard

from alignrec.models import create_model
from alignrec.types import Batch


def test_the_norm_term_is_the_norm_and_not_its_square() -> None:
    model = create_model("bpr", checkerboard()[0], torch.Generator(), {"embedding_size": 4, "reg_weight": 1.0})
    with torch.no_grad():
        model.user_embedding.fill_(1.0)  # two rows of four ones: norm sqrt(8)
        model.item_embedding.zero_()
    batch = Batch(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([4, 5]))
    terms = model.losses(model.represent(), batch)
    torch.testing.assert_close(terms["norm"], torch.tensor(8.0).sqrt() / 2)
    torch.testing.assert_close(terms["bpr"], torch.tensor(2.0).log())
