from alignrec.models.lazy import LazyMapping


def test_a_value_is_made_once_and_only_when_looked_up() -> None:
    made = []
    mapping = LazyMapping({"late": lambda: made.append("late") or 7}, {"there": 3})
    assert "late" in mapping
    assert list(mapping) == ["there", "late"]
    assert len(mapping) == 2
    assert made == []
    assert dict(mapping) == {"there": 3, "late": 7}
    assert mapping["late"] == 7
    assert made == ["late"]
