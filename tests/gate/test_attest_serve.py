"""The whole of it as processes: a venue that leaves facts out, a gate that is not armed without them, and a person's word that outlives the gate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.gate.serving import Serving, command, serving, start

from interlock.gate.venue_reads import fingerprint_of
from interlock.simulate.fake_venue.control import SetPermissions
from interlock.venues.fake.wire import Permissions

KEY = fingerprint_of("main")
WORDS = f"I HAVE CHECKED KEY {KEY} AT BYBIT: withdraws no, ends never"


def tells(gate: Serving, **facts: Any) -> None:
    told = {"trade": True, "withdraw": False, "transfer": False, "address_bound": True, "expires_ns": 0, **facts}
    about = {"account": "bybit-1", "position_mode": "one_way", "margin_mode": "cross"}
    gate.tell(SetPermissions(venue="bybit", permissions=Permissions(**about, **told)))  # type: ignore[arg-type]


def attest(gate: Serving, *more: str, words: str = WORDS) -> tuple[int, Any]:
    given = ["--venue", "bybit", "--withdraw", "no", "--expires", "never", "--for", "30d", "--scripted", "--statement", words]
    return command("attest", "--socket", gate.paths["raise"], *given, *more)


def rules(told: Any) -> list[str]:
    assert told["result"] == "REFUSED", told
    return [one["rule"] for one in told["refusals"]]


def test_a_gate_whose_venue_tells_too_little_is_armed_by_a_persons_word(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        assert gate.report()["attestations"] == []
        tells(gate, withdraw=None, expires_ns=None)
        code, told = gate.arm()
        assert (code, rules(told)) == (1, ["check_key_scope"])
        assert "interlock attest --venue bybit --withdraw no" in str(told)

        code, told = attest(gate, words=WORDS.replace("no", "yes"))
        assert (code, rules(told)) == (1, ["statement"])
        assert WORDS in told["refusals"][0]["message"]
        assert gate.arm()[0] == 1
        code, told = attest(gate)
        assert (code, told["result"], told["fingerprint"], told["account"]) == (0, "ATTESTED", KEY, "main")
        assert told["facts"] == ["withdraws no", "ends never"]
        gate.armed()
        assert gate.intent()[0] == 0
        (shown,) = gate.report()["attestations"]
        assert (shown["holds"], shown["until"], shown["scripted"]) == (True, told["until"], True)

        gate.die()
        again = start(tmp_path)
        try:
            assert again.report()["attestations"] == [shown], "it is about the key, not about the process"
            again.armed()
            tells(again, withdraw=True, expires_ns=None)
            code, told = again.arm()
            assert (code, rules(told)) == (1, ["check_key_scope"])
            tells(again)
            again.armed()
            tells(again, withdraw=False, expires_ns=time.time_ns() + 3_600 * 10**9)
            assert "expires within a day" in str(again.arm()[1])
            assert rules(attest(again)[1]) == ["attests_nothing", "told_otherwise"]
        finally:
            again.die()
    code, found = gate.checked()
    assert (code, found["violations"]) == (0, [])
