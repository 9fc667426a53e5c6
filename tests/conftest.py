"""Fixtures all tests share. One thread: results repeat to the byte and two workers do not fight."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import hypothesis
import pytest
import torch

from alignrec.losses import registry as plugin_registry
from alignrec.models import registry as model_registry

torch.set_num_threads(1)

# the same examples everywhere, so that a red test is red for everybody; HYPOTHESIS_PROFILE=explore looks for new ones
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

ROOT = Path(__file__).resolve().parent.parent
GOLDENS = Path(__file__).resolve().parent / "goldens"
SHARED = Path(os.environ.get("ALIGNREC_SHARED", ROOT.parent / "shared"))


@pytest.fixture
def forgotten_extensions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports as an extension is gone after it: names of models and plug-ins, modules, the variable."""
    monkeypatch.setenv("ALIGNREC_IMPORT", "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = set(sys.modules)
    tables = [(table, dict(table)) for table in (model_registry._MODELS, plugin_registry._PLUGINS)]
    yield
    for table, before in tables:
        table.clear()
        table.update(before)
    for name in set(sys.modules) - modules:
        if not name.startswith("alignrec."):
            del sys.modules[name]


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Numbers computed with the papers' authors' code on a tiny dataset."""
    return GOLDENS


@pytest.fixture(scope="session")
def research_data() -> Path:
    """Real datasets for development; not part of the project."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"research data not found at {folder}")
    return folder


@pytest.fixture(scope="session")
def published_collection() -> Path:
    """Every published table as the reference collection has it; not part of the project."""
    file = SHARED / "reference" / "published_results.yaml"
    if not file.is_file():
        pytest.skip(f"no reference collection at {file}")
    return file


@pytest.fixture(scope="session")
def page_study(tmp_path_factory: pytest.TempPathFactory):
    """A small finished study; read only."""
    from page_study import small_study  # only for tests that ask for it: it imports the whole package

    return small_study(tmp_path_factory.mktemp("page"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
