import json
from pathlib import Path

import pytest
from PIL import Image

from alignrec.errors import ArtifactError, UsageError
from alignrec.studies.learning_curve import LearningCurve, draw_learning_curve, read_learning_curve


@pytest.fixture
def encoder(tmp_path):
    """The log of two rounds of 25 steps, the second with a probe."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps({"training": {"round_steps": 25}}))
    lines = [
        {"epoch": 1, "valid": {"ica": -9.0, "mlm": 5.0, "mim": 4.0}},
        {"epoch": 2, "valid": {"ica": -7.0, "mlm": 4.0, "mim": 3.0, "zero-shot cls recall@20": 0.125}},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_rounds_become_steps_and_probes_are_told_from_losses(encoder):
    curve = read_learning_curve(encoder)
    assert curve.losses == {"mlm": ((25, 5.0), (50, 4.0)), "mim": ((25, 4.0), (50, 3.0))}
    assert curve.probes == {"cls recall@20": ((50, 0.125),)}


def test_the_picture_names_every_series_and_baseline(encoder, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "new" / "curve.svg"
    draw_learning_curve(read_learning_curve(encoder), out, {"tfidf": 0.139})
    drawn = out.read_text()
    for name in ("mlm", "mim", "cls recall@20", "tfidf", "steps", "zero-shot recall"):
        assert f"<!-- {name} -->" in drawn, f"{name} is not written in the picture"


def test_without_probes_there_is_one_panel_of_column_width(encoder, tmp_path):
    pytest.importorskip("matplotlib")
    losses_only = LearningCurve(read_learning_curve(encoder).losses, {})
    draw_learning_curve(losses_only, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == (669, 551)  # 8.5 cm wide, at 200 dots an inch


def test_a_picture_that_cannot_be_written_leaves_the_one_before(encoder, tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure").Figure
    out = tmp_path / "curve.pdf"
    curve = read_learning_curve(encoder)
    draw_learning_curve(curve, out)
    before = out.read_bytes()

    def full_disk(_figure, target, **_):
        if isinstance(target, Path):
            target.write_bytes(b"%PDF")
        raise OSError("no space left on device")

    monkeypatch.setattr(figure, "savefig", full_disk)
    with pytest.raises(OSError, match="no space"):
        draw_learning_curve(curve, out)
    assert out.read_bytes() == before


def test_another_format_an_empty_log_and_a_folder_without_one_are_refused(encoder, tmp_path):
    with pytest.raises(UsageError, match=r"cannot draw to 'curve.gif'; let it end in .png, .svg, .pdf"):
        draw_learning_curve(read_learning_curve(encoder), tmp_path / "curve.gif")
    with pytest.raises(UsageError, match="nothing to draw yet"):
        draw_learning_curve(LearningCurve({}, {}), tmp_path / "curve.png")
    with pytest.raises(ArtifactError, match=r"has no metrics.jsonl"):
        read_learning_curve(tmp_path)
    assert not list(tmp_path.glob("curve.*"))
