"""The words of the overview page, in English and Chinese."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERVIEW_WORDS: Mapping[str, tuple[str, str]] = {
    "as of": ("As of {} UTC", "截至 {}（UTC）"),
    # the promise
    "promise": ("The promise", "保证"),
    "no promise": (
        "No calibration is in force: nothing is promised, so there is nothing to check.",
        "没有生效的校准：没有作出保证，也就无从检验。",
    ),
    "state broken": ("Alarm", "警报"),
    "state early": ("Not known yet", "尚不清楚"),
    "state open": ("No alarm", "没有警报"),
    "state holds": ("Confirmed", "已证实"),
    "said": ("{0}: {1}", "{0}：{1}"),
    "key": (
        "Dark: wrong among the probes. Light: upper bound. Line: what was promised.",
        "深色：抽查中的错误率；浅色：上界；竖线：所承诺的限度。",
    ),
    "about": ("For {}", "适用于：{}"),
    "figure": ("Figure", "指标"),
    "value": ("Value", "数值"),
    "probes": ("Accepted probes with an answer", "本会自动接受且已回答的抽查工单"),
    "wrong": ("of them wrong", "其中有误"),
    "needed": ("Probes from which on something can be said", "至少需要的抽查工单"),
    "limit": ("Upper bound of the error, at any time", "错误率上界（随时有效）"),
    "alpha": ("Promised at most", "承诺至多"),
    "since": ("Counted since this calibration decides (UTC)", "自该校准生效起计（UTC）"),
    "promise plot": (
        "Error among accepted probes {0}, upper bound {1}, promised at most {2}",
        "抽查工单的错误率 {0}，上界 {1}，承诺至多 {2}",
    ),
    "how promise": (
        "Of tickets that were drawn by chance and decided blind, those that would have been accepted tell whether the promise holds.",
        "随机抽取的工单由人工独立判断，其中本会自动接受的工单说明保证是否成立。",
    ),
    "how often": (
        "Look as often as you like: an alarm is false with probability at most {}.",
        "可随时查看：误报的概率至多 {}。",
    ),
    # volume
    "today": ("Today (UTC)", "今天（UTC）"),
    "volume": ("The last 30 days", "最近 30 天"),
    "volume plot": ("Tickets a day in the last 30 days, at most {} on one day", "最近 30 天每天的工单数，单日最多 {} 张"),
    "as table": ("As a table", "以表格显示"),
    "day": ("Day (UTC)", "日期（UTC）"),
    "accepted": ("Accepted", "自动接受"),
    "pending": ("Waiting for people", "转人工"),
    "drawn": ("Drawn by chance", "随机抽查"),
    "all": ("All", "合计"),
    "bar": ("{0}: {1} accepted, {2} waiting for people, {3} drawn by chance", "{0}：自动接受 {1}，转人工 {2}，随机抽查 {3}"),
    # what waits
    "waits": ("What waits now", "等待处理"),
    # agreement
    "agreement": ("People and model, last 30 days", "人工与模型的一致程度（最近 30 天）"),
    "answers": ("Answers", "回答"),
    "shown": ("suggestion seen", "看到了建议"),
    "unshown": ("suggestion not seen", "没有看到建议"),
    "blind": ("drawn by chance, decided blind", "随机抽取，独立判断"),
    "same": ("The same", "一致"),
    "other": ("Otherwise", "不一致"),
    "share": ("Share", "一致率"),
    "how agreement": (
        "Only the last line speaks of all tickets: the others waited because the model was unsure, and who sees a suggestion agrees more often.",
        "只有最后一行能代表全部工单：其余工单因模型没有把握才转人工，而看到建议的人更容易同意。",
    ),
    # second opinions
    "opinions": ("People and people, last 30 days", "人与人的一致程度（最近 30 天）"),
    "pairs": ("Tickets that two people answered, the second one blind", "由两人回答的工单（第二人独立判断）"),
    "agree": ("of them answered the same", "其中回答一致"),
    "interval": ("Share, with its 95 % interval", "一致率及其 95% 区间"),
    "from to": ("{0} ({1} to {2})", "{0}（{1} 至 {2}）"),
    "kappa": ("Cohen's kappa", "Cohen's kappa 系数"),
    "too few": ("too few", "数量太少"),
    "nothing to tell apart": ("all named one category", "全部为同一类别"),
    "disputed": ("Between which people differ", "分歧所在的类别"),
    "how opinions": (
        "Of tickets that waited. Kappa: 1 where all say the same, 0 where they agree as often as chance would. Nothing is told below {} pairs.",
        "仅指转人工的工单。kappa：全部一致为 1，与随机相同为 0。不足 {} 对时不给出数值。",
    ),
    "differences": ("Tickets that were answered differently", "回答不一致的工单"),
    "first": ("Stands", "现行回答"),
    "second": ("Second opinion", "第二意见"),
    "text": ("Text", "工单内容"),
    "older": ("Older ones", "更早的"),
    "leads only": ("This list is for leads.", "此列表仅供组长查看。"),
    # categories
    "categories": ("Categories, last 30 days", "各类别（最近 30 天）"),
    "category": ("Category", "类别"),
    "confirmed": ("Confirmed", "确认"),
    "corrected": ("Corrected", "改正"),
    "how categories": (
        "Confirmed and corrected: answers where this category was suggested.",
        "“确认”与“改正”：模型建议此类别时人工的回答。",
    ),
    "nothing": ("Nothing yet.", "暂无。"),
}


@dataclass(frozen=True, slots=True)
class OverviewWords:
    """The words of one language."""

    language: str

    def __call__(self, key: str, *facts: object) -> str:
        """The words for `key`, with what belongs into them. Raises KeyError."""
        return OVERVIEW_WORDS[key][self.language == "zh"].format(*facts)
