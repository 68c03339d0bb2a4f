"""What a node answers when its storage cannot be trusted: on every address, that recording has stopped.

A page that still took a form would promise what it cannot keep, so there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from service.store.database import StorageUnusable

SENTENCES = {
    "disk_full": (
        "磁盘已满,已停止登记。请先清理出空间,再重新启动连心。此前登记的内容都在。",
        "The disk is full, so recording has stopped. Free some space, then start Lianxin again. "
        "What was recorded is still there.",
    ),
    "disk_read_only": (
        "磁盘不可写,已停止登记。请检查磁盘和文件夹权限,再重新启动连心。此前登记的内容都在。",
        "The disk cannot be written, so recording has stopped. Check the disk and the folder's permissions, then "
        "start Lianxin again. What was recorded is still there.",
    ),
    "database_malformed": (
        "数据库文件已损坏,已停止登记。请不要删除任何文件,并联系镇枢纽:从备份恢复后,枢纽会把已收到的内容发回本站。",
        "The database file is damaged, so recording has stopped. Delete nothing and call the hub: after restoring a "
        "backup, the hub sends back all it had received.",
    ),
    "database_unreachable": (
        "数据库连接不上,已停止登记。请检查 PostgreSQL 是否在运行,再重新启动连心。",
        "The database does not answer, so recording has stopped. See that PostgreSQL runs, then start Lianxin again.",
    ),
    "database_newer": (
        "这个数据库已被更新版本的连心使用过,旧版本不能打开,已停止登记,没有改动任何内容。请重新启动新版本,或恢复升级前的备份。",
        "A newer Lianxin has worked with this database, so this one has stopped and changed nothing. Start the newer "
        "program again, or restore the backup made before the upgrade.",
    ),
    "keys_unusable": (
        "密钥文件无法读取,已停止登记。请不要删除任何文件,并联系镇枢纽。",
        "This node's key files cannot be read, so recording has stopped. Delete nothing and call the hub.",
    ),
}
_PAGE = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>已停止登记 · Recording stopped</title>
<style>body {{ font: 1.25rem/1.7 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.75rem }} code {{ color: #555 }}</style></head>
<body><h1>已停止登记</h1><p>{zh}</p><p lang="en">{en}</p><p><code>{code}</code></p></body></html>
"""

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def sentences(problem: StorageUnusable) -> tuple[str, str]:
    """What happened and what to do, in Chinese and in English."""
    return SENTENCES.get(problem.code, SENTENCES["database_malformed"])


def stopped_app(problem: StorageUnusable) -> WSGI:
    """A WSGI application that answers every request 503 with the sentence."""
    zh, en = sentences(problem)
    page = _PAGE.format(zh=escape(zh), en=escape(en), code=escape(problem.code)).encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(page))),
        ("Cache-Control", "no-store"), ("Retry-After", "60"),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ]  # fmt: skip

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("503 Service Unavailable", headers)
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [page]

    return app
