"""The command `lianxin`: the same actions as on the pages, from a terminal.

Exit codes: 0 done, 1 refused or not found (the sentence says why), 2 wrong usage, 3 settings or storage unusable.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import entry_points

from config import logs
from config.settings import BadSettings, Settings, load_settings, unknown_keys
from service.domain.people import Actor, Role
from service.domain.refusals import InvalidForm, Refused
from service.domain.working_days import BadTerm, Computation, Term, WorkCalendar
from service.node import Node, build_node
from service.store.database import StorageUnusable
from sync.errors import SyncError
from sync.stick import Progress

ADMIN = Actor(account="cli", name="管理员(命令行)", role=Role.ADMIN)  # whoever owns the machine's files

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    args = _parser().parse_args(arguments)
    command: Command = args.command
    try:
        return command(args)
    except (BadSettings, StorageUnusable) as problem:
        print(problem, file=sys.stderr)
        return 3
    except InvalidForm as form:
        print("refused: " + ", ".join(f"{problem.field}: {problem.code}" for problem in form.problems), file=sys.stderr)
        return 1
    except Refused as refusal:
        print(f"refused: {refusal.code} {refusal.field or ''} {refusal.data or ''}".rstrip(), file=sys.stderr)
        return 1
    except SyncError as error:
        print(f"{error.code}: {error}. {error.hint}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lianxin", description="Liaison stations of deputies: hub and station node.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    add("serve", _serve, "run this node as the settings say")
    add("migrate", _migrate, "bring the database up to this program, rebuild read tables if needed")
    found = add("found", _found, "hub: found the town or county, publishing calendar, terms and codes")
    found.add_argument("--name", default="钱坑镇", help="name of the town or county")
    code = add("enrolment-code", _enrolment_code, "hub: a one-time code for a station, or for a township")
    code.add_argument("station", help="station code, such as qd; at a county's hub a township's, such as 445222113")
    township = add("township", _township, "county's hub: enter a township, or correct its name")
    township.add_argument("code", help="nine digits")
    township.add_argument("--name", required=True)
    enrol = add("enrol", _enrol, "enrol at the hub above with a one-time code: a station, or a township's hub")
    enrol.add_argument("code")
    enrol.add_argument("--stick", metavar="PATH", help="without a line: carry request and answer on this memory stick")
    user = add("user", _user, "create an account on this node")
    user.add_argument("username")
    user.add_argument("--name", required=True)
    user.add_argument("--role", required=True, choices=[role.value for role in Role if role is not Role.SYSTEM])
    user.add_argument("--station", default="")
    user.add_argument("--unit", default="")
    user.add_argument("--deputy", default="")
    user.add_argument("--password-file", help="first line is the password; asked for when left out")
    add("sync", _sync, "exchange with the hub above now")
    add("sum", _sum, "township's hub: count the months for the county now")
    stick = add("stick", _stick, "carry records and answers on a memory stick: 从U盘带走 (export), 从U盘带回 (import)")
    stick.add_argument("direction", choices=["export", "import"])
    stick.add_argument("path", help="the stick's folder, such as /media/usb")
    stick.add_argument("--station", default="", help="hub, export: for which station, township or county (its code)")
    add("status", _status, "what this node holds and waits for, as JSON")
    add("rebuild", _rebuild, "fold every subject again into empty read tables")
    add("check", _check, "verify chains, and that rebuilt read tables equal the live ones")
    aside = add("quarantine", _quarantine, "records that could not be taken in: list them, or try them again")
    aside.add_argument("what", choices=["list", "retry"])
    aside.add_argument("subject", nargs="*", help="such as opinion/0a1b; all of them when left out")
    due = add("due", _due, "how a date is computed: lianxin due 2019-09-27 5wd (or 3mo); the last date is the due date")
    due.add_argument("start", type=date.fromisoformat)
    due.add_argument("term", help="5wd (working days), 3mo (months), 60d (days)")
    add("settings", _settings, "show the effective settings, secrets hidden")
    return parser


def open_node(settings: Settings | None = None) -> Node:
    """The node of these settings, its database up to date."""
    from service.actions.projecting import rebuild_if_outdated
    from service.store import schema

    settings = settings or load_settings()
    logs.set_up(settings.role.value, settings.log_format, settings.log_level)
    node = build_node(settings)
    schema.upgrade(node.engine)
    rebuild_if_outdated(node)
    return node


def _serve(_: argparse.Namespace) -> int:
    """The serving halves live with the workers, which nothing here imports; they announce themselves by name."""
    settings = load_settings()
    (serve,) = entry_points(group="lianxin.serve", name=settings.role.value)
    return int(serve.load()(settings) or 0)


def _migrate(_: argparse.Namespace) -> int:
    open_node()
    print("database is up to date")
    return 0


def _found(args: argparse.Namespace) -> int:
    from service.actions.founding import found

    node = open_node()
    with node.unit(ADMIN) as unit:
        count = found(unit, node.settings.town, args.name)
    print(f"{args.name} founded: {count} facts published")
    return 0


def _enrolment_code(args: argparse.Namespace) -> int:
    from service.actions.enrolling import create_code

    node = open_node()
    with node.unit(ADMIN) as unit:
        print(create_code(unit, args.station))
    return 0


def _township(args: argparse.Namespace) -> int:
    from service.actions.gathering import state_township

    with open_node().unit(ADMIN) as unit:
        state_township(unit, args.code, args.name)
    print(f"{args.code} {args.name} entered")
    return 0


def _enrol(args: argparse.Namespace) -> int:
    from service.actions.enrolling import enrol, enrol_by_stick

    node = open_node()
    if args.stick is None:
        known: str | None = enrol(node, args.code)
    else:
        known = enrol_by_stick(node, ADMIN, args.code, os.path.abspath(args.stick))
    if known is None:
        print("接入申请已写到U盘: 请带到上级枢纽读入, 带回后用同一接入码再运行一次")
        return 0
    print(f"enrolled as {'township' if node.is_hub else 'station'} {known}")
    return 0


def _user(args: argparse.Namespace) -> int:
    from service.actions.accounts import NewAccount, create_account

    node = open_node()
    new = NewAccount(username=args.username, name=args.name, role=args.role, password=_password(args),
                     station=args.station, unit=args.unit, deputy=args.deputy)  # fmt: skip
    with node.unit(ADMIN) as unit:
        create_account(unit, new)
    print(f"account {args.username} created")
    return 0


def _password(args: argparse.Namespace) -> str:
    if args.password_file is None:
        return getpass.getpass("password: ")
    with open(args.password_file, encoding="utf-8") as file:
        return file.readline().rstrip("\r\n")


def _sync(_: argparse.Namespace) -> int:
    from service.actions.syncing import exchange_now

    report = exchange_now(open_node())
    print(f"pushed {report.pushed}, pulled {report.pulled}, verified equal: {'yes' if report.verified else 'no'}")
    return 0 if report.verified else 1


def _sum(_: argparse.Namespace) -> int:
    from service.actions.summing import sum_up

    print(f"{sum_up(open_node())} months recorded")
    return 0


def _stick(args: argparse.Namespace) -> int:
    folder = os.path.abspath(args.path)
    return _stick_out(folder, args.station) if args.direction == "export" else _stick_in(folder)


def _stick_out(folder: str, station: str) -> int:
    from service.actions.carrying import is_own_disk, take_away

    node = open_node()
    for one in take_away(node, ADMIN, folder, station):
        print(f"已写到 {one.folder}: {one.files} 个文件, {one.events} 条记录, 本次新写 {one.new_events} 条")
        print(f"照片和扫描件 {one.contents} 个, 放不下、下次再带 {one.contents_left} 个")
    if is_own_disk(node, folder):
        print("注意: 这个文件夹在本机硬盘上, 不是U盘", file=sys.stderr)
    print("请先安全弹出U盘, 再带到对方那里读入")
    return 0


def _stick_in(folder: str) -> int:
    from service.actions.carrying import bring_back

    def show(progress: Progress) -> None:
        print(f"已读入 {progress.done}/{progress.files} 个文件", flush=True)

    report = bring_back(open_node(), ADMIN, folder, show)
    print(f"新收到 {report.stored} 条记录, 此前已有 {report.known} 条; 照片和扫描件收齐 {report.contents} 个")
    for name in report.enrolled:
        print(f"已接入 {name}, 接入答复已写到U盘")
    for one in report.answers:
        print(f"已写回 {one.folder}: 回执和 {one.events} 条记录, 请带回去读入")
    problems = [*report.problems, *([report.unanswered] if report.unanswered else [])]
    for problem in problems:
        print(f"{problem.code}: {problem}. {problem.hint}", file=sys.stderr)
    return 1 if problems else 0


def _status(_: argparse.Namespace) -> int:
    from service.actions.checking import status

    print(json.dumps(status(open_node()), ensure_ascii=False, indent=2, default=str))
    return 0


def _rebuild(_: argparse.Namespace) -> int:
    from service.actions.projecting import rebuild

    print(f"{rebuild(open_node())} subjects folded")
    return 0


def _check(_: argparse.Namespace) -> int:
    from service.actions.checking import check

    problems = check(open_node())
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else "all streams verify; rebuilt read tables equal the live ones")
    return 1 if problems else 0


def _quarantine(args: argparse.Namespace) -> int:
    from service.actions import judging, projecting
    from service.store import aside_queries

    node = open_node()
    with node.reading() as connection:
        chosen = aside_queries.rows(connection, node.ledger, args.subject or None)
    unknown = sorted(set(args.subject) - {row.subject for row in chosen})
    for subject in unknown:
        print(f"not set aside: {subject}", file=sys.stderr)
    if args.what == "list":
        for row in chosen:
            print(f"{row.subject}  {row.category}  {','.join(row.stations)}  since {row.since:%Y-%m-%d %H:%M} UTC  "
                  f"attempts {row.attempts}  {row.reason}")  # fmt: skip
        return 1 if unknown else 0
    for row in chosen:
        with node.unit(ADMIN) as unit:
            judging.retry(unit, row.subject)
    folded = projecting.sweep(node)
    print(f"{folded.subjects} tried, {folded.quarantined} set aside again")
    return 1 if unknown or folded.quarantined else 0


def _due(args: argparse.Namespace) -> int:
    from service.store.published_calendar import published_years

    try:
        term = Term.parse(args.term)
    except BadTerm as error:
        print(error, file=sys.stderr)
        return 2
    for line in computation_lines(WorkCalendar.of(published_years()).explain(args.start, term)):
        print(line)
    return 0


def computation_lines(computation: Computation) -> list[str]:
    """The days counted and skipped, one a line; the last line ends with the due date."""
    days = sorted([*computation.counted, *computation.skipped], key=lambda day: day.day)
    numbers = {day.day: n for n, day in enumerate(computation.counted, start=1)}
    lines = [f"{computation.start}  起算日不计 (day zero)"]
    for day in days:
        counted = f"第{numbers[day.day]}天" if day.day in numbers and computation.term.unit == "wd" else ""
        skipped = "" if day.day in numbers else "不计"
        lines.append(f"{day.day}  {day.kind.label}{' ' + day.name if day.name else ''} {counted}{skipped}".rstrip())
    mark = " 暂估 (provisional: the year's notice is not out)" if computation.provisional else ""
    return [*lines, f"{computation.term}{mark} → {computation.due}"]


def _settings(_: argparse.Namespace) -> int:
    settings = load_settings()
    for name, value in settings:
        print(f"LIANXIN_{name.upper()} = {value}")
    for key in unknown_keys(os.environ):
        print(f"unknown: {key}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
