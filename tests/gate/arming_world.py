"""A gate in the moment before arming, everything in order; tests change one thing and see it refused."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from interlock.domain.orders import OrderState
from interlock.gate import records
from interlock.gate.arming import LONGEST_DRILL_NS, Challenged, Machine, Minted, step
from interlock.gate.ceremony import NS_PER_HOUR, Reply, Situation, Wish, answer, ask
from interlock.gate.checks import Check, Evidence, OutsideCheck, OwnCheck, Verdict
from interlock.gate.conditions import ACKNOWLEDGEMENT
from interlock.gate.records import Endpoint, Level, Purpose, Record, Scope

NS_PER_S = 1_000_000_000
WALL_NS = 1_800_000_000 * NS_PER_S
BOOT_NS = 5_000 * NS_PER_S
NONCES = tuple(f"{i:032x}" for i in range(1, 30))
ENVIRON = {"LIVE_ARM_ACK": ACKNOWLEDGEMENT, "LIVE_ARM_AT": "1800000000", "LIVE_MAX_NOTIONAL_USD": "100"}
SYMBOL = "bybit/BTCUSDT"


def binding(endpoint: Endpoint = Endpoint.LOOPBACK, **parts: object) -> records.Binding:
    fields: dict[str, object] = {
        "incarnation": "life-a",
        "host": "host-a",
        "account": "desk",
        "build": "b1",
        "config": "c1",
        "strategy": "s1",
        "limits": "l1",
        "symbols": (("bybit", "BTCUSDT", "m1"), ("bybit", "ETHUSDT", "m2")),
        **parts,
    }
    return records.Binding(endpoint=endpoint, **fields)  # type: ignore[arg-type]


def boot(incarnation: str = "life-a", boot_ns: int = 1) -> records.Boot:
    return records.Boot(
        boot_ns=boot_ns,
        incarnation=incarnation,
        kernel_boot_id="k",
        host="host-a",
        user="u",
        endpoint=Endpoint.LOOPBACK,
        accounts=("bybit/desk",),
        build="b1",
        config="c1",
        limits="l1",
        wall_ns=WALL_NS,
    )


def reconciled(explained: bool = True, account: str = "desk") -> records.Reconciled:
    return records.Reconciled(boot_ns=2, venue="bybit", account=account, explained=explained, differences=())


def foreign(tolerated: bool = False) -> records.Foreign:
    return records.Foreign(
        boot_ns=3,
        venue="bybit",
        account="desk",
        symbol="BTCUSDT",
        client_id="x",
        venue_order_id="1",
        own_prefix=False,
        tolerated=tolerated,
    )


def permit(client_id: str, grant_id: str, revision: int = 0) -> records.Permit:
    return records.Permit(
        boot_ns=BOOT_NS,
        wall_ns=WALL_NS,
        client_id=client_id,
        revision=revision,
        grant_id=grant_id,
        epoch=1,
        mandate="",
        cap_usd=Decimal(100),
        notional_usd=Decimal(50),
        evaluations=(),
        books=(),
        usd_rates=(),
        body_hash="",
        deadline_boot_ns=BOOT_NS + 1,
    )


def level_set(level: Level, human: bool = True, nonce: str = NONCES[0], actor: str = "ann") -> records.LevelSet:
    return records.LevelSet(boot_ns=3, level=level, reason="r", actor=actor, human=human, nonce=nonce)


def own_checks(boot_ns: int = BOOT_NS) -> tuple[Check, ...]:
    return tuple(Check(name.value, Verdict.PASS, "fine", boot_ns) for name in OwnCheck)


def evidence(**parts: object) -> Evidence:
    fields: dict[str, object] = {
        "incarnation": "life-a",
        "config": "c1",
        "build": "b1",
        "boot_ns": BOOT_NS,
        "checks": tuple(Check(name.value, Verdict.PASS, "fine", BOOT_NS) for name in OutsideCheck),
        **parts,
    }
    return Evidence(**fields)  # type: ignore[arg-type]


def situation(endpoint: Endpoint = Endpoint.LOOPBACK, **parts: object) -> Situation:
    fields: dict[str, object] = {
        "binding": binding(endpoint),
        "endpoints": (endpoint,),
        "checks": own_checks(),
        "evidence": None if endpoint is Endpoint.LOOPBACK else evidence(),
        "minimums": {"bybit/BTCUSDT": Decimal(50), "bybit/ETHUSDT": Decimal(5)},
        "read_only": False,
        "killed": False,
        "lease_held": True,
        "state_version": 0,
        "used_nonces": frozenset(),
        "boot_ns": BOOT_NS,
        "wall_ns": WALL_NS,
        **parts,
    }
    return Situation(**fields)  # type: ignore[arg-type]


def wish(**parts: object) -> Wish:
    fields: dict[str, object] = {"lifetime_ns": NS_PER_HOUR, "seen_version": 0, "scripted": False, **parts}
    return Wish(**fields)  # type: ignore[arg-type]


def challenged(now: Situation | None = None, nonce: str = NONCES[5], **wishes: object) -> Challenged:
    asked = ask(wish(**wishes), ENVIRON, now or situation(), nonce)
    assert isinstance(asked, Challenged), asked
    return asked


def reply(asked: Challenged) -> Reply:
    return Reply(ACKNOWLEDGEMENT, asked.challenge.phrase)


def ceremony(now: Situation | None = None, nonce: str = NONCES[5], **wishes: object) -> tuple[Challenged, Minted]:
    asked = challenged(now, nonce, **wishes)
    minted = answer(asked.challenge, reply(asked), now or situation())
    assert isinstance(minted, Minted), minted
    return asked, minted


DRILL: dict[str, Any] = {"purpose": Purpose.DRILL, "drill_symbol": SYMBOL, "lifetime_ns": LONGEST_DRILL_NS}
"""What is wished for a drill."""


def armed_machine(now: Situation | None = None, **wishes: Any) -> tuple[Machine, Minted]:
    """A machine at RUN with a living grant, reached the way a person would."""
    asked, minted = ceremony(now, **wishes)
    machine = Machine()
    for event in (boot(), reconciled(), level_set(Level.RUN), asked, minted):
        machine = step(machine, event)
    assert machine.live is minted.live
    return machine, minted


# Journals for properties. Small alphabets, so that records meet each other.

_ns = st.integers(0, 10 * NS_PER_HOUR)
_names = st.sampled_from(["feed_stale", "kill", "loss"])
_scopes = st.sampled_from(list(Scope))
_subjects = st.sampled_from(["", "bybit/BTCUSDT", "desk"])
_levels = st.sampled_from(list(Level))
_nonces = st.sampled_from(["", *NONCES[:4]])
_actors = st.sampled_from(["", "ann"])
_lives = st.sampled_from(["life-a", "life-b"])


@st.composite
def _armed(draw: st.DrawFn) -> records.Armed:
    grant = records.Grant(
        grant_id=draw(_nonces),
        binding=binding(incarnation=draw(_lives)),
        cap_usd=Decimal(100),
        scripted=False,
        minted_boot_ns=draw(_ns),
        expires_boot_ns=draw(_ns),
        mandate_until_boot_ns=draw(_ns),
        purpose=draw(st.sampled_from(Purpose)),
    )
    return records.Armed(boot_ns=draw(_ns), grant=grant, wall_ns=WALL_NS)


def _trips(kind: type[Record]) -> st.SearchStrategy[Record]:
    return st.builds(kind, boot_ns=_ns, name=_names, scope=_scopes, subject=_subjects, level=_levels, reason=st.just("r"))


lowering: st.SearchStrategy[Record] = st.one_of(
    st.builds(boot, _lives, _ns),
    st.builds(records.LatchSet, boot_ns=_ns, name=_names, scope=_scopes, subject=_subjects, level=_levels, reason=_subjects, actor=_actors),
    _trips(records.InterlockTripped),
    st.builds(level_set, _levels, st.just(False), _nonces, _actors),
    st.builds(records.KillRequested, boot_ns=_ns, source=_actors, wall_ns=_ns),
    st.builds(records.KillEffective, boot_ns=_ns),
    st.builds(reconciled, st.booleans()),
    st.builds(foreign),
    st.builds(
        records.Disarmed,
        boot_ns=_ns,
        reason=_subjects,
        actor=_actors,
        symbol=st.sampled_from(["", "", "bybit/BTCUSDT"]),
        mandate_ends=st.booleans(),
    ),
    _armed(),
    st.builds(permit, _names, _nonces, st.integers(0, 1)),
    st.builds(records.Tick, boot_ns=_ns, wall_ns=_ns),
    st.builds(
        records.Released, boot_ns=_ns, client_id=_names, state=st.sampled_from(OrderState), filled_lots=_ns, actor=_actors, nonce=_nonces
    ),
)
"""What automation, or a person who lowers, may write."""

raising: st.SearchStrategy[Record] = st.one_of(
    st.builds(level_set, _levels, st.just(True), _nonces, _actors),
    st.builds(
        records.LatchCleared,
        boot_ns=_ns,
        name=_names,
        scope=_scopes,
        subject=_subjects,
        actor=_actors,
        nonce=_nonces,
        state_version=st.integers(0, 12),
    ),
    st.builds(records.InterlockCleared, boot_ns=_ns, name=_names, scope=_scopes, subject=_subjects),
)

journals: st.SearchStrategy[list[Record]] = st.lists(st.one_of(lowering, lowering, raising), max_size=30)
