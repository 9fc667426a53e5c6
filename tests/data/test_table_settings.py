import pytest

from alignrec.data.table_settings import CANDIDATES, TableSettings
from alignrec.errors import SettingsError


def test_every_column_that_has_candidates_can_be_named() -> None:
    assert set(CANDIDATES) - {"text"} <= set(TableSettings.model_fields)


def test_an_unknown_rule_for_unknown_items_is_refused() -> None:
    with pytest.raises(SettingsError, match="'keep', 'drop' or 'fail'"):
        TableSettings.create({"unknown_items": "maybe"})
