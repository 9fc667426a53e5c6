import sys

import pytest

from alignrec.errors import MissingExtraError
from alignrec.studies.figures.style import (
    COLOURS,
    COLUMN,
    PAGE,
    colour,
    house_style,
    line_sample,
    line_style,
    marker,
    panels,
    shared_legend,
)

CM = 1 / 2.54


def test_without_matplotlib_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'alignrec\[figures\]'"), house_style():
        pass


def test_a_users_own_settings_change_nothing_inside_and_are_back_afterwards():
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        with house_style():
            assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["axes.facecolor"]) == (8, "white")
        assert matplotlib.rcParams["font.size"] == 20


def test_no_type_is_smaller_than_seven_points():
    matplotlib = pytest.importorskip("matplotlib")
    with house_style():
        sizes = [matplotlib.rcParams[f"{part}size"] for part in ("axes.label", "xtick.label", "legend.font", "font.")]
    assert min(sizes) >= 7


def test_twenty_four_series_are_told_apart():
    looks = [(colour(place), line_style(place)) for place in range(24)]
    assert len(set(looks)) == 24
    assert len({marker(place) for place in range(6)}) == 6


@pytest.mark.parametrize("width", [COLUMN, PAGE])
@pytest.mark.parametrize(
    "labels", [["a", "b", "c"], ["a run whose settings " * 6, "b"], [f"model {n}" for n in range(9)]]
)
def test_a_legend_lies_whole_inside_the_figure_and_below_the_panels(width, labels):
    pytest.importorskip("matplotlib")
    with house_style():
        figure, axes = panels(2, per_row=2, width=width, height=4)
        for axis in axes:
            axis.set(xlabel="epoch", ylabel="share")
        shared_legend(figure, [line_sample(COLOURS[0]) for _ in labels], labels)
        figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width
    assert legend.y0 >= 0
    assert all(axis.get_tightbbox().y0 >= legend.y1 for axis in axes)
    assert axes[0].get_window_extent().height > 1.5 * CM * figure.dpi
    assert figure.get_figwidth() == pytest.approx(width * CM)
