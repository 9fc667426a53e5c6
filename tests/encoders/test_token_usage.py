import torch

from alignrec.encoders.token_usage import TokenUsage, measure_usage


def test_words_used_evenly_have_the_perplexity_of_their_number():
    usage = measure_usage([torch.arange(8), torch.arange(8).view(2, 4)], 16)
    assert (usage.tokens, usage.used, round(usage.perplexity, 9), usage.largest) == (16, 8, 8.0, 0.125)
    assert usage.used_share == 0.5


def test_one_word_for_everything_has_perplexity_one():
    usage = measure_usage([torch.zeros(10, dtype=torch.int64)], 4)
    assert (usage.used, usage.perplexity, usage.largest) == (1, 1.0, 1.0)


def test_half_one_word_and_half_two_others_is_worked_by_hand():
    """Shares 1/2, 1/4, 1/4: entropy 1.5 bits, perplexity 2^1.5."""
    assert abs(measure_usage([torch.tensor([0, 0, 1, 2])], 3).perplexity - 2**1.5) < 1e-12


def test_nothing_counted_is_nothing_used():
    assert measure_usage([], 4) == TokenUsage(4, 0, 0, 0.0, 0.0)


def test_it_survives_json():
    usage = measure_usage([torch.tensor([0, 0, 1, 2])], 3)
    assert TokenUsage.from_dict(usage.as_dict()) == usage


def test_it_reads_as_one_line():
    text = str(measure_usage([torch.tensor([0, 0, 1, 2])], 4))
    assert text == "3 of 4 words used, perplexity 3, the most frequent is 50.0% of 4 patches"
