"""A tag carries why an order was sent, for which pair and with which expected edge, through the venue and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.strategies.arbitrage import tag_of
from interlock.strategies.tags import Leg, expected_edge_bps, pair_of, reason_of

LEGS = st.sampled_from(list(Leg))
PAIRS = st.integers(0, 255)
EDGES = st.floats(-10_000.0, 10_000.0)


@given(LEGS, PAIRS, EDGES)
def test_what_is_packed_is_unpacked(leg: Leg, pair: int, edge: float) -> None:
    tag = tag_of(int(leg), pair, edge)
    assert reason_of(tag) is leg
    assert pair_of(tag) == pair
    assert expected_edge_bps(tag) == pytest.approx(edge, abs=0.01 + 1e-9)


@given(LEGS, PAIRS, st.integers(-1_000_000, 1_000_000))
def test_hundredths_of_a_basis_point_are_kept_to_one_hundredth(leg: Leg, pair: int, hundredths: int) -> None:
    packed = tag_of(int(leg), pair, hundredths / 100)
    assert abs(expected_edge_bps(packed) * 100 - hundredths) <= 1 + 1e-6


@given(LEGS, PAIRS, EDGES)
def test_a_tag_is_a_positive_integer_that_is_never_mistaken_for_a_free_slot(leg: Leg, pair: int, edge: float) -> None:
    assert 0 < tag_of(int(leg), pair, edge) < 2**53


@pytest.mark.parametrize(("edge", "kept"), [(1e9, 10_000.0), (-1e9, -10_000.0), (float("inf"), 10_000.0), (float("-inf"), -10_000.0)])
def test_an_edge_beyond_the_range_is_cut_and_leaves_pair_and_reason_alone(edge: float, kept: float) -> None:
    tag = tag_of(int(Leg.ENTRY), 7, edge)
    assert (reason_of(tag), pair_of(tag), expected_edge_bps(tag)) == (Leg.ENTRY, 7, kept)


@given(st.tuples(LEGS, PAIRS), st.tuples(LEGS, PAIRS), EDGES)
def test_different_reasons_or_pairs_give_different_tags(one: tuple[Leg, int], other: tuple[Leg, int], edge: float) -> None:
    assert (tag_of(int(one[0]), one[1], edge) == tag_of(int(other[0]), other[1], edge)) == (one == other)


def test_an_unknown_reason_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(ValueError, match="not a valid Leg"):
        reason_of(0)
