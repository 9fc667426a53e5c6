"""FETTLE against its authors' numbers, and what its settings switch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from golden import Golden, assert_close, load_golden

from alignrec.errors import SettingsError
from alignrec.losses import PluginInputs, create_plugin
from alignrec.losses.fettle import Fettle, FettleConfig
from alignrec.types import Batch, Embeddings, Representations

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}
PARTS = ("item_alignment", "direction_tuning", "cluster_alignment")
# ours: all ordered pairs of (id, image, text); theirs: d, i, t
MAPS = ("d2i", "d2t", "i2d", "i2t", "t2d", "t2i")


def make(**settings: Any) -> Fettle:
    small = {"user_item_prototypes": 12, "content_prototypes": 12}
    inputs = PluginInputs(8, ("image", "text"))
    return create_plugin("fettle", inputs, torch.Generator().manual_seed(0), {**small, **settings})


def only(*parts: str) -> dict[str, bool]:
    return {part: part in parts for part in PARTS}


def inputs_of(golden: Golden, dtype: torch.dtype) -> Representations:
    tables = [golden.tensors[f"input/{name}"].to(dtype).requires_grad_() for name in ("user", "id", "image", "text")]
    return Representations(Embeddings(*tables[:2]), dict(zip(("image", "text"), tables[2:], strict=True)))


def batch_of(golden: Golden) -> Batch:
    positives = golden.tensors["batch/pos"]
    return Batch(golden.tensors["batch/users"], positives, torch.zeros_like(positives))


def assert_input_gradients(reps: Representations, golden: Golden, tolerance: float, *, users: bool) -> None:
    tables = {"id": reps.final.items, **reps.content}
    for name, table in {"user": reps.final.users, **tables}.items():
        found = torch.zeros_like(table) if table.grad is None else table.grad
        assert_close(found, golden.tensors[f"grad/input.{name}"], tolerance, f"gradient of {name}")
    assert (reps.final.users.grad is not None) == users


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_item_level_losses_and_gradients_equal_the_authors(goldens: Path, dtype: torch.dtype) -> None:
    golden, tolerance = load_golden(goldens, "fettle_ila_dt"), TOLERANCE[dtype]
    plugin = make(**only("item_alignment", "direction_tuning"), item_weight=1.0).to(dtype)
    with torch.no_grad():
        plugin.maps.copy_(torch.stack([golden.tensors[f"param/{name}_map.weight"] for name in MAPS]))
        plugin.item_temperature.copy_(golden.tensors["param/temp"])
    reps = inputs_of(golden, dtype)
    terms = plugin(reps, batch_of(golden))
    assert set(terms) == {"ila", "dt"}
    for name, term in terms.items():
        assert_close(term.detach(), golden.tensors[f"loss/{name}"], tolerance, name)
    sum(terms.values()).backward()
    assert_input_gradients(reps, golden, tolerance, users=False)
    for number, name in enumerate(MAPS):
        assert_close(plugin.maps.grad[number], golden.tensors[f"grad/{name}_map.weight"], tolerance, name)
    assert_close(plugin.item_temperature.grad, golden.tensors["grad/temp"], tolerance, "gradient of the temperature")


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_cluster_losses_and_gradients_equal_the_authors(goldens: Path, dtype: torch.dtype) -> None:
    golden, tolerance = load_golden(goldens, "fettle_cla"), TOLERANCE[dtype]
    plugin = make(**only("cluster_alignment"), cluster_weight=1.0).to(dtype)
    codebooks = {"feat2code": plugin.user_item_codebook, "ii2code": plugin.content_codebook}
    with torch.no_grad():
        for name, codebook in codebooks.items():
            codebook.copy_(golden.tensors[f"param/{name}.weight"])
        plugin.cluster_temperature.copy_(golden.tensors["param/gamma"])
    reps = inputs_of(golden, dtype)
    terms = plugin(reps, batch_of(golden))
    assert set(terms) == {"ui", "itv"}
    for name, term in terms.items():
        assert_close(term.detach(), golden.tensors[f"loss/{name}"], tolerance, name)
    sum(terms.values()).backward()
    assert_input_gradients(reps, golden, tolerance, users=True)
    for name, codebook in codebooks.items():
        assert_close(codebook.detach(), golden.tensors[f"param_after/{name}.weight"], tolerance, f"{name} after")
        assert_close(codebook.grad, golden.tensors[f"grad/{name}.weight"], tolerance, f"gradient of {name}")
    assert_close(plugin.cluster_temperature.grad, golden.tensors["grad/gamma"], tolerance, "gradient of gamma")


def random_inputs(n_modalities: int = 2) -> tuple[Representations, Batch]:
    draw = torch.Generator().manual_seed(7)
    users, items, *content = (torch.randn(n, 8, generator=draw) for n in (10, 9, *[9] * n_modalities))
    names = ("image", "text", "audio")[:n_modalities]
    pairs = torch.randint(9, (2, 30), generator=draw)
    return Representations(Embeddings(users, items), dict(zip(names, content, strict=True))), Batch(*pairs, pairs[1])


@pytest.mark.parametrize(
    ("parts", "terms", "parameters"),
    [
        (("item_alignment",), {"ila"}, {"maps", "item_temperature"}),
        (("direction_tuning",), {"dt"}, {"maps"}),
        (("cluster_alignment",), {"ui", "itv"}, {"user_item_codebook", "content_codebook", "cluster_temperature"}),
        (("item_alignment", "cluster_alignment"), {"ila", "ui", "itv"}, None),
        (PARTS, {"ila", "dt", "ui", "itv"}, None),
    ],
)
def test_parts_switch_separately_and_bring_only_their_parameters(parts, terms, parameters) -> None:
    plugin, whole = make(**only(*parts)), make()
    found, everything = plugin(*random_inputs()), make()(*random_inputs())
    assert set(found) == terms
    if parameters is not None:
        assert {name for name, _ in plugin.named_parameters()} == parameters
    if "maps" in dict(plugin.named_parameters()):  # the first to be drawn
        assert torch.equal(plugin.maps, whole.maps)
        assert all(torch.equal(found[name], everything[name]) for name in terms & {"ila", "dt"})


def test_weights_scale_their_parts() -> None:
    small, large = (make(item_weight=w, cluster_weight=2 * w)(*random_inputs()) for w in (0.5, 5.0))
    for name, value in small.items():
        torch.testing.assert_close(10 * value, large[name])


def test_the_directions_differ_and_a_threshold_out_of_reach_is_directed() -> None:
    rules = [{"direction": "directed"}, {"direction": "topmost"}, {"direction": "bidirectional"}]
    ila = [make(**rule)(*random_inputs())["ila"].item() for rule in rules]
    assert len(set(ila)) == 3
    assert make(direction="bidirectional", threshold=1.0)(*random_inputs())["ila"].item() == ila[0]


def test_feedback_by_dot_products_scales_with_the_users_and_by_cosines_does_not() -> None:
    reps, batch = random_inputs()
    longer = Representations(Embeddings(3 * reps.final.users, reps.final.items), reps.content)
    for feedback, factor in (("cosine", 1.0), ("dot", 3.0)):
        plugin = make(feedback=feedback)
        torch.testing.assert_close(plugin(longer, batch)["dt"], factor * plugin(reps, batch)["dt"])
        torch.testing.assert_close(plugin(longer, batch)["ila"], plugin(reps, batch)["ila"])


def test_temperatures_learn_within_bounds_or_stay() -> None:
    learned, fixed = make(), make(learn_temperatures=False)
    assert learned.item_temperature.requires_grad
    assert not fixed.item_temperature.requires_grad
    assert not fixed.cluster_temperature.requires_grad
    with torch.no_grad():
        learned.item_temperature.fill_(-1.0)
        learned.cluster_temperature.fill_(7.0)
    learned(*random_inputs())
    assert learned.item_temperature.item() == pytest.approx(0.001)
    assert learned.cluster_temperature.item() == pytest.approx(0.99)


def test_rows_of_the_batch_alone_give_what_all_rows_give() -> None:
    reps, batch = random_inputs()
    users, user_rows = torch.unique(batch.users, return_inverse=True)
    items, item_rows = torch.unique(batch.positives, return_inverse=True)
    part = Representations(
        Embeddings(reps.final.users[users], reps.final.items[items]),
        {name: table[items] for name, table in reps.content.items()},
        user_ids=users,
        item_ids=items,
    )
    expected, found = make()(reps, batch), make()(part, Batch(user_rows, item_rows, item_rows))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("feedback", ["cosine", "dot"])
def test_an_item_without_a_picture_moves_nothing_by_its_picture(feedback: str) -> None:
    reps, batch = random_inputs()
    image = reps.content["image"]
    image[batch.positives[0]] = 0.0
    image.requires_grad_()
    sum(make(feedback=feedback)(reps, batch).values()).backward()
    assert not image.grad[batch.positives[0]].any()
    assert 0 < image.grad.abs().max() < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (only(), "are all off; switch one on"),
        ({"threshold": 0.5}, "threshold needs direction=bidirectional, not directed"),
        ({"direction": "sideways"}, r"setting 'plugin\.fettle\.direction' cannot be 'sideways'"),
        ({"item_temperature": 0.6}, r"setting 'plugin\.fettle\.item_temperature' cannot be 0\.6"),
        ({"alpha": 1}, r"unknown setting 'plugin\.fettle\.alpha'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make(**settings)


def test_defaults_are_those_of_the_released_run() -> None:
    config = FettleConfig()
    assert (config.item_weight, config.cluster_weight) == (1e-3, 1e-3)
    assert (config.item_temperature, config.cluster_temperature) == (0.1, 0.3)
    assert (config.user_item_prototypes, config.content_prototypes) == (10240, 10240)
