"""The story without any line: a month in the village, carried to town and back on a memory stick."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from config.settings import Settings
from service.actions import carrying, enrolling, escalating, handling, projecting, routing, syncing
from service.domain.opinions import State
from service.domain.refusals import NotAllowed
from service.node import Node
from service.store.tables import opinions
from sync.blobs import BlobState
from tests.flows.conftest import ADMIN, CLERK, HEAD, LIAISON, TOWN, Township, ready
from tests.flows.test_erasing import erase, erasures
from tests.flows.test_erasing_attachments import files, reported, state
from tests.flows.test_offline_week import CANARY, register, seen

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "我的U盘"
    folder.mkdir()
    return folder


def rows(node: Node) -> set[tuple[str, str, str]]:
    """What the lists show of each opinion."""
    with node.reading() as connection:
        return {tuple(row) for row in connection.execute(select(opinions.c.id, opinions.c.reg_no, opinions.c.state))}


def carry_to_town(town: Township, stick: Path) -> None:
    carrying.take_away(town.station("qd"), LIAISON, str(stick))
    report = carrying.bring_back(town.hub, CLERK, str(stick))
    assert (report.problems, report.unanswered) == ([], None)
    projecting.sweep(town.hub)


def test_a_month_without_a_line_is_brought_up_to_date_and_back_by_stick(township: Township, stick: Path) -> None:
    station, hub, clock = township.station("qd"), township.hub, township.clock
    township.line.cut()
    receipts = []
    for n in range(6):
        clock.go_on(days=5)
        receipts.append(register(station, f"意见{n}"))
    carry_to_town(township, stick)
    assert {seen(hub, receipt.opinion).state for receipt in receipts} == {State.REGISTERED}
    assert rows(hub) == rows(station)
    everything = b"".join(path.read_bytes() for path in stick.rglob("*") if path.is_file())
    assert CANARY.encode() not in everything

    case = receipts[0].opinion
    with hub.unit(CLERK) as unit:
        routing.dispatch(unit, case, routing.Dispatch(unit="water", requirement="三日内疏通", duty_basis="职责清单"))
    for _ in range(3):
        clock.go_on(days=1)
        escalating.sweep(hub)
    carrying.take_away(hub, CLERK, str(stick), "qd")
    carrying.bring_back(station, LIAISON, str(stick))
    assert seen(station, case).state is State.HANDLING
    with station.reading() as connection:
        state = syncing.sync_state(station, connection)
    assert state is not None
    assert state.unsent == 0, "the hub's receipt came back on the stick"

    with hub.unit(HEAD) as unit:
        handling.submit_reply(unit, case, handling.ReplyForm(text="已疏通。", outcome="A", evidence="现场照片"))
    with hub.unit(CLERK) as unit:
        handling.deliver_reply(unit, case, way="phone", proof="通话记录")
    carry_to_town(township, stick)  # nothing new from the village, and yet the answer comes back
    carrying.bring_back(station, LIAISON, str(stick))
    assert seen(station, case).state is State.REPLIED
    assert rows(hub) == rows(station)

    township.line.mend()
    report = syncing.exchange_now(station)
    assert (report.pushed, report.pulled, report.verified) == (0, 0, True)


def test_stick_and_line_may_be_used_in_turn(township: Township, stick: Path) -> None:
    station, hub = township.station("qd"), township.hub
    first = register(station, "先走U盘")
    carrying.take_away(station, LIAISON, str(stick))
    second = register(station, "后走线路")
    syncing.exchange_now(station)
    report = carrying.bring_back(hub, CLERK, str(stick))
    assert (report.stored, report.problems) == (0, [])
    projecting.sweep(hub)
    assert {row[0] for row in rows(hub)} == {first.opinion, second.opinion}
    assert syncing.exchange_now(station).verified


def test_a_village_that_never_had_a_line_is_enrolled_by_stick(township: Township, stick: Path) -> None:
    hub = township.hub
    station = ready(Settings(data_dir=township.folder / "far", town=TOWN), township.clock)
    township.stations["qd"] = station
    with hub.unit(ADMIN) as unit:
        code = enrolling.create_code(unit, "qd")
    assert enrolling.enrol_by_stick(station, ADMIN, code, str(stick)) is None
    assert carrying.bring_back(hub, CLERK, str(stick)).enrolled == ["qd"]
    assert enrolling.enrol_by_stick(station, ADMIN, code, str(stick)) == "qd"
    with station.reading() as connection:
        assert station.town(connection).station_name("qd") == "钱东村联络站"
    made = register(station)
    carry_to_town(township, stick)
    assert seen(hub, made.opinion).state is State.REGISTERED
    with hub.reading() as connection:
        assert station.identity.node in hub.town(connection).nodes, "everybody learns whose computer this is"


def command(node: Node, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`lianxin stick …` on that node's machine, in a process of its own as on any day."""
    url = node.settings.database_url
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "LIANXIN_LOG_LEVEL": "ERROR",
        "LIANXIN_ROLE": node.settings.role.value, "LIANXIN_DATA_DIR": str(node.settings.data_dir),
        "LIANXIN_DATABASE_URL": url.get_secret_value() if url else "",
    }  # fmt: skip
    line = [sys.executable, "-m", "service.cli", "stick", *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line_carries_a_stick_both_ways(township: Township, stick: Path) -> None:
    station, hub = township.station("qd"), township.hub
    made = register(station)
    written = command(station, "export", stick.name, folder=stick.parent)
    assert (written.returncode, "本次新写" in written.stdout) == (0, True), written.stderr
    read = command(hub, "import", str(stick), folder=stick)
    assert read.returncode == 0, read.stderr
    assert read.stdout.splitlines()[:2] == ["已读入 0/1 个文件", "已读入 1/1 个文件"]
    assert "回执" in read.stdout
    projecting.sweep(hub)
    assert seen(hub, made.opinion).state is State.REGISTERED
    nobody = command(hub, "export", str(stick), "--station", "zx", folder=stick)
    assert (nobody.returncode, "not_found" in nobody.stderr) == (1, True)

    (manifest,) = (stick / "lianxin" / f"{hub.identity.node}-{station.identity.node}").glob("*.lxs")
    manifest.write_bytes(manifest.read_bytes()[:100])
    damaged = command(station, "import", str(stick), folder=stick)
    assert (damaged.returncode, "stick_file_damaged" in damaged.stderr) == (1, True)


def test_only_who_may_carry_does(township: Township, stick: Path) -> None:
    with pytest.raises(NotAllowed):
        carrying.take_away(township.hub, HEAD, str(stick), "qd")
    with pytest.raises(NotAllowed):
        carrying.bring_back(township.hub, HEAD, str(stick))
    township.station("qd")
    assert carrying.take_away(township.hub, ADMIN, str(stick), "qd")


def test_photos_ride_with_the_records_and_an_old_stick_does_not_bring_an_erased_one_back(
    township: Township, stick: Path, tmp_path: Path
) -> None:
    station, hub = township.station("qd"), township.hub
    township.line.cut()
    opinion = reported(station)
    (written,) = carrying.take_away(station, LIAISON, str(stick))
    assert (written.contents, written.contents_left) == (1, 0)
    old = tmp_path / "old"
    shutil.copytree(stick, old)
    report = carrying.bring_back(hub, CLERK, str(stick))
    assert (report.contents, report.problems) == (1, [])
    assert state(hub) is BlobState.COMPLETE
    carrying.bring_back(station, LIAISON, str(stick))
    assert carrying.take_away(station, LIAISON, str(stick))[0].contents == 0, "the hub has confirmed it"

    erase(hub, CLERK, opinion)
    carrying.bring_back(hub, CLERK, str(old))
    assert (state(hub), files(hub)) == (BlobState.ERASED, [])
    carry_to_town(township, stick)
    carrying.bring_back(station, LIAISON, str(stick))
    assert (state(station), files(station)) == (BlobState.ERASED, [])
    carrying.bring_back(station, LIAISON, str(old))
    assert files(station) == []
    carry_to_town(township, stick)
    assert [one.missing for one in erasures(hub)] == [frozenset()]
    township.line.mend()
