"""Errors become pages here, once: a sentence the reader understands, and no inner details."""

from __future__ import annotations

import structlog
from flask import Flask, render_template, request
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException

from service.domain.refusals import NotAllowed, NotFound, Refused
from service.store.codec import UnreadableFact
from service.store.database import StorageUnusable, storage_problem
from service.web import words
from service.web.desk import NotEnrolled

log = structlog.get_logger(__name__)

Answer = tuple[str, int]


def set_up(app: Flask) -> None:
    app.register_error_handler(NotAllowed, _not_allowed)
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(NotEnrolled, _not_enrolled)
    app.register_error_handler(UnreadableFact, _unreadable)
    app.register_error_handler(StorageUnusable, _storage_unusable)
    app.register_error_handler(DBAPIError, _database)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def _page(status: int, title: str, sentence: str, hint: str = "") -> Answer:
    return render_template("error.html", status=status, title=title, sentence=sentence, hint=hint), status


def _not_allowed(error: NotAllowed) -> Answer:
    return _page(403, _("不能办理"), words.refusal(error), _("如确有需要,请联系站长或乡镇受理员。"))


def _not_found(error: NotFound) -> Answer:
    return _page(404, _("没有找到"), words.refusal(error), _("可能尚未同步到本机,或您的账号看不到它。"))


def _refused(error: Refused) -> Answer:
    return _page(409, _("未能办理"), words.refusal(error))


def _not_enrolled(_error: NotEnrolled) -> Answer:
    return _page(409, _("本站尚未接入乡镇"), _("这台电脑还没有接入乡镇枢纽,暂时不能登记意见。"),
                 _("请向乡镇管理员索取一次性接入码,在本机打开首页按提示接入,或运行: lianxin enrol 接入码"))  # fmt: skip


def _unreadable(error: UnreadableFact) -> Answer:
    """A case that stands in quarantine: its list row is still there, its whole life cannot be shown."""
    log.warning("case.unreadable", reason=str(error))
    return _page(409, _("暂时不能显示"), _("其中有一条记录整理不了,已完整保存,等待乡镇处理。"),
                 _("乡镇受理员可在“站点状态”的“待处理记录”中处理。"))  # fmt: skip


def _storage_unusable(error: StorageUnusable) -> Answer:
    log.critical("storage.unusable", code=error.code)
    sentences = {
        "disk_full": _("磁盘已满,系统已停止记录,刚才提交的内容没有保存。"),
        "disk_read_only": _("磁盘不能写入,系统已停止记录,刚才提交的内容没有保存。"),
    }
    sentence = sentences.get(error.code, _("数据库文件损坏,系统已停止记录,刚才提交的内容没有保存。"))
    return _page(503, _("停止记录"), sentence, _("请先在纸上登记,并立即联系管理员。已同步到乡镇的内容不受影响。"))


def _database(error: DBAPIError) -> Answer:
    error.hide_parameters = True  # a citizen's words stand in them, and the message goes into the log
    problem = storage_problem(error)
    return _storage_unusable(problem) if problem is not None else _unforeseen(error)


def _csrf(_error: CSRFError) -> Answer:
    return _page(400, _("页面已过期"), _("为安全起见,这次提交没有被接受。"),
                 _("请返回上一页,复制已写的内容,刷新后再提交。"))  # fmt: skip


def _http(error: HTTPException) -> Answer | HTTPException:
    if error.code is None or error.code < 400:
        return error  # redirects
    titles = {
        404: (_("没有找到"), _("没有这个页面。")),
        405: (_("没有找到"), _("没有这个页面。")),
        413: (_("内容太大"), _("提交的内容太大,没有保存。")),
        429: (_("请稍候"), _("操作太频繁,请过几分钟再试。")),
    }
    title, sentence = titles.get(error.code, (_("请求无法处理"), _("浏览器发来的内容无法识别。")))
    return _page(error.code, title, sentence)


def _unforeseen(error: Exception) -> Answer:
    """The edge: whatever got this far is our fault. The reader learns that nothing was recorded, the log why."""
    place = request.url_rule.rule if request.url_rule else "-"  # the rule, as an address may hold a tracking code
    log.error("request.failed", path=place, error=type(error).__name__, exc_info=error)
    hint = _("请再试一次;若仍不行,请联系管理员。")
    return _page(500, _("系统故障"), _("刚才的操作没有完成,没有保存任何内容。"), hint)
