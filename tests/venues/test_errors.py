"""What venues' refusals mean: every documented code has the kind that our notes give it, and nothing is concluded that is not listed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.venues.binance_usdm import errors as binance
from interlock.venues.bybit import errors as bybit
from interlock.venues.trouble import Doing, Explained, Rule, Trouble, explain, rules
from interlock.venues.upbit import errors as upbit

Classify = Callable[[int, str, Doing], Explained]
ALL: dict[str, Classify] = {"binance_usdm": binance.classify, "bybit": bybit.classify, "upbit": upbit.classify}
NOTES = {"binance_usdm": "binance_usdm.md", "bybit": "bybit_v5.md", "upbit": "upbit.md"}

# A placement: what settles it, and what does not


@pytest.mark.parametrize(
    ("venue", "status", "code", "trouble"),
    [
        ("binance_usdm", 400, "-2019", Trouble.INSUFFICIENT_BALANCE),
        ("binance_usdm", 400, "-5022", Trouble.POST_ONLY_REJECT),
        ("binance_usdm", 400, "-1021", Trouble.CLOCK_SKEW),
        ("binance_usdm", 503, "-1008", Trouble.RATE_LIMIT),
        ("binance_usdm", 429, "", Trouble.RATE_LIMIT),
        ("bybit", 200, "110007", Trouble.INSUFFICIENT_BALANCE),
        ("bybit", 200, "10006", Trouble.RATE_LIMIT),
        ("bybit", 0, "10019", Trouble.MAINTENANCE),
        ("upbit", 400, "under_min_total_bid", Trouble.INVALID_ORDER),
        ("upbit", 401, "no_authorization_ip", Trouble.IP_RESTRICTION),
        ("upbit", 403, "market_offline", Trouble.MAINTENANCE),
    ],
)
def test_what_settles_a_placement(venue: str, status: int, code: str, trouble: Trouble) -> None:
    for doing in (Doing.PLACE, Doing.AMEND):
        found = ALL[venue](status, code, doing)
        assert (found.trouble, found.settled) == (trouble, True)
        assert (found.status, found.code) == (status, code)


@pytest.mark.parametrize(
    ("venue", "status", "code"),
    [
        ("binance_usdm", 503, ""),
        ("binance_usdm", 503, "-1001"),
        ("binance_usdm", 400, "-1006"),
        ("binance_usdm", 408, "-1007"),
        ("binance_usdm", 400, "-5028"),
        ("binance_usdm", 400, "-99999"),
        ("binance_usdm", 502, "-2019"),
        ("binance_usdm", 400, ""),
        ("binance_usdm", 403, ""),
        ("binance_usdm", 0, ""),
        ("binance_usdm", 400, "-2013"),
        ("bybit", 200, "10000"),
        ("bybit", 200, "10014"),
        ("bybit", 200, "10016"),
        ("bybit", 200, "20006"),
        ("bybit", 200, "110001"),
        ("bybit", 200, "123456"),
        ("bybit", 403, ""),
        ("bybit", 0, ""),
        ("upbit", 500, "server_error"),
        ("upbit", 504, ""),
        ("upbit", 401, "nonce_used"),
        ("upbit", 400, "something_new"),
        ("upbit", 0, ""),
    ],
)
def test_what_leaves_a_placement_unknown(venue: str, status: int, code: str) -> None:
    for doing in (Doing.PLACE, Doing.AMEND):
        found = ALL[venue](status, code, doing)
        assert (found.trouble, found.settled) == (Trouble.UNKNOWN_OUTCOME, False)


@pytest.mark.parametrize(("venue", "code"), [("binance_usdm", "-4116"), ("bybit", "110072"), ("upbit", "duplicated_identifier")])
def test_a_client_id_that_exists_is_told_and_settles_nothing(venue: str, code: str) -> None:
    found = ALL[venue](400, code, Doing.PLACE)
    assert (found.trouble, found.settled) == (Trouble.DUPLICATE_CLIENT_ID, False)


# A cancel and a read


@pytest.mark.parametrize(("venue", "code"), [("binance_usdm", "-2011"), ("bybit", "110001"), ("upbit", "order_not_found")])
def test_not_found_in_answer_to_a_cancel_is_named_and_settles_nothing(venue: str, code: str) -> None:
    found = ALL[venue](400, code, Doing.CANCEL)
    assert (found.trouble, found.settled) == (Trouble.ORDER_NOT_FOUND, False)
    assert "no proof" in found.hint


@pytest.mark.parametrize("venue", ALL)
def test_reads_tell_a_fault_of_the_way_from_an_answer_that_is_not_listed(venue: str) -> None:
    assert ALL[venue](503, "", Doing.READ).trouble is Trouble.NETWORK_ERROR
    assert ALL[venue](0, "", Doing.READ).trouble is Trouble.NETWORK_ERROR
    assert ALL[venue](400, "never heard of", Doing.READ).trouble is Trouble.UNKNOWN
    assert ALL[venue](400, "never heard of", Doing.CANCEL).trouble is Trouble.UNKNOWN
    assert ALL[venue](503, "", Doing.CANCEL).trouble is Trouble.UNKNOWN
    assert ALL[venue](429, "", Doing.READ).trouble is Trouble.RATE_LIMIT
    unknown = {"binance_usdm": "-1007", "bybit": "10016", "upbit": "server_error"}[venue]
    assert ALL[venue](500, unknown, Doing.READ).trouble is Trouble.NETWORK_ERROR
    assert ALL[venue](500, unknown, Doing.CANCEL).trouble is Trouble.UNKNOWN_OUTCOME


@given(st.sampled_from(sorted(ALL)), st.integers(0, 999), st.text(max_size=20), st.sampled_from(Doing))
def test_whatever_comes_is_explained_and_nothing_is_concluded_from_what_is_not_listed(
    venue: str, status: int, code: str, doing: Doing
) -> None:
    room = {"binance_usdm": binance, "bybit": bybit, "upbit": upbit}[venue]
    found = ALL[venue](status, code, doing)
    assert found.hint
    assert found.action
    listed = room.RULES.get(code) if code else room.STATUSES.get(status)
    if found.settled:
        assert listed is not None
        assert listed.settled
        assert doing in (Doing.PLACE, Doing.AMEND)
    if listed is None and doing in (Doing.PLACE, Doing.AMEND):
        assert found.trouble is Trouble.UNKNOWN_OUTCOME


def test_a_code_that_has_its_own_words_has_them_and_others_have_those_of_their_kind() -> None:
    assert "liquidated" in binance.classify(400, "-2023", Doing.PLACE).hint
    assert binance.classify(400, "-2019", Doing.PLACE).hint == bybit.classify(200, "110007", Doing.PLACE).hint
    # Words of a code that turns into an unknown outcome are those of the unknown outcome.
    assert "nothing is sent again" in upbit.classify(401, "nonce_used", Doing.PLACE).action
    assert "never used twice" in upbit.classify(401, "nonce_used", Doing.READ).action


def test_a_table_with_a_code_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="code 2: expected once"):
        rules(("1 2", Rule(Trouble.INVALID_KEY)), ("2", Rule(Trouble.RATE_LIMIT)))
    assert explain({}, {}, status=200, code="1", doing=Doing.PLACE).trouble is Trouble.UNKNOWN_OUTCOME


# The notes


def rows(text: str) -> Iterator[list[str]]:
    """The rows of the error maps: code or name, HTTP status, words, class, whether it may be tried again."""
    inside = False
    for line in text.splitlines():
        if line.startswith(("| code | http |", "| name | http |")):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def codes_in(cell: str) -> Iterator[str]:
    """The codes of a cell, with `a..b`, `a-b` and `a/b` written out; what is in brackets or no code is left out."""
    for part in map(str.strip, re.split(r"[,;]", re.sub(r"\([^)]*\)|`[^`]*`", "", cell))):
        if match := re.fullmatch(r"(-?\d+)\.\.(-?\d+)", part):
            low, high = sorted((int(match[1]), int(match[2])))
            yield from map(str, range(low, high + 1))
        elif match := re.fullmatch(r"(\d{5,6})-(\d{5,6})", part):
            yield from map(str, range(int(match[1]), int(match[2]) + 1))
        elif match := re.fullmatch(r"(\d+)/(\d)", part):
            yield match[1]
            yield match[1][:-1] + match[2]
        elif re.fullmatch(r"-?\d{2,6}|[a-z]+(_[a-z]+)+|notfoundmarket", part):
            yield part
        else:
            for name in part.split(" / "):
                if re.fullmatch(r"[a-z]+(_[a-z]+)+", name.strip()):
                    yield name.strip()
                elif name.strip().startswith("_") and (whole := re.match(r"([a-z_]+)_(bid|ask)", part)):
                    yield whole[1] + name.strip()


@pytest.mark.parametrize("venue", ALL)
def test_every_code_of_the_notes_has_the_class_that_they_give_it(venue: str) -> None:
    notes = Path(__file__).resolve().parents[2] / "../shared/venues" / NOTES[venue]
    if not notes.exists():
        pytest.skip(f"{notes.name} is not beside the repository")
    room = {"binance_usdm": binance, "bybit": bybit, "upbit": upbit}[venue]
    seen = 0
    for cells in rows(notes.read_text(encoding="utf-8")):
        wanted = cells[3]
        if venue == "bybit" and cells[0].startswith("20003"):
            cells[0] = "20003"  # 10003 is also the key's, and on the trade socket it is one of the two
        for code in codes_in(cells[0]):
            if code in {"401", "403", "404", "429"}:
                assert int(code) in room.STATUSES or code in room.RULES
                continue
            seen += 1
            rule = room.RULES[code]
            kinds = set(re.findall(r"[A-Z][A-Z_]{4,}", wanted))
            if wanted.startswith(("UNKNOWN", "docs: failed")):
                assert not rule.settled, code
            elif kinds & set(Trouble):
                assert rule.trouble.value in kinds, (code, wanted)
            again = cells[4]
            if again.startswith(("only after reconciling", "reconcile")):
                assert not rule.settled, code
    assert seen > {"binance_usdm": 80, "bybit": 90, "upbit": 25}[venue]
