import pytest
import torch

from alignrec.encoders.pixel_values import patches_per_side, standardise, unit_values
from alignrec.errors import UsageError


def test_bytes_and_shares_of_one_mean_the_same():
    picture = torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4) * 5
    assert torch.equal(unit_values(picture), picture.float() / 255)
    assert torch.equal(standardise(picture), standardise(picture.float() / 255))


def test_black_is_minus_one_and_white_is_one():
    picture = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    assert standardise(picture).unique().tolist() == [-1, 1]


@pytest.mark.parametrize("picture", [torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, 3), torch.zeros(1, 3, 4, 4).long()])
def test_what_is_no_batch_of_pictures_is_refused(picture):
    with pytest.raises(UsageError, match="give"):
        unit_values(picture)


def test_the_grid_is_side_by_patch():
    assert patches_per_side(224, 224, 16) == 14


@pytest.mark.parametrize(("height", "width"), [(32, 40), (36, 36), (0, 0), (4, 4)])
def test_what_cannot_be_cut_into_a_square_of_patches_is_refused(height, width):
    with pytest.raises(UsageError, match="8 x 8 patches"):
        patches_per_side(height, width, 8)
