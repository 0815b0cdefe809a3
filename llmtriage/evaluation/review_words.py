"""The words about the answers of people in a store, in English and Chinese; `llmtriage.evaluation.words` holds them with all others."""

WORDS: dict[str, tuple[str, str]] = {
    "reviews": ("What people said", "人工答案"),
    "run judged": ("Run", "运行"),
    "labels of": ("Labels", "标注"),
    "labels probe": ("probes: drawn from all tickets that came, decided blind", "抽查：从全部来单中随机抽取，独立判断"),
    "labels sample": ("planned samples: drawn by chance, decided blind", "计划样本：随机抽取，独立判断"),
    "labels pending": ("tickets that waited because routing said so", "因分派规则而等待人工的工单"),
    "labels all": ("all tickets that people answered", "人工回答过的全部工单"),
    "drawn with": ("each with probability {shares}", "抽取概率 {shares}"),
    "drawn unevenly": (
        "with the probabilities {shares}: the figures lean towards tickets of the larger one",
        "抽取概率不一（{shares}）：数字偏向概率较大的工单",
    ),
    "not all sample": (
        "These figures are about the tickets that a planned sample was drawn from, not about all that come. For those: probes.",
        "这些数字只涉及计划样本所抽取的那批工单，不代表全部来单。要了解全部来单，请用抽查（probe）。",
    ),
    "not all pending": (
        (
            "NOT A SAMPLE OF ALL TICKETS: these waited because routing was not sure, so they are the hard ones, and nobody checked those that it "
            "routed. Whoever sees a suggestion tends to agree with it. For figures about all tickets: probes."
        ),
        "并非全部工单的样本：这些工单因把握不足而等待人工，属于较难的一类；自动分派的工单无人核对。看到建议的人往往倾向于同意。要了解全部来单，请用抽查（probe）。",
    ),
    "not all all": (
        (
            "NOT A SAMPLE OF ALL TICKETS: most of these waited because routing was not sure, so the hard ones are too many. Whoever sees a "
            "suggestion tends to agree with it. For figures about all tickets: probes."
        ),
        "并非全部工单的样本：其中多数因把握不足而等待人工，较难的工单占比过高。看到建议的人往往倾向于同意。要了解全部来单，请用抽查（probe）。",
    ),
    "suggestion shown": ("Right where it was seen", "看到建议时的正确率"),
    "suggestion unseen": ("Right where it was not", "未看到建议时的正确率"),
    "none of them": ("no such ticket", "没有这样的工单"),
    "confirmed": ("{n} confirmed as suggested then", "{n} 张与当时的建议一致"),
    "what suggestion shown": (
        "what the run offers, by people who had a suggestion before them",
        "由看到建议的人判断本次运行的答案",
    ),
    "what suggestion unseen": ("the same, by people who had none", "由未看到建议的人判断"),
    "reviews waiting": ("No answer yet", "尚未标注"),
    "why waiting": (
        "drawn, but nobody decided: if these are the hard ones, the figures flatter",
        "已抽取但无人标注：若多为难题，数字偏高",
    ),
    "reviews undecided": ("Not of this run", "不属于本次运行"),
    "why undecided": ("labelled, but this run did not decide them: left out", "已标注，但本次运行未处理：未计入"),
    "reviews carried": ("Former categories", "旧类别"),
    "why carried": ("label or answer has another name in this taxonomy", "标注或答案在现分类体系中另有名称"),
    "reviews lost": ("Lost categories", "失效类别"),
    "why lost": ("the taxonomy has no one leaf for label or answer: left out", "现分类体系中没有唯一对应的类别：未计入"),
    "reviews erased": ("Erased", "已删除文字"),
    "why erased": ("without their text; they count", "文字已删除；仍计入"),
    "reviews changed": ("Answered otherwise later", "后来有改动"),
    "why changed": (
        "of a drawn ticket the first answer counts: nobody had seen then what a model says",
        "抽取的工单以第一次为准，因为当时无人见过模型的意见",
    ),
    "reviews timed": ("Minutes of a review", "人工确认分钟数"),
    "why timed": ("answers whose time is known: their median is taken", "有计时的答案：取其中位数"),
    "setting lane": ("Labels from the lane", "标注来源"),
}
