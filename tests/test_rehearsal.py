"""Rehearsal: how many of the earlier elements come back, from which updates, and that nothing else decides it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings as property_settings, strategies as st

from sys2ft.errors import SettingsError
from sys2ft.replay import RehearsalSettings, ReplayElement, rehearse


def update(name: str, count: int) -> list[ReplayElement]:
    return [
        ReplayElement(
            id=f"naive/{name}/{i}", news_id=name, protocol="naive", prompt=({"role": "user", "content": "?"},),
            completion=str(i), status="kept", reason=None, seed=i,
        )
        for i in range(count)
    ]  # fmt: skip


def updates(*sizes: int) -> list[list[ReplayElement]]:
    return [update(f"n{place}", size) for place, size in enumerate(sizes)]


def by_news(elements: list[ReplayElement]) -> Counter[str]:
    return Counter(element.news_id for element in elements)


@property_settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 8), max_size=5),
    new=st.integers(0, 20),
    how=st.sampled_from(["uniform", "power"]),
    share=st.floats(0, 2),
    exponent=st.floats(0, 3),
    seed=st.integers(0, 5),
)
def test_the_budget_is_met_and_nothing_repeats_before_all_have_come(
    sizes: list[int], new: int, how: str, share: float, exponent: float, seed: int
) -> None:
    earlier = updates(*sizes)
    chosen = RehearsalSettings(rehearsal=how, rehearsal_share=share, rehearsal_exponent=exponent)  # type: ignore[arg-type]
    drawn = rehearse(earlier, new, chosen, seed=seed)
    assert drawn == rehearse(earlier, new, chosen, seed=seed)
    counts = Counter(element.id for element in drawn)
    assert len(drawn) == (int(share * new + 0.5) if sum(sizes) else 0)
    if drawn:
        everyone = [counts[element.id] for own in earlier for element in own]
        assert max(everyone) - min(everyone) <= 1
    place = {element.id: i for i, element in enumerate(e for own in earlier for e in own)}
    assert [place[e.id] for e in drawn] == sorted(place[e.id] for e in drawn)


def test_none_draws_nothing() -> None:
    assert rehearse(updates(5, 5), 10, RehearsalSettings(rehearsal="none")) == []


def test_power_draws_updates_by_a_power_of_their_age() -> None:
    chosen = RehearsalSettings(rehearsal_share=0.5, rehearsal_exponent=1.0)
    counts = by_news(rehearse(updates(2000, 2000, 2000), 3000, chosen))
    for place, age in enumerate((3, 2, 1)):
        assert counts[f"n{place}"] == pytest.approx(1500 * (1 / age) / (1 + 1 / 2 + 1 / 3), abs=60)


def test_power_asks_for_the_update_and_not_for_its_size() -> None:
    counts = by_news(rehearse(updates(100, 2000), 60, RehearsalSettings(rehearsal_exponent=0.0)))
    assert counts["n0"] == pytest.approx(30, abs=15)


def test_uniform_draws_elements_and_not_updates() -> None:
    counts = by_news(rehearse(updates(300, 2700), 1000, RehearsalSettings(rehearsal="uniform")))
    assert counts["n0"] == pytest.approx(100, abs=30)


def test_an_emptied_update_keeps_the_age_of_the_others() -> None:
    earlier, whole = updates(2000, 0, 2000), updates(2000, 2000)
    old = by_news(rehearse(earlier, 1000, RehearsalSettings(rehearsal_exponent=2.0)))["n0"]
    assert old == pytest.approx(1000 * (1 / 9) / (1 + 1 / 9), abs=40)
    assert old < by_news(rehearse(whole, 1000, RehearsalSettings(rehearsal_exponent=2.0)))["n0"]


def test_the_seed_and_the_number_of_the_update_decide_which_elements_come() -> None:
    chosen, first = RehearsalSettings(), update("n0", 40)
    one = rehearse([first], 10, chosen, seed=0)
    assert one != rehearse([first], 10, chosen, seed=1)
    assert one != rehearse([first, []], 10, chosen, seed=0)
    assert {e.id for e in one} == {e.id for e in rehearse([first[::-1]], 10, chosen, seed=0)}, "not the order given"


@pytest.mark.parametrize(
    "wrong", [{"rehearsal": "all"}, {"rehearsal_share": -1.0}, {"rehearsal_exponent": float("inf")}]
)
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="rehearsal"):
        RehearsalSettings(**wrong)  # type: ignore[arg-type]
