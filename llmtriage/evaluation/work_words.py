"""The words of slices and of business figures in English and Chinese; `llmtriage.evaluation.words` holds them with all others."""

WORDS: dict[str, tuple[str, str]] = {
    # -- business
    "business": ("What it is worth", "业务价值"),
    "handled": ("Handled without a person", "无需人工处理"),
    "minutes_saved": ("Minutes saved, 1,000 tickets", "每 1,000 张节省的分钟数"),
    "minutes formula": (
        "1,000 × {manual} by hand - {waiting} that wait × {review} - {errors} wrong × {repair}",
        "人工 1,000 × {manual} - 等待 {waiting} × {review} - 错误 {errors} × {repair}",
    ),
    "error_cost": ("Cost of errors, 1,000 tickets", "每 1,000 张的错误成本"),
    "cost formula": ("{errors} wrong × {cost}", "错误 {errors} × {cost}"),
    "net": ("Net, 1,000 tickets", "每 1,000 张净收益"),
    "net formula": (
        "minutes saved × {wage} / 60 - cost of errors, without the engine's price",
        "节省的分钟数 × {wage} / 60 - 错误成本，未计引擎费用",
    ),
    "what handled": ("tickets that go to a team without a person looking", "无需人工查看即分派的工单"),
    "what minutes_saved": ("against sorting every ticket by hand:", "与全部人工分派相比："),
    "what error_cost": ("tickets that go to the wrong team:", "分派到错误团队的工单："),
    "what net": ("what is left of the saved work:", "扣除错误成本后的收益："),
    # -- slices
    "sliced by": ("By {name}", "按{name}"),
    "field length": ("length of the text in characters", "文本长度（字数）"),
    "field language": ("language", "语言"),
    "field channel": ("channel", "渠道"),
    "short": ("short (to {short})", "短（至 {short}）"),
    "medium": ("medium (to {medium})", "中（至 {medium}）"),
    "long": ("long (over {medium})", "长（{medium} 以上）"),
    "guessed zh": ("zh (guessed)", "zh（推测）"),
    "guessed other": ("other (guessed)", "其他（推测）"),
    "not given": ("(not given)", "（未注明）"),
    "other values": ("({n} others)", "（其余 {n} 个）"),
    "value of slice": ("value", "取值"),
    "share right interval": ("right, 95 % interval", "正确率的 95 % 区间"),
    "wrong interval": ("wrong, 95 % interval", "错误率的 95 % 区间"),
    "range": ("{low} to {high}", "{low} 至 {high}"),
    "worse promise": (
        (
            "{by} {value}: {errors} of {n} routed tickets are wrong ({error}), more than the promised {limit} by more than chance "
            "(exact binomial test, p = {p} after Holm's correction for {tests} slices). The promise is about all tickets together."
        ),
        (
            "{by} {value}：自动分派的 {n} 张中有 {errors} 张错误（{error}），显著高于保证的 {limit}"
            "（二项精确检验，经 {tests} 个切片的 Holm 校正，p = {p}）。保证针对全部工单的总体。"
        ),
    ),
    "worse all": (
        (
            "{by} {value}: {errors} of {n} routed tickets are wrong ({error}), more than the {limit} of all by more than chance "
            "(Fisher's exact test, p = {p} after Holm's correction for {tests} slices)."
        ),
        (
            "{by} {value}：自动分派的 {n} 张中有 {errors} 张错误（{error}），显著高于总体的 {limit}"
            "（Fisher 精确检验，经 {tests} 个切片的 Holm 校正，p = {p}）。"
        ),
    ),
    "setting predictions": ("Predictions", "预测文件"),
    # -- answers of which is known only whether they are right
    "no names": (
        "The file says of each answer only whether it is right: there are no figures of categories.",
        "文件只说明每个答案是否正确：没有关于类别的指标。",
    ),
}
