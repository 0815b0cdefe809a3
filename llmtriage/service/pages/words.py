"""The words of the pages, in English and Chinese."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from llmtriage.service.serving import service_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from fastapi import Request

Language = Literal["en", "zh"]

WORDS: Mapping[str, tuple[str, str]] = {
    # every page
    "navigation": ("Pages", "页面"),
    "queue": ("Queue", "队列"),
    "overview": ("Overview", "总览"),
    "history": ("My answers", "我的回答"),
    "sign out": ("Sign out", "退出"),
    "other language": ("中文", "English"),
    "to main": ("To the content", "跳到正文"),
    "failed": ("Not saved: the service does not answer. Try again.", "未保存：服务没有响应，请重试。"),
    "away": ("The service does not answer. What is shown may be old.", "服务没有响应，显示的内容可能已过时。"),
    "too soon": (
        "Not counted: the key came before the ticket could be read.",
        "未计入：工单刚显示就按了键。",
    ),
    "lost soon": ("This ticket is with somebody else now, or was answered.", "此工单已由他人处理或已回答。"),
    "error": ("This did not work", "未能完成"),
    "error 403": ("Not allowed", "不允许"),
    "error 404": ("There is nothing here", "这里没有内容"),
    "error 409": ("This was changed meanwhile", "内容已被更改"),
    "error 422": ("This cannot be used as it is", "内容有误"),
    "error 429": ("Too many requests; wait a little", "请求过多，请稍候"),
    "error 503": ("The service cannot work now; nothing was saved", "服务暂时无法工作，未保存任何内容"),
    "try again": ("Try again", "重试"),
    "back to queue": ("To the queue", "回到队列"),
    # the page of the API
    "api": ("API", "API"),
    "api about": (
        "Each call can be tried here. It is made in your name, or with a key if you give one, and what it changes is changed.",
        "此处可试用每个接口。调用以您的身份进行，填写密钥则使用密钥；调用会真正生效。",
    ),
    "api key": ("Key (lt_...), kept nowhere", "密钥（lt_...），不会保存"),
    "api name": ("Field", "字段"),
    "api kind": ("Kind", "类型"),
    "api meaning": ("Meaning", "含义"),
    "api required": ("required", "必填"),
    "api body": ("What is sent", "发送的内容"),
    "api call": ("Call", "调用"),
    "api reply": ("What may come back", "返回示例"),
    "api curl": ("As a command", "命令行"),
    # signing in
    "sign in": ("Sign in", "登录"),
    "name": ("Name", "姓名"),
    "password": ("Password", "密码"),
    "no password": (
        "No account exists and the service is reached from this machine alone: a name is enough.",
        "尚无账户，且服务仅限本机访问：填写姓名即可。",
    ),
    "wrong password": ("Name and password do not belong together.", "姓名与密码不匹配。"),
    "bad name": (
        "A name is visible text on one line without /, of at most 100 characters.",
        "姓名须为单行可见文字，不含 /，最多 100 个字符。",
    ),
    # the queue
    "one waits": ("1 ticket waits", "1 张工单等待处理"),
    "waits": ("{} tickets wait", "{} 张工单等待处理"),
    "oldest": (", the oldest for {}", "，最早的已等待 {}"),
    "nothing waits": ("Nothing waits.", "没有等待处理的工单。"),
    "nothing fits": ("Nothing waits that fits the filters.", "没有符合筛选条件的工单。"),
    "show all": ("Show all", "显示全部"),
    "start": ("Next ticket", "下一张工单"),
    "lane": ("Lane", "队列类型"),
    "lane pending": ("to be decided", "待确认"),
    "lane probe": ("drawn by chance, decided blind", "随机抽取，独立判断"),
    "lane sample": ("planned sample, decided blind", "计划样本，独立判断"),
    "lane second": ("second opinion, decided blind", "第二意见，独立判断"),
    "reason": ("Reason", "原因"),
    "reason below_threshold": ("not sure enough", "把握不足"),
    "reason uncalibrated": ("no calibration", "没有校准"),
    "reason no_promise": ("nothing promised", "无法保证"),
    "reason always_review": ("always by a person", "一律人工"),
    "reason too_short": ("too little text", "文字太少"),
    "reason none_of_these": ("no category fits", "不属于任何类别"),
    "reason low_label_mass": ("no category answered", "回答的不是类别"),
    "reason probe": ("drawn by chance", "随机抽取"),
    "reason sample": ("planned sample", "计划样本"),
    "reason second": ("second opinion", "第二意见"),
    "reason refused": ("the model refused", "模型拒绝回答"),
    "reason unknown_label": ("unknown category answered", "模型给出未知类别"),
    "reason truncated": ("answer cut off", "回答被截断"),
    "reason bad_response": ("answer unreadable", "回答无法读取"),
    "reason too_long": ("too long", "文字太长"),
    "reason timeout": ("no answer in time", "超时"),
    "reason rate_limited": ("server busy", "服务器限流"),
    "reason backend_unavailable": ("server away", "服务器不可用"),
    "category": ("Suggested category", "建议类别"),
    "language": ("Language of the ticket", "工单语言"),
    "age": ("Waits longer than", "等待超过"),
    "any": ("any", "不限"),
    "filter": ("Filter", "筛选"),
    "filters": ("Which tickets", "筛选工单"),
    "tickets": ("tickets", "工单数"),
    "minutes": ("{} min", "{} 分钟"),
    "hours": ("{} h", "{} 小时"),
    "days": ("{} d", "{} 天"),
    # a ticket
    "ticket": ("Ticket", "工单"),
    "waiting for": ("waits for {}", "已等待 {}"),
    "why": ("Why it waits", "为什么等待人工"),
    "text": ("What the customer wrote", "客户原文"),
    "no text": ("The store keeps no text of this ticket.", "存储中没有保留此工单的文字。"),
    "hidden": ("hidden from the model", "对模型隐藏"),
    "cut": (
        "Removed or changed before the model saw it: {}.",
        "模型看到之前已删除或更改：{}。",
    ),
    "step unicode": ("unusual characters", "特殊字符"),
    "step invisible": ("invisible characters", "不可见字符"),
    "step html": ("markup", "网页标记"),
    "step quotes": ("quoted mail", "引用的邮件"),
    "step signature": ("signature", "签名"),
    "step whitespace": ("white space", "空白"),
    "step redact": ("personal data", "个人信息"),
    "as received": ("As it was received", "查看收到的原文"),
    "seen": ("What the model saw", "模型看到的内容"),
    ",": (", ", "、"),
    "suggested": ("suggested", "建议"),
    "suggestion": ("Suggestion: {}", "建议：{}"),
    "blind": (
        "No suggestion is shown for this ticket: the answer is to be your own.",
        "此工单不显示建议：请独立判断。",
    ),
    "no suggestion": ("The model suggests nothing.", "模型没有建议。"),
    "choose": ("Which category?", "选择类别"),
    "confirm": ("Confirm: {}", "确认：{}"),
    "none of these": ("None of these: {}", "都不是：{}"),
    "all categories": ("All categories", "全部类别"),
    "find": ("Find a category", "搜索类别"),
    "find how": ("name, id or initials, in any language", "名称、编号、首字母或拼音，中英文均可"),
    "search": ("Search", "搜索"),
    "found": ("{} found", "找到 {} 个"),
    "no match": ("No category holds that.", "没有匹配的类别。"),
    "guide": ("What belongs here?", "什么属于这里？"),
    "belongs": ("Belongs here", "属于这里"),
    "elsewhere": ("Belongs elsewhere", "不属于这里"),
    "no guide": ("The taxonomy says no more about it.", "分类体系没有更多说明。"),
    "similar": ("Similar tickets that people have decided", "人工已确认的相似工单"),
    "no similar": ("None yet.", "暂无。"),
    "show": ("Show", "显示"),
    "note": ("Note, saved with the answer", "备注，随答案保存"),
    "skip": ("Skip", "跳过"),
    "undo": ("Undo my last answer", "撤销上一个回答"),
    "undo short": ("Undo", "撤销"),
    "help": ("Keys", "按键"),
    "shortcuts": ("Shortcuts are on", "快捷键已开启"),
    "shortcuts off": ("Shortcuts are off", "快捷键已关闭"),
    "key digits": ("choose the category with that number; a group opens", "选择该编号的类别；分组会展开"),
    "key c": ("confirm the suggestion", "确认建议"),
    "key 0": ("none of these", "都不是"),
    "key /": ("find a category by typing", "输入文字搜索类别"),
    "key n": ("write a note", "写备注"),
    "key v": ("similar tickets", "相似工单"),
    "key s": ("skip: the ticket waits for others", "跳过：留给其他人"),
    "key u": ("take the last answer back", "撤回上一个回答"),
    "key Esc": ("back", "返回"),
    "key ?": ("these lines", "显示本说明"),
    # what was done
    "said saved": ("Saved: {} (u: undo)", "已保存：{}（u 撤销）"),
    "said skipped": ("Skipped; it waits for others.", "已跳过，留给其他人。"),
    "said undone": ("Taken back: {}", "已撤回：{}"),
    "said nothing to undo": ("There is no answer to take back.", "没有可撤回的回答。"),
    "said outdated": (
        "Not saved: somebody else has that ticket now, or it was changed or answered. Here is the next one.",
        "未保存：该工单已由他人处理，或已更改、已回答。这是下一张。",
    ),
    "said unknown category": (
        "Not saved: that category is no longer in the taxonomy. Choose another one.",
        "未保存：该类别已不在分类体系中，请另选。",
    ),
    "said signed out": ("Signed out.", "已退出。"),
    "not yours": (
        "This ticket is not before you: somebody else has it, or nobody asked for it.",
        "此工单当前不在您手中：他人正在处理，或尚未领取。",
    ),
    "answered": ("This ticket is answered.", "此工单已回答。"),
    "withdrawn": ("This ticket waits no longer.", "此工单不再等待。"),
    "no entry": ("There is no such ticket in the queue.", "队列中没有此工单。"),
    # own answers
    "no answers": ("You have not answered anything yet.", "您还没有回答过。"),
    "answer": ("Answer", "回答"),
    "when": ("When (UTC)", "时间（UTC）"),
    "taken back": ("taken back", "已撤回"),
    "take back": ("Take back", "撤回"),
}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language."""

    language: Language

    def __call__(self, key: str, *facts: object) -> str:
        """The words for `key`, with what belongs into them. Raises KeyError."""
        words = WORDS[key][self.language == "zh"]
        return words.format(*facts) if facts else words

    def error(self, status: int) -> str:
        """What went wrong in few words, by the status of HTTP."""
        return self(f"error {status}" if f"error {status}" in WORDS else "error")

    def reason(self, code: str) -> str:
        """A reason in few words; the code where there are none."""
        return self(f"reason {code}") if f"reason {code}" in WORDS else code

    def lane(self, lane: str) -> str:
        """A lane in few words; its name where there are none."""
        return self(f"lane {lane}") if f"lane {lane}" in WORDS else lane

    def span(self, since: datetime, now: datetime) -> str:
        """How long ago, in the largest unit that fits."""
        seconds = max((now - since).total_seconds(), 0)
        for unit, size in (("days", 86_400), ("hours", 3_600)):
            if seconds >= size:
                return self(unit, int(seconds // size))
        return self("minutes", int(seconds // 60))

    @property
    def lang(self) -> str:
        """The language as HTML names it."""
        return "zh-CN" if self.language == "zh" else "en"

    @property
    def other(self) -> Language:
        """The other language."""
        return "en" if self.language == "zh" else "zh"


def words_of(request: Request) -> Words:
    """The words of who asks: what the address says, else the cookie, else the browser, else the settings."""
    for asked in (request.query_params.get("lang"), request.cookies.get("lang")):
        if asked in ("en", "zh"):
            return Words(cast("Language", asked))
    accepted = request.headers.get("accept-language", "")
    return Words(_accepted(accepted) or service_of(request).settings.language)


def _accepted(header: str) -> Language | None:
    """The language of these two that a browser likes best."""
    liked: dict[Language, float] = {}
    for part in header.split(","):
        name, _, rest = part.strip().partition(";")
        known: Language | None = next((code for code in ("en", "zh") if name.lower().startswith(code)), None)
        if known is not None:
            liked[known] = max(liked.get(known, 0.0), _weight(rest))
    return max(liked, key=lambda code: liked[code], default=None)


def _weight(parameter: str) -> float:
    try:
        return float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
    except ValueError:
        return 0.0
