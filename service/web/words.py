"""Codes into words. The terms are those of the people at the desk: 意见, 来访群众, 承办单位, 办理.

Every label is a message id in Chinese; `word` and `refusal` give it in the reader's language. `N_` marks a text for
the catalogue without translating it yet.
"""

from __future__ import annotations

from typing import Final

from flask_babel import gettext

from service.domain.refusals import Refused
from service.domain.working_days import Term


def N_(text: str) -> str:
    return text


LABELS: Final[dict[str, dict[str, str]]] = {
    "state": {
        "registered": N_("已登记(待筛选)"),
        "needs_info": N_("待补充"),
        "direct": N_("待直接答复"),
        "dispatched": N_("已交办(待签收)"),
        "handling": N_("办理中"),
        "return_pending": N_("退回待审"),
        "suspended": N_("挂账"),
        "reply_review": N_("答复待审"),
        "replied": N_("已答复(待回访)"),
        "reopened": N_("重新办理"),
        "closed": N_("已办结"),
        "explained": N_("已解释办结"),
        "merged": N_("已并案"),
        "withdrawn": N_("已撤回"),
        "void": N_("作废"),
    },
    # What a citizen reads; {unit} is filled in where the state names one.
    "public_state": {
        "registered": N_("您的意见已登记,正在筛选"),
        "needs_info": N_("需要您补充情况"),
        "direct": N_("正在准备答复"),
        "dispatched": N_("已交办给%(unit)s"),
        "handling": N_("%(unit)s正在办理"),
        "return_pending": N_("%(unit)s提出退回,乡镇正在审核"),
        "suspended": N_("暂时挂账,到期复核"),
        "reply_review": N_("%(unit)s已提交答复,乡镇正在审核"),
        "replied": N_("已答复"),
        "reopened": N_("正在重新办理"),
        "closed": N_("已办结"),
        "explained": N_("已解释说明并办结"),
        "merged": N_("已与相同意见合并办理"),
        "withdrawn": N_("已撤回"),
        "void": N_("已作废"),
    },
    "route": {
        "direct": N_("直接答复"),
        "assign": N_("交办办理"),
        "transfer": N_("依法转交"),
        "explain": N_("解释说明"),
    },
    "source": {
        "reception": N_("接待"),
        "visit": N_("走访"),
        "call": N_("来电"),
        "letter": N_("来信"),
        "online": N_("网络"),
        "deputy_code": N_("代表码"),
        "meeting": N_("会议"),
    },
    "urgency": {"normal": N_("一般"), "urgent": N_("紧急"), "critical": N_("特急")},
    "secrecy": {"open": N_("公开姓名"), "unit": N_("对承办单位保密"), "anonymous": N_("全程匿名")},
    "outcome": {
        "A": N_("已解决"),
        "B": N_("正在解决"),
        "C": N_("列入计划"),
        "D": N_("留作参考(解释说明)"),
    },
    "way": {
        "face": N_("当面"),
        "phone": N_("电话"),
        "letter": N_("书面"),
        "sms": N_("短信"),
        "online": N_("网上"),
    },
    "rating": {"satisfied": N_("满意"), "fair": N_("基本满意"), "dissatisfied": N_("不满意")},
    "by": {"citizen": N_("群众"), "deputy": N_("代表")},
    "clock": {
        "K0": N_("全程"),
        "K1": N_("筛选分流"),
        "K2": N_("办理"),
        "K3": N_("直接答复"),
        "K4": N_("回访"),
        "K5": N_("法定答复"),
    },
    "level": {"0": N_("到期提醒"), "1": N_("催办"), "2": N_("黄牌"), "3": N_("红牌"), "4": N_("主席团督办")},
    # Why a node numbers anew: codes of the replication library.
    "doubt": {
        "database_older": N_("数据库比记录的进度旧,可能恢复过备份"),
        "database_differs": N_("数据库与记录的进度不一致,可能恢复过另一份备份"),
        "anchor_missing": N_("进度文件丢失或损坏"),
        "machine_changed": N_("数据被移到另一台电脑"),
        "peer_knows_more": N_("对方保存的内容比本机多,可能恢复过备份"),
        "fork": N_("恢复备份后又继续记录,两份内容都已保留"),
        "taken_over": N_("收下了旧电脑上的记录"),
    },
    "card_reason": {
        "half_term": N_("期限过半"),
        "due_soon": N_("即将到期"),
        "overdue": N_("已逾期"),
        "unsigned": N_("逾期未签收"),
        "no_feedback": N_("催办后未反馈"),
        "yellow_cards": N_("同一单位黄牌累计"),
        "dissatisfied": N_("群众两次不满意"),
        "key_item": N_("主席团选定的重点事项"),
        "reopened": N_("多次重新办理"),
        "plan_missed": N_("挂账计划未按期完成"),
    },
    "role": {
        "deputy": N_("代表"),
        "liaison": N_("联络员"),
        "chief": N_("站长"),
        "clerk": N_("枢纽受理员"),
        "chair": N_("人大主席"),
        "presidium": N_("主席团"),
        "handler": N_("承办单位经办"),
        "unit_head": N_("承办单位负责人"),
        "auditor": N_("审计员"),
        "admin": N_("管理员"),
        "system": N_("系统"),
        "town_leader": N_("镇分管领导"),
    },
    "tier": {"central": N_("中心站"), "station": N_("联络站"), "point": N_("联络点")},
    "deputy_level": {"city": N_("市"), "county": N_("县"), "town": N_("镇")},
    "day_kind": {
        "workday": N_("工作日"),
        "make_up": N_("调休上班"),
        "weekend": N_("周末"),
        "holiday": N_("放假"),
        "paused": N_("暂停计时"),
    },
    "day_status": {"published": N_("公布"), "provisional": N_("暂估"), "local": N_("本地")},
    # The timeline: what happened, by kind of fact.
    "fact": {
        "node.withdrawn": N_("停用电脑"),
        "node.late_left": N_("旧电脑上的记录未收下"),
        "person.erased": N_("删除个人信息"),
        "person.erasure_confirmed": N_("确认已删除个人信息"),
        "node.epoch_opened": N_("恢复记录"),
        "opinion.registered": N_("登记"),
        "opinion.info_requested": N_("要求补充"),
        "opinion.info_supplied": N_("补充完成"),
        "opinion.merged": N_("并案"),
        "opinion.unmerged": N_("解除并案"),
        "opinion.routed_direct": N_("分流: 直接答复"),
        "opinion.answered": N_("直接答复"),
        "opinion.dispatched": N_("交办"),
        "opinion.explained": N_("解释说明"),
        "opinion.signed": N_("签收"),
        "opinion.return_requested": N_("申请退回"),
        "opinion.return_granted": N_("同意改派"),
        "opinion.return_refused": N_("驳回退回申请(须继续办理)"),
        "opinion.progressed": N_("阶段反馈"),
        "opinion.extension_requested": N_("申请延期"),
        "opinion.extension_decided": N_("延期审批"),
        "opinion.suspension_requested": N_("申请挂账"),
        "opinion.suspended": N_("批准挂账"),
        "opinion.resumed": N_("恢复办理"),
        "opinion.reply_submitted": N_("提交答复"),
        "opinion.reply_rejected": N_("答复退回修改"),
        "opinion.reply_delivered": N_("审核通过并送达"),
        "opinion.followed_up": N_("回访"),
        "opinion.rated": N_("评价"),
        "opinion.reopen_requested": N_("申请重新办理"),
        "opinion.reopened": N_("重新办理"),
        "opinion.closed": N_("办结"),
        "opinion.withdrawn": N_("撤回"),
        "opinion.voided": N_("作废"),
        "opinion.solved_later": N_("跟踪销号"),
        "opinion.card_fired": N_("督办"),
        "opinion.card_answered": N_("督办反馈"),
        "opinion.card_revoked": N_("撤销督办"),
        "opinion.key_selected": N_("选为重点督办"),
        "opinion.attached": N_("添加附件"),
        "record.retried": N_("乡镇安排重新整理"),
        "record.set_aside": N_("乡镇退回一条记录"),
        "record.corrected": N_("乡镇更正一条记录"),
        "reception.held": N_("接待登记"),
        "reception.withdrawn": N_("撤销接待登记"),
    },
    # Field labels, shared by forms and by the sentences that refuse a field.
    "field": {
        "erase_reason": N_("删除理由"),
        "withdraw_reason": N_("停用理由"),
        "hub_address": N_("乡镇服务器的地址"),
        "join_code": N_("接入码"),
        "late_reason": N_("不收下的理由"),
        "sure": N_("确认删除"),
        "username": N_("账号"),
        "password": N_("密码"),
        "old": N_("当前密码"),
        "new": N_("新密码"),
        "again": N_("再输入一次新密码"),
        "title": N_("标题"),
        "body": N_("反映事项(请记录原话)"),
        "wish": N_("具体诉求"),
        "source": N_("反映方式"),
        "category": N_("类别"),
        "area": N_("所在村(居)"),
        "grid": N_("所在网格"),
        "affected": N_("涉及人数"),
        "urgency": N_("紧急程度"),
        "secrecy": N_("保密要求"),
        "name": N_("姓名"),
        "phone": N_("电话"),
        "address": N_("住址"),
        "gender": N_("性别"),
        "proxy_deputy": N_("代反映代表"),
        "notice_read": N_("告知书已宣读"),
        "held_on": N_("接待日期"),
        "headcount": N_("接待人次"),
        "deputies": N_("到场代表"),
        "note": N_("备注"),
        "text": N_("答复内容"),
        "outcome": N_("结果分类"),
        "way": N_("方式"),
        "basis": N_("政策或事实依据"),
        "reason": N_("原因"),
        "channel": N_("告知渠道"),
        "talk": N_("谈话记录"),
        "confirmed": N_("来访群众已确认"),
        "attempts": N_("联系次数"),
        "solved": N_("是否解决"),
        "rating": N_("满意度"),
        "overall": N_("满意度"),
        "reached": N_("是否联系上"),
        "unit": N_("主办单位"),
        "co_units": N_("会办单位"),
        "requirement": N_("办理要求"),
        "duty_basis": N_("职责依据"),
        "important": N_("重要意见"),
        "widespread": N_("普遍性问题"),
        "hard": N_("涉及面广或难度大"),
        "adopted_by": N_("采纳为建议的代表"),
        "letter_no": N_("主席团转交函号"),
        "evidence": N_("佐证材料"),
        "plan": N_("计划"),
        "promised_on": N_("计划完成日期"),
        "policy_basis": N_("政策依据"),
        "defects": N_("需修改之处"),
        "proof": N_("送达凭证"),
        "code": N_("查询码"),
        "folder": N_("U盘"),
        "station": N_("联络站"),
        "role": N_("角色"),
        "files": N_("照片或扫描件"),
        "caption": N_("附件说明"),
        "why": N_("处理理由"),
    },
    # Why a photo or scan has not come.
    "awaiting": {
        "under_way": N_("正在分批传送,来网后自动继续。"),
        "no_room": N_("本机硬盘空间不足,暂时不收文件。请腾出空间。"),
        "no_contact": N_("这以后对方还没有联系过。请检查对方的电脑和网络,或用U盘带来。"),
        "nobody_has_it": N_(
            "对方联系过,但也没有这个文件:可能已损坏,或留在旧电脑里。请把旧电脑开机联网一次,或重新添加。"
        ),
    },
    # What a stick brought and why it was not stored, where the other side's words above would mislead.
    "stick_problem": {
        "code_refused": N_("接入申请所用的接入码不对、已用过或已过期,没有接入。请重新生成接入码。"),
        "node_taken": N_("接入申请的电脑编号已被占用,没有接入。请联系乡镇管理员。"),
        "unknown_peer": N_("写这个U盘的电脑没有在本机登记接入,没有存入任何内容。"),
        "bad_signature": N_("签名核对不通过,没有存入。请核对U盘来自哪里。"),
        "wrong_recipient": N_("其中的内容是带给别处的,没有存入。"),
        "peer_revoked": N_("对方的接入资格已被收回,不再为它写U盘。"),
        "not_granted": N_("其中有对方权限以外的内容,没有存入。"),
        "fork_found": N_("同一编号出现两份不同内容:可能有两台电脑使用同一身份。请停用其中一台并人工核对。"),
        "unknown_origin": N_("内容来自未登记的节点,没有存入。"),
        "origin_revoked": N_("内容由已收回的密钥签名,留待人工核对。"),
        "snapshot_differs": N_("内容与对方签名的校验值不符,没有存入。请对方重新写一次;若反复出现请联系管理员。"),
        "malformed_event": N_("有一条记录格式不对,其余照常接收。请核对对方的软件版本。"),
        "malformed": N_("有一个文件无法识别。请核对对方的软件版本。"),
        "too_large": N_("有一个文件过大,没有读入。请核对对方的软件版本。"),
        "format_unsupported": N_("对方的软件版本较新,请先更新本机软件。"),
    },
    # Refusals: the sentence for a code; %(field)s is the field's label.
    "refusal": {
        "required": N_("请填写“%(field)s”。"),
        "too_long": N_("“%(field)s”太长,最多 %(limit)s 个字。"),
        "unknown_choice": N_("“%(field)s”的选项无效,请重新选择。"),
        "out_of_range": N_("“%(field)s”应在 %(low)s 到 %(high)s 之间。"),
        "not_a_number": N_("“%(field)s”请填整数,例如 3。"),
        "not_a_date": N_("“%(field)s”请填日期,例如 2026-11-23。"),
        "not_in_future": N_("“%(field)s”不能晚于今天。"),
        "notice_needed": N_("登记姓名、电话或住址前,请先宣读个人信息告知书并勾选。"),
        "bad_credentials": N_("账号或密码不正确。"),
        "locked": N_("输错次数过多,请在 %(minutes)s 分钟后再试。"),
        "not_the_same": N_("两次输入的新密码不一致。"),
        "password_length": N_("密码长度应为 %(low)s 到 %(high)s 位。"),
        "password_known": N_("这个密码太容易被猜到,请换一个。"),
        "taken": N_("“%(field)s”已被使用。"),
        "chair_only": N_("此原因只能由人大主席作出解释说明。"),
        "two_attempts": N_("来访群众未确认时,须至少联系两次。"),
        "important_or_widespread": N_("依法转交须标明“重要意见”或“普遍性问题”。"),
        "deputy_or_letter": N_("请选择采纳为建议的代表,或填写主席团转交函号。"),
        "follow_up_first": N_("请先回访:联系上一次,或在不同日期联系两次未果,方可办结。"),
        "reopen_pending": N_("群众已申请重新办理,请先由乡镇处理该申请。"),
        "reopen_window_over": N_("申请重新办理的期限已于 %(last)s 届满。"),
        "not_yet_replied": N_("意见还没有答复,暂不能评价或申请重新办理。"),
        "hub_only": N_("此步骤只能在乡镇枢纽办理。"),
        "attachments_erased": N_("来访人的个人信息和附件已按本人要求删除,这件意见不能再添加附件。"),
        "locked_category": N_("检举控告、涉法涉诉类意见不得交办或转交,请作解释说明并告知渠道。"),
        "registered_before": N_("这份意见已经登记过,没有重复登记。"),
        "not_allowed": N_("您的角色不能办理此步骤。"),
        "late_refused": N_("这些记录不能收下,原因代码:%(reason)s。请把代码告诉维护人员,记录仍保留在这里。"),
        "late_no_computer": N_("这些记录要由该站点的一台电脑收下。请先接入一台新电脑,再回到本页。"),
        "wrong_state": N_("此意见目前的状态不能办理此步骤,可能已有人办理。"),
        "not_found": N_("没有找到所要的内容。"),
        "not_an_address": N_("“%(field)s”应像 https://renda.example.cn 这样,中间没有空格。"),
        "enrolled_before": N_("这台电脑已经接入“%(station)s”站。"),
        "not_a_folder": N_("请选择U盘,或填写U盘的完整路径。"),
        "invalid_form": N_("请按提示修改后再提交。"),
        "not_yourself": N_("不能停用自己的账号。"),
        "unknown_code": N_("没有找到这个查询码对应的意见,请核对后再输入。"),
        "reason_needed": N_("请写明查看来访人信息的原因。"),
        "file_empty": N_("“%(name)s”是空文件。"),
        "file_too_large": N_("“%(name)s”太大,每个文件最多 %(limit)s MB。"),
        "file_type": N_("“%(name)s”不是 JPEG、PNG 图片或 PDF。"),
        "file_damaged": N_("“%(name)s”已损坏或不完整,请重新拍照或扫描。"),
        "picture_too_large": N_("“%(name)s”的像素太多,请缩小后再传。"),
        "pdf_locked": N_("“%(name)s”设有密码,请去掉密码后再传。"),
        "pdf_active": N_("“%(name)s”带有脚本或内嵌文件,请打印成普通 PDF 后再传。"),
        "too_many_files": N_("每件意见最多 %(limit)s 个附件。"),
        "no_room": N_("本机磁盘空间不足,附件没有保存。意见照常登记;请联系管理员清理磁盘。"),
        "file_erased": N_("“%(name)s”的内容已按规定清除,不能再次添加。"),
        "other_station_only": N_("该信息只有登记站可以查看。"),
    },
}


def word(code: object, group: str, **data: object) -> str:
    """The label of a code in the reader's language; an unknown code is shown as it is rather than hidden."""
    label = LABELS[group].get(str(code))
    return gettext(label, **data) if label else str(code)


def choices(group: str, *codes: str) -> list[tuple[str, str]]:
    """(code, label) pairs for a select; all of the group when no codes are given."""
    return [(code, word(code, group)) for code in codes or LABELS[group]]


def refusal(refused: Refused, label: str = "") -> str:
    """The sentence for a refusal, naming its field (by its label); a code this page does not know is shown as it is."""
    field = label or (word(refused.field, "field") if refused.field else "")
    sentence = LABELS["refusal"].get(refused.code)
    if sentence is None:
        return gettext("系统没有接受(代码 %(code)s)。", code=refused.code)
    return gettext(sentence, **{"field": field, **refused.data})


def term(text: str) -> str:
    """`5wd` → 5 个工作日."""
    length = Term.parse(text)
    if length.unit == "wd":
        return gettext("%(n)s 个工作日", n=length.amount)
    if length.unit == "mo":
        return gettext("%(n)s 个月", n=length.amount)
    return gettext("%(n)s 天", n=length.amount)
