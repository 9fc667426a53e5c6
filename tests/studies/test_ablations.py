import pytest

from alignrec.errors import AlignrecError
from alignrec.losses import plugin_class
from alignrec.models import model_class
from alignrec.studies.ablations import ABLATIONS, ablation_rows
from alignrec.studies.study_settings import sections


def test_the_rows_are_those_of_the_paper_s_table():
    rows = ablation_rows("alignrec", features=["ica"], without={"image": ["ica-text"], "text": ["ica-image"]})
    assert [row.label for row in rows] == ["AlignRec", "w/o CCA", "w/o UIA", "w/o REG", "w/o Vision", "w/o Text"]
    assert [row.features for row in rows] == [["ica"]] * 4 + [["ica-text"], ["ica-image"]]


def test_a_modality_without_its_own_features_is_left_out_or_asked_for():
    assert len(ablation_rows("alignrec", features=["ica"])) == 4
    with pytest.raises(AlignrecError, match="'w/o Text' needs features without text; give them with --without text="):
        ablation_rows("alignrec", features=["ica"], only=["w/o Text"])


def test_fettle_is_added_part_by_part_to_a_host():
    rows = ablation_rows("fettle", features=["a", "b"], host="vbpr")
    assert [(row.label, row.model, row.plugins) for row in rows][:2] == [
        ("VBPR", "vbpr", []),
        ("+ILA", "vbpr", ["fettle"]),
    ]
    config = plugin_class("fettle").Config
    parts = [config.create(sections(row.settings).get("plugin.fettle")) for row in rows[1:]]
    assert [(p.item_alignment, p.cluster_alignment, p.direction_tuning) for p in parts] == [
        (True, False, False), (False, True, False), (True, True, False), (True, True, True),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_variant_is_made_of_settings_that_exist(name):
    for variant in ABLATIONS[name]:
        for section, values in sections(variant.settings).items():
            cls = plugin_class("fettle") if section.startswith("plugin") else model_class(name)
            cls.Config.create(values, section=section)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"name": "bpr"}, "no ablation is called 'bpr'; there are: alignrec, dream, fettle"),
        ({"name": "dream", "only": ["w/o X"]}, "no variant 'w/o X' in the ablation of dream"),
        ({"name": "dream", "without": {"audio": ["f"]}}, "'audio' cannot be taken away; allowed: image, text"),
    ],
)
def test_what_cannot_be_taken_away_is_refused(asked, message):
    with pytest.raises(AlignrecError, match=message):
        ablation_rows(**{"features": ["f"], **asked})
