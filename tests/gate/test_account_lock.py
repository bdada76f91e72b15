"""One gate for an account, over processes and deaths."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.domain.errors import Refused
from interlock.gate.account_lock import AccountName, take_local

ACCOUNT = AccountName("bybit", "uid 4711")

HOLDER = """
import sys
from pathlib import Path
from interlock.gate.account_lock import AccountName, take_local
lease = take_local(AccountName("bybit", "uid 4711"), "the other one", Path(sys.argv[1]))
print(lease.held(), flush=True)
sys.stdin.read()
"""


def test_the_second_gate_is_told_who_has_the_account(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "True\n"
        with pytest.raises(Refused, match=r"another gate has it \(the other one\)"):
            take_local(ACCOUNT, "me", tmp_path)
        # Another account of the venue, or the same name elsewhere, is somebody else's.
        for free in (AccountName("bybit", "uid 4712"), AccountName("upbit", "uid 4711")):
            lease = take_local(free, "me", tmp_path)
            assert lease.held()
            lease.release()
        other.kill()
    lease = take_local(ACCOUNT, "me", tmp_path)
    assert lease.held()
    lease.release()
    assert not lease.held()
    lease.release()


def test_a_lease_whose_file_was_replaced_is_not_held(tmp_path: Path) -> None:
    lease = take_local(ACCOUNT, "me", tmp_path)
    path = tmp_path / ACCOUNT.file_name
    path.rename(tmp_path / "aside")
    assert not lease.held()
    path.touch()
    assert not lease.held()
    os.replace(tmp_path / "aside", path)
    assert lease.held()
    lease.release()


def test_the_file_shows_neither_account_nor_key(tmp_path: Path) -> None:
    take_local(ACCOUNT, "pid 1", tmp_path).release()
    (file,) = tmp_path.iterdir()
    assert "4711" not in file.name
    assert file.read_text() == "pid 1"


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ACCOUNT.file_name
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="expected a file that can be locked"):
        take_local(ACCOUNT, "me", tmp_path)
    assert not (tmp_path / "elsewhere").exists()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Refused, match="another kind"):
        take_local(ACCOUNT, "me", tmp_path)
    path.unlink()
    with pytest.raises(Refused, match="No such file"):
        take_local(ACCOUNT, "me", tmp_path / "nowhere")
