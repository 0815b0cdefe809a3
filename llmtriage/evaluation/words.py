"""The words of a report in English and Chinese, for the terminal, the page and the plots alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from llmtriage.errors import UnknownNameError
from llmtriage.evaluation.baselines import LINEAR_SVM, MAJORITY, MAJORITY_OF_EVALUATED
from llmtriage.evaluation.review_words import WORDS as REVIEW_WORDS
from llmtriage.evaluation.work_words import WORDS
from llmtriage.terminal import neutral

if TYPE_CHECKING:
    from collections.abc import Callable

Language = Literal["en", "zh"]

NONE = "-"

_WORDS: dict[str, tuple[str, str]] = {
    **WORDS,
    **REVIEW_WORDS,
    "title": ("Evaluation", "评估报告"),
    "backend": ("Engine", "引擎"),
    "hashes": ("Taxonomy, prompt", "分类体系、提示词"),
    "threshold": ("Threshold", "阈值"),
    "no threshold": ("none: nothing is accepted", "无：不自动接受"),
    "promise": ("Promise", "保证"),
    "several": ("{n}, one for each limit", "{n} 个，每个限值一个"),
    "promised": (
        "at most {alpha} of the accepted are wrong, with {sure} confidence",
        "自动接受的工单中至多 {alpha} 有误，把握 {sure}",
    ),
    "by answer": ("{low} to {high} (by answer)", "{low} 至 {high}（因答案而异）"),
    "promised limit": ("promised: at most {alpha}", "保证：至多 {alpha}"),
    "all": ("all that no gate stops", "未被拦下的全部"),
    "examples": ("Examples", "示例数"),
    "n": ("Tickets", "工单数"),
    "right": ("{n}, right {share}", "{n}，正确 {share}"),
    "unanswered": ("Without an answer", "没有答案"),
    "count as wrong": ("counted as wrong", "计为错误"),
    "interval": ("95 % interval {low} to {high}", "95 % 区间 {low} 至 {high}"),
    "macro_f1": ("Macro F1", "宏平均 F1"),
    "alike": ("rare categories count as much", "少见类别同样计入"),
    "accepted": ("Routed by itself", "自动分派"),
    "at": ("threshold {threshold}", "阈值 {threshold}"),
    "error": ("Wrong among routed", "自动分派中的错误"),
    "share": ("{n} of {total}", "{total} 张中的 {n} 张"),
    "calibration": ("Calibration", "校准"),
    "verdict": ("{verdict}: ECE {ece}", "{verdict}：ECE {ece}"),
    "agrees": ("agrees", "相符"),
    "too_sure": ("too sure", "过于自信"),
    "too_cautious": ("too cautious", "过于保守"),
    "limit": ("a perfect model shows up to {limit} with {n} tickets", "完美的模型在 {n} 张工单上最多为 {limit}"),
    "cost": ("Cost of 1,000", "每 1,000 张成本"),
    "by hand": (
        "{by_hand} all by hand; an error taken as {error}, a review as {review}",
        "全部人工为 {by_hand}；错误计 {error}，人工确认计 {review}",
    ),
    "most confused": ("Most confused", "最易混淆"),
    "details": ("In detail", "详细指标"),
    "pending": ("Waiting for a person", "等待人工确认"),
    "on": ("on {n} tickets", "基于 {n} 张"),
    "balanced_accuracy": ("Balanced accuracy", "平衡准确率"),
    "weighted_f1": ("Weighted F1", "加权 F1"),
    "candidates": ("Candidates a ticket", "每张工单的候选类别"),
    "held": ("the right one among them for {share} of those that wait", "待确认工单中 {share} 含正确类别"),
    "outside": ("Belong to no category", "不属于任何类别"),
    "none outside": ("none of these tickets: nothing is known about such", "没有这样的工单：对此一无所知"),
    "accepted outside": ("{n} of {total} accepted as one all the same", "{total} 张中仍有 {n} 张被接受为某一类别"),
    "told apart": ("AUROC {signals}", "AUROC {signals}"),
    "by confidence": ("by confidence", "按置信度"),
    "by catch_all": ("by the catch-all", "按兜底类别"),
    "by label_mass": ("by label mass", "按标签总概率"),
    "without": ("Without a ticket", "没有工单的类别"),
    "log_loss": ("Log loss", "对数损失"),
    "clipped": ("{n} of them as good as ruled out the truth", "其中 {n} 张几乎排除了正确类别"),
    "brier": ("Brier score (0 to 2)", "Brier 分数（0 至 2）"),
    "top_brier": ("Brier score, top answer", "首选类别的 Brier"),
    "smooth_ece": ("Smooth ECE", "平滑 ECE"),
    "ece_debiased": ("Debiased ECE", "去偏 ECE"),
    "auroc": ("AUROC of the confidence", "置信度 AUROC"),
    "aurc": ("AURC", "AURC"),
    "over best": ("{excess} above the best order", "比最佳排序高 {excess}"),
    "augrc": ("AUGRC", "AUGRC"),
    "reached": ("Coverage at a risk of", "给定错误率的覆盖率"),
    "hindsight": ("in hindsight, no promise", "事后所见，不作保证"),
    "sources": ("Answers read from", "答案来源"),
    "label_mass": ("Label mass", "标签总概率"),
    "seconds": ("Time", "用时"),
    "speed": ("{seconds} s, {speed} tickets a second", "{seconds} 秒，每秒 {speed} 张"),
    "usage": ("Usage", "用量"),
    "prompt_tokens": ("prompt tokens", "输入 token"),
    "output_tokens": ("output tokens", "输出 token"),
    "attempts": ("attempts", "请求次数"),
    "untold": ("answers without a count", "未计量的回答"),
    "reasons": ("Why tickets wait", "等待人工的原因"),
    "baselines": ("Compared with simpler ways (share right)", "与简单方法比较（正确率）"),
    "this": ("this run", "本次"),
    LINEAR_SVM: ("linear SVM on TF-IDF, same examples", "TF-IDF 线性 SVM（同样的示例）"),
    MAJORITY: ("always the largest category of the examples", "总选示例中最多的类别"),
    MAJORITY_OF_EVALUATED: ("always the largest category here, in hindsight", "总选本批最多的类别（事后）"),
    "categories": ("Categories, weakest F1 first", "各类别（F1 由低到高）"),
    "category": ("category", "类别"),
    "precision": ("precision", "精确率"),
    "recall": ("recall", "召回率"),
    "routed": ("routed", "自动分派"),
    "wrong": ("wrong", "其中错误"),
    "confusions": ("Most frequent confusions (true -> predicted)", "最常见的混淆（正确 -> 预测）"),
    # -- plots
    "plot reliability": ("Is the confidence true?", "置信度可信吗？"),
    "plot risk_coverage": ("How much could be routed, at what error?", "能自动分派多少，错误率多高？"),
    "plot confusions": ("What is taken for what?", "哪些类别被混淆？"),
    "plot promise": ("How the promise was decided", "保证是如何确定的"),
    "perfect": ("perfect", "完全可信"),
    "by chance": ("a perfect model, 95 % of dots", "完美模型的 95 % 范围"),
    "isotonic": ("share right, rising fit", "实际正确率（单调拟合）"),
    "dots": ("share right, in groups", "实际正确率（等量分组）"),
    "share right": ("share right", "实际正确率"),
    "confidence": ("confidence", "置信度"),
    "tickets": ("tickets", "工单数"),
    "right answers": ("right", "正确"),
    "wrong answers": ("wrong", "错误"),
    "chance interval": ("95 % interval at each point", "逐点 95 % 区间"),
    "best order": ("best order of these answers", "同样答案的最佳排序"),
    "this order": ("by confidence", "按置信度"),
    "promised at most": ("promised: at most {alpha}", "保证：至多 {alpha}"),
    "routed here": ("routed here: {share}", "本批自动分派 {share}"),
    "coverage": ("share of tickets routed by itself", "自动分派的比例"),
    "risk": ("wrong among them", "其中的错误率"),
    "of all wrong": ("tickets · share of all wrong answers", "张数 · 占全部错误答案的比例"),
    "tolerated errors": ("errors tolerated", "允许的错误数"),
    "errors met": ("errors met", "遇到的错误数"),
    "decided": ("accepted: {accepted}, wrong {errors}", "接受 {accepted} 张，错误 {errors} 张"),
    "accepted labelled": ("labelled tickets accepted, surest first", "接受的标注工单数（把握最大者在前）"),
    "wrong ones": ("wrong ones", "其中错误数"),
    # -- the page
    "badge kept": ("Within the promise", "符合保证"),
    "badge chance": ("Above the promise, as chance allows", "略高于保证，仍在偶然范围内"),
    "badge broken": ("Above the promise", "超出保证"),
    "badge wish": ("Nothing is promised", "没有保证"),
    "badge nothing": ("Nothing is routed by itself", "没有自动分派"),
    "verdict kept": (
        (
            "{share} of these {n} tickets go to a team without a person looking. {errors} of those {accepted} are wrong ({error}); "
            "at most {alpha} was promised."
        ),
        "这 {n} 张工单中有 {share} 无需人工即可分派；分派的 {accepted} 张中有 {errors} 张错误（{error}），保证的上限为 {alpha}。",
    ),
    "verdict chance": (
        (
            "{share} of these {n} tickets go to a team without a person looking. {errors} of those {accepted} are wrong ({error}); "
            "at most {alpha} was promised, and so few tickets do not tell that more are."
        ),
        (
            "这 {n} 张工单中有 {share} 无需人工即可分派；分派的 {accepted} 张中有 {errors} 张错误（{error}），保证的上限为 {alpha}；"
            "工单太少，不足以说明已超出。"
        ),
    ),
    "verdict broken": (
        (
            "{share} of these {n} tickets go to a team without a person looking. {errors} of those {accepted} are wrong ({error}); "
            "at most {alpha} was promised. Calibrate anew before more tickets are routed."
        ),
        "这 {n} 张工单中有 {share} 无需人工即可分派；分派的 {accepted} 张中有 {errors} 张错误（{error}），保证的上限为 {alpha}。请重新校准后再分派。",
    ),
    "verdict wish": (
        (
            "{share} of these {n} tickets go to a team without a person looking. {errors} of those {accepted} are wrong ({error}); "
            "the threshold was chosen by hand, so nothing is promised about others."
        ),
        "这 {n} 张工单中有 {share} 无需人工即可分派；分派的 {accepted} 张中有 {errors} 张错误（{error}）；阈值由人设定，对其他工单没有保证。",
    ),
    "verdict nothing": (
        "All {n} tickets wait for a person. The first answer is right for {accuracy} of them.",
        "全部 {n} 张工单等待人工确认。首选答案的正确率为 {accuracy}。",
    ),
    "bar promise": ("routed, right", "自动分派，正确"),
    "bar wrong": ("routed, wrong", "自动分派，错误"),
    "bar band": ("wait for a person", "等待人工"),
    "note few": ("Only {n} tickets: most of what is seen here may be chance.", "只有 {n} 张工单：这里的多数现象可能出于偶然。"),
    "note none outside": (
        "None of these {n} tickets is labelled as belonging nowhere: no figure here tells what becomes of such tickets.",
        "这 {n} 张工单没有一张标注为不属于任何类别：没有任何指标涉及此类工单。",
    ),
    "note promise none outside": (
        "None of the tickets that the promise rests on belongs to the catch-all category: it is about a world without tickets that belong nowhere.",
        "保证所依据的工单没有一张属于兜底类别：该保证不涉及不属于任何类别的工单。",
    ),
    "note uncalibrated": (
        "The calibrator was fitted on fewer than 50 tickets: its numbers are no probabilities yet. The promise holds all the same.",
        "校准器用不足 50 张工单拟合：其数值尚不能称为概率。保证仍然成立。",
    ),
    "note unanswered": ("{n} tickets got no answer; they count as wrong.", "{n} 张工单没有得到答案，计为错误。"),
    "summary": ("Summary", "摘要"),
    "plots": ("In pictures", "图示"),
    "caption reliability": (
        (
            "Each dot is a group of tickets with about the same confidence. Where dots lie in the grey band, the confidence is true as far as "
            "these {n} tickets can tell; below it the engine is too sure, above it too cautious. Bars: how many tickets have which confidence."
        ),
        (
            "每个点是一组置信度相近的工单。点落在灰色带内，说明就这 {n} 张工单而言置信度可信；低于灰色带为过于自信，"
            "高于则过于保守。下方柱形：各置信度的工单数。"
        ),
    ),
    "alt reliability": (
        "Reliability of the confidence of {n} tickets: calibration error {ece}; a perfect model stays below {limit}.",
        "{n} 张工单的置信度可靠性：校准误差 {ece}；完美的模型低于 {limit}。",
    ),
    "no plot reliability": (
        "The engine gives no numbers: there is no confidence to look at.",
        "引擎没有给出数值：没有可供检查的置信度。",
    ),
    "caption risk_coverage": (
        (
            "From left to right more tickets are routed, the surest first. The grey interval is for one point chosen beforehand; the dotted "
            "line is the best that any order of these answers could do."
        ),
        "从左到右，自动分派的工单逐渐增多，把握最大者在前。灰色区间针对事先选定的单个点；点线是这些答案在任何排序下的最好结果。",
    ),
    "caption routed": (" The diamond is what was routed of these tickets.", "菱形为这批工单的实际分派结果。"),
    "caption promised": (" The dashed line is what was promised.", "虚线为保证的上限。"),
    "caption held": (
        " {held} tickets are never routed, whatever their confidence: a rule holds them, or they have no number.",
        "有 {held} 张工单无论置信度多高都不会自动分派：规则要求人工确认，或没有数值。",
    ),
    "alt risk_coverage": (
        "Error rate against the share of tickets routed; {share} were routed, {error} of them wrong.",
        "错误率与自动分派比例的关系；分派了 {share}，其中错误 {error}。",
    ),
    "no plot risk_coverage": (
        "No ticket could be routed by itself, whatever its confidence.",
        "无论置信度多高，没有工单可以自动分派。",
    ),
    "caption confusions": (
        "True category → the engine's answer, with the number of tickets and their share of all {wrong} wrong answers.",
        "正确类别 → 引擎的答案，附工单数及占全部 {wrong} 个错误答案的比例。",
    ),
    "alt confusions": (
        "The most frequent confusions among {wrong} wrong answers.",
        "{wrong} 个错误答案中最常见的混淆。",
    ),
    "no plot confusions": ("No category was taken for another.", "没有类别被混淆。"),
    "caption promise": (
        (
            "Labelled tickets are taken one by one, the surest first, and the wrong ones counted (blue). The green steps say how many may be wrong "
            "by then; they were fixed before any label was looked at. The diamond is the last place at which the count is within them: {accepted} of "
            "{n} tickets, {errors} wrong, {tolerated} tolerated, for an error of at most {alpha}."
        ),
        (
            "按把握从大到小逐张取出标注工单，累计其中的错误（蓝色）。绿色阶梯是届时允许的错误数，在查看任何标注之前就已确定。菱形是错误数仍在允许范围内的最后位置："
            "{n} 张中的 {accepted} 张，错误 {errors} 张，允许 {tolerated} 张，对应错误率至多 {alpha}。"
        ),
    ),
    "caption fixed": (
        (
            "The threshold was fixed beforehand, so nothing was searched: of the {accepted} labelled tickets that reach it {errors} are wrong. "
            "That many tell that the error is at most {alpha}."
        ),
        "阈值事先确定，无需搜索：达到阈值的 {accepted} 张标注工单中有 {errors} 张错误，据此错误率至多 {alpha}。",
    ),
    "alt promise": (
        "Errors met and errors tolerated over {n} labelled tickets; {accepted} are accepted with {errors} wrong.",
        "{n} 张标注工单上遇到的与允许的错误数；接受 {accepted} 张，其中错误 {errors} 张。",
    ),
    "no plot promise": (
        "No promise stands behind this run: llmtriage calibrate makes one from labelled tickets.",
        "本次运行没有保证：llmtriage calibrate 可用标注工单作出保证。",
    ),
    "the promise": ("What is promised", "保证的内容"),
    "promise explained": (
        (
            "With {sure} confidence, of the tickets that are accepted no larger share is wrong than the limit says. The confidence is over "
            "samples of labelled tickets; the promise is about tickets like those that were labelled."
        ),
        "以 {sure} 的把握，被接受的工单中错误比例不超过限值。该把握针对标注样本的抽取；保证只涉及与标注工单同类的工单。",
    ),
    "answers": ("answers", "答案"),
    "every answer": ("all", "全部"),
    "any": ("any", "任意"),
    "limit of error": ("error at most", "错误至多"),
    "least confidence": ("least confidence", "最低置信度"),
    "labelled": ("labelled", "标注"),
    "accepted ones": ("accepted", "接受"),
    "accepted here": ("accepted here", "本次接受"),
    "wrong here": ("wrong here", "本次错误"),
    "tolerated": ("tolerated", "允许"),
    "delta": ("delta", "delta"),
    "confused tickets": ("Most frequent confusions, with tickets", "最常见的混淆及工单"),
    "true category": ("true category", "正确类别"),
    "answered": ("answer", "答案"),
    "of wrong": ("of all wrong", "占全部错误"),
    "of all": ("of all tickets", "占全部工单"),
    "example tickets": ("examples", "示例工单"),
    "recall interval": ("recall, 95 % interval", "召回率的 95 % 区间"),
    "reason": ("reason", "原因"),
    "code": ("code", "代码"),
    "way": ("way", "方法"),
    "figure": ("figure", "指标"),
    "value": ("value", "数值"),
    "meaning": ("meaning", "含义"),
    "what pending": ("share of tickets that a person decides", "由人工确认的工单比例"),
    "what balanced_accuracy": ("mean recall of the categories", "各类别召回率的平均"),
    "what weighted_f1": ("mean F1, each category as often as it has tickets", "按工单数加权的平均 F1"),
    "what candidates": ("categories that reviewers are shown", "提供给审核人员的类别"),
    "what outside": ("tickets of the catch-all, or that no category is right for", "兜底类别的工单，或没有合适类别的工单"),
    "what without": ("nothing is known about them", "对它们一无所知"),
    "what log_loss": ("mean of -ln of the probability of the truth; 0 is best", "正确类别概率的 -ln 的平均；0 最好"),
    "what brier": ("mean squared distance of the probabilities from the truth; 0 is best", "概率与事实的均方距离；0 最好"),
    "what top_brier": (
        "the same for the first answer alone; MCB is what calibration could mend",
        "仅针对首选答案；MCB 为校准可以改善的部分",
    ),
    "what smooth_ece": ("distance of confidence and share right, without bins", "置信度与正确率的距离，不分组"),
    "what ece_debiased": ("the same in groups, less what chance adds", "分组计算，减去偶然部分"),
    "what auroc": (
        "chance that a right answer is surer than a wrong one; 0.5 is guessing",
        "正确答案比错误答案置信度更高的概率；0.5 为瞎猜",
    ),
    "what aurc": ("mean error over all shares that could be routed; 0 is best", "各分派比例下错误率的平均；0 最好"),
    "what augrc": ("chance that a ticket is routed and wrong, over all shares", "各分派比例下工单被分派且错误的概率"),
    "what reached": ("the most that could have been routed of these very tickets", "就这批工单而言最多可分派的比例"),
    "what sources": ("how the engine's answers were read", "引擎答案的读取方式"),
    "what label_mass": ("mean probability that the engine puts on the categories together", "引擎给全部类别的总概率的平均"),
    "repeat": ("To repeat this", "如何重现"),
    "date": ("Made", "生成时间"),
    "run": ("Fingerprint of the run", "运行指纹"),
    "taxonomy hash": ("Taxonomy", "分类体系"),
    "prompt hash": ("Prompt", "提示词"),
    "calibration file": ("Calibration", "校准"),
    "calibration made": ("{hash}, made on {day} by llmtriage {by}", "{hash}，{day} 由 llmtriage {by} 生成"),
    "its labels": ("Its labels", "其标注"),
    "labels drawn": (
        (
            "{file}: {n} tickets, drawn {drawn}; {fitted} fit the calibrator, {certified} carry the promise ({outside} of the catch-all), "
            "{left_out} left out"
        ),
        "{file}：{n} 张工单，抽取方式 {drawn}；{fitted} 张用于拟合校准器，{certified} 张支撑保证（兜底类别 {outside} 张），{left_out} 张未使用",
    ),
    "versions": ("Versions", "版本"),
    "setting file": ("File", "文件"),
    "setting threshold": ("Threshold", "阈值"),
    "setting departments": ("Departments accepted", "接受部门级答案"),
    "setting alpha": ("Limit of error (alpha)", "错误上限（alpha）"),
    "setting delta": ("Risk of the promise (delta)", "保证不成立的概率（delta）"),
    "setting promises": ("Promises", "保证数"),
    "setting shots": ("Examples a category, at most", "每类示例上限"),
    "setting seed": ("Seed", "随机种子"),
    "setting examples": ("Examples", "示例数"),
    "footer": (
        "Made by llmtriage. The page holds ticket texts: treat it as you treat tickets.",
        "由 llmtriage 生成。本页包含工单原文，请按工单的保密要求处理。",
    ),
}


class Words:
    """The words of one language."""

    def __init__(self, language: Language) -> None:
        """Choose the language.

        Raises:
            UnknownNameError: `language` is neither "en" nor "zh".
        """
        if language not in get_args(Language):
            raise UnknownNameError.among("language", language, get_args(Language))
        self.language = language

    def __call__(self, key: str, **facts: object) -> str:
        """The words for `key`, else the key itself."""
        english, chinese = _WORDS.get(key, (neutral(key), neutral(key)))
        words = chinese if self.language == "zh" else english
        return words.format(**facts) if facts else words

    def get(self, key: str) -> str:
        """The words for `key`, empty if there are none."""
        return self(key) if key in _WORDS else ""

    def aside(self, value: str, *remarks: str) -> str:
        """A value with remarks in brackets."""
        if not remarks:
            return value
        opening, between, closing = ("（", "；", "）") if self.language == "zh" else (" (", "; ", ")")
        return f"{value}{opening}{between.join(remarks)}{closing}"

    def interval(self, interval: tuple[float, float] | None, shown: Callable[[float], str] | None = None) -> tuple[str, ...]:
        """The interval as a remark, if there is one; in per cent unless told otherwise."""
        show = shown or percent
        return (self("interval", low=show(interval[0]), high=show(interval[1])),) if interval else ()


def percent(share: float | None) -> str:
    """A share in per cent, with one digit."""
    return NONE if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    """A figure with three digits."""
    return NONE if value is None else f"{value:.3f}"


def amount(value: float) -> str:
    """An amount of money or work, without digits that say nothing."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.2f}"
