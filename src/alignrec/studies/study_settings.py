"""A study as a YAML file describes it: rows (models with their settings) times datasets times seeds.

    name: cca
    datasets: {shop: data/shop}
    seeds: [0, 1, 2]
    rows:
      - {model: lightgcn}
      - {label: AlignRec, model: alignrec, features: [pixels+tfidf]}
      - {label: w/o CCA, model: alignrec, features: [pixels+tfidf], settings: {model.cca_weight: 0}}

A row with `axes` stands for one row per combination of their values.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, model_validator

from alignrec.errors import DataError, SettingsError
from alignrec.settings import Settings, split_name

__all__ = ["RowSettings", "StudySettings", "load_study", "sections"]

Values = dict[str, Any]  # Any: values of settings, by their names as `--set` takes them


class RowSettings(Settings):
    """One model with its features, plug-ins and settings: one row of the table, or several along its axes."""

    model: str
    """Name of a model."""
    label: str | None = None
    """What the table calls the row; by default its model, features and plug-ins."""
    features: list[str] | dict[str, list[str]] = Field(default_factory=list)
    """Feature tables; by dataset where they are not called the same everywhere."""
    plugins: list[str] = Field(default_factory=list)
    """Plug-ins whose losses are added."""
    settings: Values = Field(default_factory=dict)
    """Settings by their full names, such as `model.n_layers` or `training.lr`; the others keep their defaults."""
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    """Settings with several values each: the row stands for all their combinations."""
    datasets: list[str] | None = Field(default=None, min_length=1)
    """Names of the datasets to run on; by default all."""
    seeds: list[int] | None = Field(default=None, min_length=1)
    """Seeds of this row, where they are others than the study's."""

    @property
    def name(self) -> str:
        """The label, or what the row is made of."""
        features = f" [{', '.join(self.features)}]" if isinstance(self.features, list) and self.features else ""
        return self.label or " + ".join([self.model + features, *self.plugins])

    def is_on(self, dataset: str) -> bool:
        """Whether the row is run on the dataset of that name."""
        return self.datasets is None or dataset in self.datasets

    def features_on(self, dataset: str) -> list[str]:
        """Feature tables to use on the dataset of that name; none where the row is not run."""
        if not self.is_on(dataset):
            return []
        return self.features.get(dataset, []) if isinstance(self.features, dict) else self.features


class StudySettings(Settings):
    """Rows times datasets times seeds, and what to say of them."""

    name: str
    """What the study is called."""
    datasets: dict[str, str]
    """Folder of each dataset, by the name the tables use; relative to where the command is run."""
    rows: list[RowSettings] = Field(min_length=1)
    """What is compared."""
    seeds: list[int] = Field(default=[0], min_length=1)
    """Every row is trained once with each."""
    settings: Values = Field(default_factory=dict)
    """Settings of all rows; what a row sets itself wins."""
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    """Axes of all rows; see a row's."""
    features: dict[str, str] = Field(default_factory=dict)
    """Feature tables made where a dataset lacks them: name -> `pixels`, `tfidf` or the folder of an encoder."""
    metrics: list[str] = Field(default=["recall@20", "ndcg@20"], min_length=1)
    """Columns of the table; also figures beyond accuracy, such as coverage@20."""
    baseline: str | None = None
    """Label of the row that the others are tested against; by default the best other row."""
    question: str = ""
    """What the study asks, in a sentence: stands above its table."""
    answer: str = ""
    """What came out, in your words, once it is known; stands under the question and trains nothing anew."""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if not self.datasets:
            raise ValueError("there is no dataset; name at least one with its folder")
        for seeds in [self.seeds, *(row.seeds or [] for row in self.rows)]:
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"a seed is there twice in {seeds}; keep one")
        empty = [name for axes in (self.axes, *(row.axes for row in self.rows)) for name in axes if not axes[name]]
        if empty:
            raise ValueError(f"axis {empty[0]} has no value, which leaves no row; give at least one, or leave it out")
        for row in self.rows:
            named = [*(row.datasets or []), *(row.features if isinstance(row.features, dict) else [])]
            unknown = [name for name in named if name not in self.datasets]
            if unknown:
                there = ", ".join(self.datasets)
                raise ValueError(f"row {row.name!r} names dataset {unknown[0]!r}; there are: {there}")
        labels = [label for label, _ in self.expanded()]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice:
            raise ValueError(f"two rows are called {twice!r}; give each a label of its own")
        if self.baseline is not None and self.baseline not in labels:
            raise ValueError(f"no row is called {self.baseline!r}, the baseline; there are: {'; '.join(labels)}")
        return self

    def expanded(self) -> list[tuple[str, RowSettings]]:
        """Label and row for every combination of axes, settings of all rows joined in."""
        return [found for each in self.rows for found in self._along_axes(each)]

    def _along_axes(self, row: RowSettings) -> list[tuple[str, RowSettings]]:
        axes = {**self.axes, **row.axes}
        found = []
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            text = ", ".join(f"{name.rpartition('.')[2]}={value}" for name, value in chosen.items())
            settings = {**self.settings, **row.settings, **chosen}
            label = f"{row.name} ({text})" if chosen else row.name
            found.append((label, row.model_copy(update={"settings": settings, "axes": {}})))
        return found


def sections(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"training.lr": 0.1}` as `{"training": {"lr": 0.1}}`.

    Raises:
        SettingsError: a name without a section.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, key = split_name(name)
        found.setdefault(section, {})[key] = value
    return found


def load_study(path: str | Path, *, datasets: Mapping[str, str] | None = None) -> StudySettings:
    """Read and check the YAML file at `path`; `datasets` gives folders in place of those in the file.

    Raises:
        DataError: no such file, or not YAML.
        SettingsError: an unknown key, a value that is not allowed, or a dataset that the file does not name.
    """
    file = Path(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{file} is not a file; give the YAML file of a study") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not valid YAML ({' '.join(str(error).split())}); mend it there") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{file} holds no settings; write name, datasets and rows")
    study = StudySettings.create(content, section=file.name)
    unknown = [name for name in datasets or {} if name not in study.datasets]
    if unknown:
        raise SettingsError(f"{file.name} has no dataset {unknown[0]!r}; there are: {', '.join(study.datasets)}")
    return study.model_copy(update={"datasets": {**study.datasets, **(datasets or {})}})
