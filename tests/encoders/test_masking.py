import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignrec.encoders.masking import ImageMasking, TextMasking, as_mask, mask_blocks, mask_text
from alignrec.errors import UsageError
from alignrec.settings import Settings

MASK = 99


def texts(lengths, width=None, seed=0):
    """Rows of `<s>`, words, `</s>`, padding; (tokens, padding)."""
    width = width or max(lengths)
    tokens = np.random.default_rng(seed).integers(4, MASK, (len(lengths), width))
    tokens[:, 0] = 0
    for row, length in enumerate(lengths):
        tokens[row, length - 1] = 2
        tokens[row, length:] = 1
    tokens = torch.from_numpy(tokens)
    return tokens, tokens == 1


def hide(lengths, seed=0, starts_word=None, **values):
    tokens, padding = texts(lengths)
    rng = np.random.default_rng(seed)
    return tokens, mask_text(
        tokens, padding, rng, mask_id=MASK, starts_word=starts_word, settings=TextMasking(**values)
    )


# Texts


@given(
    lengths=st.lists(st.integers(2, 60), min_size=1, max_size=12),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
    whole=st.booleans(),
    bert=st.booleans(),
)
@settings(deadline=None)
def test_every_text_hides_its_exact_number_and_nothing_special(lengths, share, seed, whole, bert):
    starts = torch.arange(MASK + 1) % 3 == 0
    tokens, masked = hide(lengths, seed, starts, share=share, whole_word=whole, bert_801010=bert)
    expected = [min(max(int(share * n + 0.5), 1), n - 1) if n > 2 else 0 for n in lengths]
    assert masked.present.sum(1).tolist() == expected
    assert masked.targets.shape == (len(lengths), max(expected))
    for row, length in enumerate(lengths):
        where = masked.positions[row][masked.present[row]]
        assert torch.equal(where, where.unique())
        assert ((where >= 1) & (where < length)).all()
        assert torch.equal(masked.targets[row][masked.present[row]], tokens[row, where])
        seen = torch.ones(tokens.shape[1], dtype=torch.bool).index_fill_(0, where, False)
        assert torch.equal(masked.tokens[row, seen], tokens[row, seen])
        assert bert or (masked.tokens[row, where] == MASK).all()


def test_three_of_twenty_tokens_are_hidden_by_default():
    _, masked = hide([20] * 8)
    assert masked.positions.shape == (8, 3)
    assert (masked.tokens == MASK).sum(1).tolist() == [3] * 8


def test_a_text_of_no_words_hides_nothing():
    tokens, masked = hide([2, 2])
    assert torch.equal(masked.tokens, tokens)
    assert masked.positions.shape == (2, 0)


def test_one_seed_hides_the_same_and_another_seed_other_tokens():
    first, again, other = (hide([40] * 4, seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first.positions, again.positions)
    assert not torch.equal(first.positions, other.positions)


def test_every_position_but_the_first_is_hidden_equally_often():
    _, masked = hide([21] * 4000, share=0.2)
    counts = torch.bincount(masked.positions.flatten(), minlength=21)
    assert counts[0] == 0
    assert counts[1:].min() > 4000 * 0.2 * 0.85
    assert counts[1:].max() < 4000 * 0.2 * 1.15


def test_the_given_texts_are_left_as_they_are():
    tokens, padding = texts([9, 5])
    before = tokens.clone()
    mask_text(tokens, padding, np.random.default_rng(0), mask_id=MASK)
    assert torch.equal(tokens, before)


def test_flat_places_point_at_the_hidden_states_of_a_batch():
    tokens, masked = hide([12, 30, 2, 7], share=0.3)
    rows, targets = masked.flat()
    assert torch.equal(tokens.flatten()[rows], targets)
    assert len(rows) == int(masked.present.sum()) == 4 + 9 + 0 + 2


def test_as_in_bert_a_tenth_stays_and_a_tenth_is_another_word():
    _, masked = hide([60] * 2000, share=0.5, bert_801010=True)
    shown = masked.tokens.gather(1, masked.positions)
    assert (shown == MASK).float().mean() == pytest.approx(0.8, abs=0.01)
    assert (shown == masked.targets).float().mean() == pytest.approx(0.1 + 0.1 / 96, abs=0.01)
    assert shown[shown != MASK].min() >= 2  # what stays may be </s>


def test_pieces_of_a_word_are_hidden_together():
    """Words of three pieces, of which the first has an id that 3 divides; three of nine words, nine of 29 tokens."""
    starts = torch.arange(MASK + 1) % 3 == 0
    tokens = torch.tensor([[0, *[30, 31, 32] * 9, 2]]).repeat(50, 1)
    rng = np.random.default_rng(0)
    whole = TextMasking(share=0.31, whole_word=True)
    masked = mask_text(tokens, tokens == 1, rng, mask_id=MASK, starts_word=starts, settings=whole)
    words = as_mask(masked.positions, 29)[:, 1:28].view(50, 9, 3)
    hidden = words.sum(2)
    assert as_mask(masked.positions, 29).sum(1).tolist() == [9] * 50
    assert ((hidden == 1) | (hidden == 2)).sum(1).max() <= 1  # the one that is cut for the count
    assert (words[hidden > 0][:, 0]).all()


def test_whole_words_need_to_know_where_words_begin():
    with pytest.raises(UsageError, match="starts_word"):
        hide([9], whole_word=True)


# Pictures


@given(grid=st.integers(2, 20), share=st.floats(0.01, 0.99), images=st.integers(0, 9), seed=st.integers(0, 99))
@settings(deadline=None)
def test_every_picture_hides_the_same_exact_number(grid, share, images, seed):
    positions = mask_blocks(images, grid, np.random.default_rng(seed), ImageMasking(share=share))
    count = min(max(int(share * grid**2 + 0.5), 1), grid**2 - 1)
    assert (positions.shape, positions.dtype) == ((images, count), torch.int64)
    assert as_mask(positions, grid**2).sum(1).tolist() == [count] * images


def test_seventy_eight_of_beits_patches_are_hidden_by_default():
    assert mask_blocks(3, 14, np.random.default_rng(0)).shape == (3, 78)


def test_one_seed_hides_the_same_patches_and_another_seed_others():
    first, again, other = (mask_blocks(8, 6, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def hidden_neighbours(mask):
    """Mean number of hidden patches beside a hidden patch; (B, g, g) bool."""
    padded = torch.nn.functional.pad(mask.float(), (1, 1, 1, 1))
    beside = padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] + padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2]
    return float(beside[mask].mean())


@pytest.mark.parametrize("grid", [6, 14])
def test_hidden_patches_lie_in_blocks(grid):
    """Of patches hidden here and there each has about 0.4 · 4 hidden neighbours, fewer at the border."""
    rng = np.random.default_rng(0)
    blocks = as_mask(mask_blocks(300, grid, rng), grid**2)
    scattered = torch.from_numpy(rng.permuted(blocks.numpy(), axis=1))
    apart = hidden_neighbours(scattered.view(-1, grid, grid))
    assert apart < 1.6
    assert hidden_neighbours(blocks.view(-1, grid, grid)) > 1.5 * apart


def test_no_patch_is_spared_and_none_is_always_hidden():
    """Rectangles end at the border, so corners are hidden less often than the middle."""
    share = as_mask(mask_blocks(3000, 6, np.random.default_rng(0)), 36).float().mean(0)
    assert 0.1 < share.min() < share.max() < 0.65


def test_pictures_of_a_batch_hide_different_patches():
    assert len(mask_blocks(64, 14, np.random.default_rng(0)).unique(dim=0)) == 64


def test_a_single_patch_cannot_be_hidden():
    with pytest.raises(UsageError, match="1 x 1 patches"):
        mask_blocks(2, 1, np.random.default_rng(0))


@pytest.mark.parametrize("settings_class", [TextMasking, ImageMasking])
@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_all_or_nothing_is_no_share(settings_class: type[Settings], share):
    with pytest.raises(UsageError, match="share"):
        settings_class.create({"share": share})
