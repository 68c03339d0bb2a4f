"""Why records have not been compared yet, in words: what stands in the way, and what a person can do about it.

Every error of the replication library has both; so have the states that are no error. A sentence is for the person at
the desk, not for whoever wrote the program.
"""

from __future__ import annotations

from typing import Final

from flask_babel import get_locale, gettext

from service.web.words import LABELS, N_
from sync.errors import SyncError

_BY_ITSELF: Final = N_("不用操作,系统会自动重试;记录不受影响。")
_TELL_HUB: Final = N_("请把代码告诉乡镇管理员。记录都在本机,照常登记。")
_VERSIONS: Final = N_("请乡镇管理员核对两端的软件版本。记录都在本机,照常登记。")
_AGAIN: Final = N_("其余已读入。对方下次写U盘时会补上;若反复出现请换一个U盘。")

# By code: (what stands in the way, what a person can do).
REASONS: Final[dict[str, tuple[str, str]]] = {
    # No error.
    "queued": (N_("刚刚记下,正在排队送出。"), N_("不用操作,联网时几秒内送出。")),
    "starting": (N_("刚开机:各站错开时间联系乡镇。"), N_("不用等:按“立即同步”马上开始。")),
    "unverified": (N_("乡镇已收到,还没有再次核对。"), N_("不用操作,一分钟内自动核对。")),
    "stick_only": (
        N_("本机没有设置乡镇服务器的地址,只能用U盘往来。"),
        N_("请用U盘把记录带到乡镇,再把答复带回来。"),
    ),
    # The line.
    "sync": (N_("同步没有完成。"), _TELL_HUB),
    "link": (N_("线路中断。"), _BY_ITSELF),
    "unreachable": (
        N_("连不上乡镇服务器。"),
        N_("记录不受影响,系统会自动重试;请检查网线和路由器,都正常就是乡镇那边停机。"),
    ),
    "timed_out": (N_("线路太慢,本次没有传完。"), N_("不用操作,系统会自动重试,并减小每次传送的量。")),
    "tls_failed": (N_("安全连接失败。"), N_("请先核对本机日期和时间,再联系乡镇管理员检查证书。")),
    "captive_portal": (
        N_("网络要求先登录上网认证页面,还没有连到乡镇。"),
        N_("请在本机打开浏览器完成认证,再按“立即同步”。"),
    ),
    "answer_cut": (N_("传送中途断线。"), N_("不用操作,系统会自动重试,不会重复也不会丢失。")),
    "peer_busy": (N_("乡镇服务器繁忙,让本站稍后再来。"), N_("不用操作,到时间自动再试。")),
    "peer_failed": (N_("乡镇服务器内部故障。"), N_("系统会自动重试;若持续出现请告知乡镇管理员。")),
    # What arrived.
    "wire": (N_("收到的内容无法使用。"), _TELL_HUB),
    "malformed": (N_("收到的内容无法识别。"), _VERSIONS),
    "format_unsupported": (N_("对方的软件版本较新,本机还读不懂。"), N_("请更新本机软件。已记录的内容不会丢失。")),
    "unknown_verb": (N_("两端软件版本不一致。"), _VERSIONS),
    "too_large": (
        N_("单次传送的内容过大,被网络设备或对方拒收。"),
        N_("系统会自动减小后重试;若同一条反复出现,请告知乡镇管理员,其余照常送出。"),
    ),
    "chunk_damaged": (N_("附件有一小块在路上损坏。"), N_("不用操作,只重传这一小块。")),
    "unexpected_answer": (N_("应答的不像是乡镇服务器。"), N_("请核对服务器地址,或询问网络管理员。")),
    # What the hub does not allow.
    "refusal": (N_("乡镇没有接受本站的请求。"), _TELL_HUB),
    "unknown_peer": (N_("乡镇服务器不认识本站。"), N_("请向乡镇索取接入码重新接入。记录都在本机。")),
    "peer_revoked": (
        N_("本机的接入资格已被收回,乡镇不再向本机发送内容。"),
        N_("请保留本机硬盘并联系乡镇:还没送出的记录可以交乡镇审核后收下。"),
    ),
    "bad_signature": (N_("签名核对不通过,没有存入任何内容。"), N_("请联系乡镇管理员。")),
    "counter_too_low": (
        N_("请求序号过旧。"),
        N_("系统会自动重试;若持续出现,可能有另一台电脑在使用本站身份,请联系乡镇。"),
    ),
    "wrong_recipient": (N_("应答的不是本镇的服务器。"), N_("请核对服务器地址。")),
    "not_granted": (N_("乡镇没有给本站这部分权限。"), N_("请联系乡镇管理员放开权限。记录都在本机。")),
    "code_refused": (N_("接入码不对、已用过或已过期。"), N_("请向乡镇索取新的接入码。")),
    "node_taken": (N_("本机的编号已被另一台电脑占用。"), N_("请联系乡镇管理员。")),
    "blob_not_referred": (N_("附件先到了,引用它的记录还没有整理好。"), N_("不用操作,稍后自动重试。")),
    "blob_erased": (N_("这个附件已按规定清除。"), N_("不用操作:是有意清除的。")),
    "refused_by_peer": (N_("乡镇没有接受,理由是本机软件还不认识的。"), N_("请更新本机软件,就能看到理由。")),
    # One stream.
    "stream": (N_("有一组记录停住了,其余照常。"), _TELL_HUB),
    "fork_found": (N_("发现两台电脑使用同一身份,或本机从旧备份恢复过。"), N_("请停用其中一台,并立即联系乡镇管理员。")),
    "unknown_origin": (N_("收到的内容来自未登记的电脑,没有存入。"), N_("系统会自动重试;若持续出现请告知乡镇管理员。")),
    "origin_revoked": (
        N_("有的记录是接入资格收回之后写下的,留待乡镇审核。"),
        N_("请联系乡镇管理员审核。记录没有丢失。"),
    ),
    "malformed_event": (N_("有一条记录格式不对,其余照常送出。"), _VERSIONS),
    # The memory stick.
    "stick": (N_("U盘无法使用。"), N_("请换一个U盘再试。")),
    "stick_unusable": (
        N_("U盘读写失败,或已被拔出。"),
        N_("请重新插好后再做一次,已读入的内容不会丢失;仍不行请换一个U盘。"),
    ),
    "stick_read_only": (N_("U盘不能写入。"), N_("请关闭写保护开关,或换一个U盘。")),
    "stick_full": (N_("U盘空间不足。"), N_("请腾出空间或换一个更大的U盘;之前写好的内容仍然完整。")),
    "stick_empty": (N_("这个U盘上没有带给本机的内容。"), N_("请核对U盘和文件夹是否选对。")),
    "stick_for_others": (
        N_("U盘上的内容是带给别处的,没有存入任何内容。"),
        N_("可能是其他站或其他乡镇的U盘,请核对。"),
    ),
    "stick_answer_missing": (N_("U盘上还没有乡镇的接入答复。"), N_("请先带到乡镇读入。")),
    "stick_file_missing": (N_("U盘上少了一个文件。"), _AGAIN),
    "stick_file_damaged": (N_("U盘上有一个文件已损坏。"), _AGAIN),
    "stick_path_unsafe": (N_("U盘上的清单被人改动过,没有读入。"), N_("请停止使用这个U盘并告知乡镇管理员。")),
    # This computer.
    "local": (N_("本机不能完成这一步。"), _TELL_HUB),
    "already_recorded": (N_("这件事已经记录过。"), N_("不用操作。")),
    "event_too_large": (N_("有一条记录太长,不能保存。"), N_("请缩短文字,或改为添加附件。")),
    "identity_unusable": (N_("本机的密钥文件丢失或损坏。"), N_("请从备份恢复密钥文件夹,或向乡镇索取接入码重新接入。")),
    "body_unreadable": (
        N_("有一条封存的内容打不开:密钥文件夹与数据库不是一套。"),
        N_("请恢复与数据库配套的密钥文件夹。"),
    ),
    "no_space": (N_("磁盘空间不足,附件暂时收不下。"), N_("记录照常往来。请清理磁盘,附件随后自动补上。")),
    "epochs_exhausted": (
        N_("本机一天之内多次怀疑自己的记录被换过。"),
        N_("可能有两台电脑用着同一块硬盘的副本:请停用其中一台并联系乡镇。照常登记。"),
    ),
    "no_progress": (
        N_("两边不一样,但谁也没有可再送的内容。"),
        N_("请乡镇管理员核对本站权限和“恢复记录”。记录都在本机。"),
    ),
    # What this computer sees by itself.
    "disk_low": (N_("本机磁盘快满了。"), N_("请清理磁盘;满了就不能再登记,也收不到答复。")),
    "database_damaged": (N_("本机数据库检查发现损坏。"), N_("请不要删除任何文件,并联系乡镇管理员从备份恢复。")),
}


def reason(code: str) -> str:
    """What stands in the way; a code that only a newer version knows is shown as it is."""
    known = REASONS.get(code)
    return gettext(known[0]) if known else gettext("同步没有完成(代码 %(code)s)。", code=code)


def advice(code: str) -> str:
    """What a person can do about it."""
    known = REASONS.get(code)
    return gettext(known[1]) if known else gettext("系统会自动重试;若持续出现请把代码告诉乡镇管理员。")


def both(code: str) -> str:
    """One line of both."""
    return f"{reason(code)}{' ' if str(get_locale()) == 'en' else ''}{advice(code)}"


def stick_problem(error: SyncError) -> str:
    """Why a stick, or one file on it, could not be used; the file is named."""
    label = LABELS["stick_problem"].get(error.code)
    sentence = gettext(label) if label else both(error.code)
    file = error.data.get("file")
    return f"{file}: {sentence}" if file else sentence
