import numpy as np
import pytest
import torch
from PIL import Image

from alignrec.encoders.patch_descriptors import COLOURS, DESCRIPTOR_SIZE, EDGES, SPREADS, describe_patches, flat_patches
from alignrec.errors import UsageError


def by_quarter(descriptor):
    """(38,) → (quarter, direction)."""
    return descriptor[EDGES].view(4, 8)


def stripes(angle, side=16):
    """Waves that run in the direction `angle` (degrees, clockwise from the right as rows go down)."""
    down, across = torch.meshgrid(torch.arange(side).float(), torch.arange(side).float(), indexing="ij")
    turn = torch.deg2rad(torch.tensor(float(angle)))
    wave = torch.sin((across * turn.cos() + down * turn.sin()) * 0.8) / 2 + 0.5
    return wave.expand(1, 3, side, side)


def test_a_red_patch_is_its_colour_and_nothing_else():
    red = torch.tensor([204, 51, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    [[described]] = describe_patches(red, 8)
    assert described.shape == (DESCRIPTOR_SIZE,)
    assert described[COLOURS].tolist() == pytest.approx([0.8, 0.2, 0.0])
    assert described[SPREADS].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert described[EDGES].abs().max() < 1e-3


def test_half_black_half_white_deviates_by_one_half():
    halves = torch.zeros(1, 3, 8, 8)
    halves[..., 4:] = 1
    [[described]] = describe_patches(halves, 8)
    assert described[COLOURS].tolist() == pytest.approx([0.5] * 3)
    assert described[SPREADS].tolist() == pytest.approx([0.5] * 3)


def test_a_vertical_edge_is_in_the_first_direction_of_the_quarters_it_runs_through():
    """Black until column 3, white from column 4: gradients of 1/2 in columns 3 and 4, one of four in each quarter."""
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    [[described]] = describe_patches(edge, 8)
    expected = torch.zeros(4, 8)
    expected[:, 0] = (0.5 / 4) ** 0.5
    assert torch.allclose(by_quarter(described), expected, atol=1e-6)


def test_a_horizontal_edge_is_a_quarter_turn_away():
    edge = torch.zeros(1, 3, 8, 8)
    edge[:, :, 6:] = 1  # only through the lower quarters
    [[described]] = describe_patches(edge, 8)
    quarters = by_quarter(described)
    assert quarters.argmax(1)[2:].tolist() == [4, 4]
    assert quarters[:2].abs().max() == 0


@pytest.mark.parametrize("direction", range(8))
def test_each_direction_has_its_bin(direction):
    [[described]] = describe_patches(stripes(22.5 * direction), 16)
    assert by_quarter(described).sum(0).argmax() == direction


def test_an_edge_from_dark_to_light_is_as_one_from_light_to_dark():
    wave = stripes(30)
    assert torch.allclose(describe_patches(wave, 16)[..., EDGES], describe_patches(1 - wave, 16)[..., EDGES], atol=1e-4)


def test_a_gradient_between_two_directions_is_shared_by_both():
    ramp = torch.arange(16).float() / 64
    diagonal = (ramp[:, None] * np.tan(np.radians(11.25)) + ramp[None, :]).expand(1, 3, 16, 16)
    inner = describe_patches(torch.nn.functional.pad(diagonal, (8, 8, 8, 8), mode="replicate"), 16)
    near = by_quarter(describe_patches(diagonal, 16)[0, 0]).sum(0)
    assert inner.isfinite().all()
    assert near[:2].min() > 0.2
    assert near[2:4].max() < 0.01


def test_patches_come_row_by_row():
    picture = torch.zeros(1, 3, 16, 16)
    picture[0, :, 8:, :8] = 1  # lower left
    assert describe_patches(picture, 8)[0, :, 0].tolist() == [0, 0, 1, 0]


def test_bytes_and_shares_of_one_are_described_alike():
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), dtype=np.uint8))
    assert torch.equal(describe_patches(noise, 8), describe_patches(noise.float() / 255, 8))


def test_mean_colours_are_those_of_a_reduced_picture():
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    small = np.asarray(Image.fromarray(noise).reduce(8)).reshape(4, 3)
    described = describe_patches(torch.from_numpy(noise.transpose(2, 0, 1).copy())[None], 8)[0, :, COLOURS]
    assert (described * 255).numpy() == pytest.approx(small, abs=1)


def test_flat_patches_are_those_where_no_colour_varies():
    picture = torch.full((1, 3, 8, 16), 0.7)
    picture[0, 2, :4, 8:] = 0.6  # a bluish half in the second patch: deviation 0.05
    described = torch.cat([describe_patches(half, 8) for half in picture.split(8, dim=3)], 1)
    assert flat_patches(described, 0.02).tolist() == [[True, False]]


def test_a_patch_without_quarters_is_refused():
    with pytest.raises(UsageError, match="even number"):
        describe_patches(torch.zeros(1, 3, 9, 9), 3)
