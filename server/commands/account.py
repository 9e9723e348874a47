"""account add, account load: sign-ins."""

import argparse
import json
import secrets
import sys
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.commands import INVALID, NOT_FOUND, OK, CommandError, add, database, emit, now_ms, settings_of
from server.org import accounts, credentials, granting, visitors
from server.org.checks import CheckError
from server.store import audit
from server.store.tables import Account, Person, Unit


def account_add(args: argparse.Namespace) -> int:
    """Create an account; the password comes from standard input, never from the command line."""
    password = sys.stdin.readline().rstrip("\n")
    db = database(settings_of(args))
    try:
        with db.write() as session:
            _place(session, args.role, args.unit)
            person = _person(session, args.person) if args.person else None
            accounts.add_account(
                session, login=args.login, password=password, role=args.role, unit=args.unit, name=args.name or args.login, person=person
            )
            audit.append(session, "cli", "account_add", args.login, {"role": args.role, "unit": args.unit}, now_ms())
    except ValueError as error:
        raise CommandError(f"账号未建立：{error}", INVALID) from error
    emit({"login": args.login}, args, f"已建立账号 {args.login}")
    return OK


def _place(session: Session, role: str, unit: str) -> None:
    """Raises CommandError for a unit that is not there, and for an administrator below city level."""
    if session.get(Unit, unit) is None:
        raise CommandError(f"没有这个单位：{unit}", NOT_FOUND)
    try:
        granting.check_place(session, role, unit)
    except CheckError as error:
        raise CommandError(f"账号未建立：{error}", INVALID) from error


def _person(session: Session, code: str) -> int:
    person = session.scalar(select(Person.id).where(Person.code == code))
    if person is None:
        raise CommandError(f"没有这个人：{code}", NOT_FOUND)
    return person


def account_load(args: argparse.Namespace) -> int:
    """Create accounts from JSON lines on standard input: {"login", "role", "unit", "name", "password"}; all of them or none."""
    db = database(settings_of(args))
    made = 0
    try:
        with db.write() as session:
            for line in filter(str.strip, sys.stdin):
                row = json.loads(line)
                _place(session, row["role"], row["unit"])
                accounts.add_account(session, **{key: row[key] for key in ("login", "role", "unit", "name", "password")})
                audit.append(session, "cli", "account_add", row["login"], {"role": row["role"], "unit": row["unit"]}, now_ms())
                made += 1
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"账号未建立，第 {made + 1} 行：{error}", INVALID) from error
    emit({"created": made}, args, f"已建立 {made} 个账号")
    return OK


def account_visitor(args: argparse.Namespace) -> int:
    """Create an account for a visiting inspector; its password is printed once."""
    db, now = database(settings_of(args)), now_ms()
    try:
        with db.write() as session:
            if session.get(Unit, args.unit) is None:
                raise CommandError(f"没有这个单位：{args.unit}", NOT_FOUND)
            until = now + args.days * credentials.DAY_MS
            made = visitors.make(
                session, "cli", login=args.login, name=args.name or args.login, unit=args.unit, since=now, until=until, reason=args.reason, now=now
            )
    except visitors.VisitorRefusedError as error:
        raise CommandError(f"账号未建立：{error}", INVALID) from error
    emit({"login": args.login, "password": made[1], "until": until}, args, f"{args.login}  {made[1]}")
    return OK


def account_certificate(args: argparse.Namespace) -> int:
    """Bind the subject of a client certificate to an account; an empty one lets go of it."""
    db = database(settings_of(args))
    with db.write() as session:
        account = session.scalar(select(Account).where(Account.login == args.login))
        if account is None:
            raise CommandError(f"没有这个账号：{args.login}", NOT_FOUND)
        if not accounts.set_certificate(session, account, args.subject, now_ms()):
            raise CommandError("这张证书已经属于另一个账号。", INVALID)
    emit({"login": args.login, "subject": args.subject}, args, f"已登记 {args.login}" if args.subject else f"已解除 {args.login}")
    return OK


FIRST = {"system": "系统管理员", "security": "安全管理员", "audit": "审计管理员"}


def account_first_run(args: argparse.Namespace) -> int:
    """Create exactly the three administrators, each with a password that is shown once and must be changed, and a second factor to enrol."""
    db, now, made = database(settings_of(args)), now_ms(), []
    with db.write() as session:
        if session.scalar(select(Account.id).limit(1)) is not None:
            raise CommandError("已经有账号，首次建立只做一次。", INVALID)
        for role, name in FIRST.items():
            _place(session, role, args.unit)
            password = secrets.token_urlsafe(15)
            account = accounts.add_account(session, login=role, password=password, role=role, unit=args.unit, name=name)
            row = credentials.security(session, account.id)
            row.must_change, row.totp_required = True, True
            audit.append(session, "cli", "account_add", role, {"role": role, "unit": args.unit}, now, unit=args.unit)
            made.append({"login": role, "role": role, "password": password})
    emit({"accounts": made}, args, "\n".join(f"{row['login']}  {row['password']}" for row in made))
    return OK


def register(commands: Any) -> None:
    """Add the commands of this module."""
    account = commands.add_parser("account", help="账号").add_subparsers(required=True)
    adding = add(account, "add", account_add, "新建账号（密码从标准输入读取）")
    adding.add_argument("login")
    first = add(account, "first-run", account_first_run, "首次建立：三名互斥的管理员，密码只显示一次")
    first.add_argument("--unit", required=True)
    adding.add_argument("--role", required=True, choices=accounts.ROLES)
    adding.add_argument("--unit", required=True)
    adding.add_argument("--name", default="")
    adding.add_argument("--person", default="", help="人员编号：离职、调离、免职时账号随之停用")
    add(account, "load", account_load, "新建一批账号（标准输入，每行一个 JSON）")
    visiting = add(account, "visitor", account_visitor, "新建访客账号：只看、到期停用、有水印；密码只显示一次")
    visiting.add_argument("login")
    visiting.add_argument("--unit", required=True)
    visiting.add_argument("--name", default="")
    visiting.add_argument("--days", type=int, default=1)
    visiting.add_argument("--reason", required=True)
    binding = add(account, "certificate", account_certificate, "登记客户端证书的主体（空为解除）")
    binding.add_argument("login")
    binding.add_argument("subject")
