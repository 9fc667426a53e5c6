from importlib.resources import files

import pytest
import yaml

from alignrec.errors import UsageError
from alignrec.studies.reproduction.published import PAPERS, PublishedFigure, elsewhere, published_paper, published_table


@pytest.mark.parametrize(
    ("paper", "table", "dataset", "row", "column", "value"),
    [
        ("cikm24", "table2", "Baby", "AlignRec", "recall@20", 0.1046),
        ("cikm24", "table2", "Electronics", "FREEDOM", "ndcg@20", 0.0262),
        ("cikm24", "table3", "Baby", "AlignRec", "item-cf recall@50", 0.135),
        ("cikm24", "table4", "Sports", "BM3 [CLIP]", "memory decrease %", 13.02),
        ("cikm24", "table9", "Sports", "FREEDOM", "parameters (M)", 85.96),
        ("fettle", "table2", "Clothing", "NCL+FETTLE", "recall@10", 0.0433),
        ("fettle", "table3", "Sports", "+ILA&CLA&DT", "ndcg@20", 0.0492),
        ("dream", "table3", "Clothing", "w/o Intra-Alignment", "recall@20", 0.0951),
        ("mmrec", "splits", "Baby", "split", "train", 118551),
        ("mmrec", "readme", "Sports", "FREEDOM", "ndcg@50", 0.0618),
    ],
)
def test_figures_are_those_of_the_papers(paper, table, dataset, row, column, value):
    assert published_table(paper, table).figure(dataset, row, column) == PublishedFigure(value)


def test_table_8_has_standard_deviations():
    assert published_table("cikm24", "table8").figure("Baby", "w/o REG", "recall@20") == PublishedFigure(0.094, 0.0012)


def test_a_cell_the_paper_leaves_empty_is_none():
    assert published_table("cikm24", "table4").figure("Baby", "BM3 [Amazon]", "memory decrease %") is None


def test_hyper_parameters_are_as_the_paper_names_them():
    assert published_paper("cikm24").settings["learning_rate"] == [0.0003, 0.0001]


def test_notes_stand_at_the_cells_they_concern():
    table = published_table("fettle", "table2")
    assert any("likely .0392" in note.text for note in table.notes_on("Clothing", "SGL", "recall@10"))
    assert table.notes_on("Clothing", "SGL", "ndcg@20") == ()
    assert table.notes_on("Baby", "SGL") == ()
    assert [note.text[:5] for note in published_table("dream", "table2").notes_on("Clothing", "BM3")] == ["these"]


def test_every_note_concerns_a_cell_that_is_there():
    for key in PAPERS:
        for table in published_paper(key).tables.values():
            cells = [(d, r, c) for d in table.datasets for r in table.rows(d) for c in table.columns]
            assert all(any(note.concerns(*cell) for cell in cells) for note in table.notes)


def test_papers_that_print_different_numbers_for_one_cell_are_found():
    values = {"cikm24": 0.0575, "fettle": 0.0595, "dream": 0.0575, "mmrec": 0.0575}
    assert elsewhere("Baby", "BPR", "recall@20") == values
    assert elsewhere("Baby", "MGCN", "recall@20") == {}


def test_unknown_names_list_what_there_is():
    with pytest.raises(UsageError, match="no published numbers of 'x'; there are: cikm24, fettle, dream, mmrec"):
        published_paper("x")
    with pytest.raises(UsageError, match="no table 'table7' of dream has numbers; there are: table1"):
        published_table("dream", "table7")


def test_the_numbers_are_data_of_the_package():
    folder = files("alignrec.studies.reproduction") / "published_tables"
    assert {entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml")} == {f"{k}.yaml" for k in PAPERS}


# Every figure against the reference collection, where that is at hand.

_PAPER = {"AlignRec_CIKM24": "cikm24", "FETTLE_SIGIR24": "fettle", "DREAM_arXiv2404.11119v2": "dream"}
_TABLE = {"official_log_NCL_clothing_seed999": "log-ncl", "split_sizes": "splits", "evaluation_readme": "readme"}
_TABLE |= {"convergence_epochs_baby": "figure11", "table2_average_improvement": "table2-average"}
_COLUMN = {"inters": "interactions", "sparsity_pct": "sparsity %", "MEM_decrease_pct": "memory decrease %"}
_COLUMN |= {"params_M": "parameters (M)", "inference_s": "inference (s)"}
_PROTOCOL = {"zero_shot": "zero-shot", "mask50_vision": "vision masked", "mask50_text": "text masked"}


def _name(column):
    if column.startswith(("R@", "N@")):
        return {"R": "recall", "N": "ndcg"}[column[0]] + column[1:]
    return _COLUMN.get(column, column.replace("_", " "))


def _place(table, path):
    """Dataset, row and column of a leaf of the reference."""
    if table == "table3_intermediate":
        dataset, protocol, features, column = path
        return dataset, features, f"{_PROTOCOL.get(protocol, 'item-cf')} {_name(column)}"
    if table == "table4_feature_replacement":
        dataset, model, features, column = path
        return dataset, f"{model} [{features}]", _name(column)
    if table == "official_log_NCL_clothing_seed999":
        return "Clothing", path[0], _name(path[1])
    if table == "convergence_epochs_baby":
        return "Baby", path[0], "epochs"
    if table == "split_sizes":
        return path[0], "split", _name(path[1])
    if table == "table1_dataset_statistics":
        row = "raw" if path[1] == "raw" else "5-core"
        return path[0], row, _name(path[-1])
    if table == "table2_average_improvement":
        method, _, kind = path[1].partition("_avg_improvement_pct_")
        return path[0], f"{method} on {kind}", f"{_name(path[2])} %"
    if table == "other":
        return (
            ("Sports", "AlignRec", path[1]) if path[1] in ("before", "after") else (path[1], "AlignRec", "recall@20 %")
        )
    return path[0], str(path[1]).replace("Aligment", "Alignment"), _name(path[2])


def _leaves(value, path=()):
    if isinstance(value, dict) and set(value) != {"mean", "std"}:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def test_all_figures_equal_the_reference_collection(published_collection):
    reference = yaml.safe_load(published_collection.read_text(encoding="utf-8"))
    expected = {}
    for paper, tables in reference.items():
        if paper == "inconsistencies":
            continue
        for table, content in tables.items():
            if table == "table7_hyperparameters":
                assert published_paper("cikm24").settings == content
                continue
            short = _TABLE.get(table, table.partition("_")[0])
            for path, value in _leaves(content):
                name = {"alignment_cosine_sports": "text-alignment", "stated_improvement_R20_pct": "text-improvement"}
                key = name.get(path[0], short)
                figure = PublishedFigure(**_figure(value))
                expected[_PAPER.get(paper, "mmrec"), key, *_place(table, path)] = figure
    found = {
        (key, table.name, dataset, row, column): figure
        for key in PAPERS
        for table in published_paper(key).tables.values()
        for dataset, rows in table.figures.items()
        for row, cells in rows.items()
        for column, figure in cells.items()
    }
    assert len(found) > 1300
    assert found == expected


def _figure(value):
    return {"value": value["mean"], "std": value["std"]} if isinstance(value, dict) else {"value": value}


def test_the_conflicts_of_the_reference_collection_are_found(published_collection):
    listed = yaml.safe_load(published_collection.read_text(encoding="utf-8"))["inconsistencies"]["cross_seed_R20"]
    keys = {"AlignRec": "cikm24", "FETTLE": "fettle", "DREAM": "dream", "MMRec": "mmrec"}
    for conflict in listed:
        values = {keys[paper]: value for paper, value in conflict["values"].items()}
        assert elsewhere(conflict["dataset"], conflict["model"], "recall@20") == values
