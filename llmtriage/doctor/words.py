"""The sentences of every finding, in English and Chinese: what was found, and one suggestion where something is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Wording:
    """A finding in words.

    Attributes:
        state: "ok"; "warning": it works, worse than it could; "missing": the server does not have it.
        en: One line, with places for values.
        zh: The same in Chinese.
        mend_en: What to do; empty where nothing is wrong.
        mend_zh: The same in Chinese.
    """

    state: State
    en: str
    zh: str
    mend_en: str = ""
    mend_zh: str = ""

    def line(self, language: str) -> str:
        """The line in `language`."""
        return self.zh if language == "zh" else self.en

    def mend(self, language: str) -> str:
        """The suggestion in `language`."""
        return self.mend_zh if language == "zh" else self.mend_en


STATES: Mapping[str, Mapping[State, str]] = {
    "en": {"ok": "ok", "warning": "warning", "missing": "missing"},
    "zh": {"ok": "正常", "warning": "警告", "missing": "缺少"},
}
NAMES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "reachable": "reachable",
        "key": "key",
        "model": "model",
        "context": "context",
        "json": "JSON",
        "thinking": "thinking",
        "logprobs": "log-probabilities",
        "reading": "reading",
        "front": "long prompts",
        "decisions": "decisions",
        "probabilities": "probabilities",
        "answers": "answers",
        "alone": "one by one",
        "at_once": "at once",
        "tokens": "tokens",
        "repeat": "asked again",
    },
    "zh": {
        "reachable": "连接",
        "key": "密钥",
        "model": "模型",
        "context": "上下文",
        "json": "JSON",
        "thinking": "思考",
        "logprobs": "对数概率",
        "reading": "读取方式",
        "front": "长提示词",
        "decisions": "决策接口",
        "probabilities": "概率",
        "answers": "回答",
        "alone": "逐个请求",
        "at_once": "并发请求",
        "tokens": "token",
        "repeat": "重复请求",
    },
}

WORDINGS: Mapping[str, Wording] = {
    "reachable.ok": Wording("ok", "{url} answers ({server})", "{url} 有应答（{server}）"),
    "reachable.here": Wording("ok", "{backend} needs no server", "{backend} 不需要服务器"),
    "key.taken": Wording("ok", "the key was taken", "密钥被接受"),
    "key.none": Wording("ok", "none was sent, and none was asked for", "未发送密钥，服务器也没有要求"),
    "model.ok": Wording("ok", "{model}; a name that does not exist is refused", "{model}；不存在的名称会被拒绝"),
    "model.true": Wording("ok", "{model}; the server calls it {true}", "{model}；服务器称其为 {true}"),
    "model.ignored": Wording(
        "warning",
        "a model that does not exist was answered too; what answers for {model} is {true}",
        "不存在的模型名也得到了回答；实际回答 {model} 的是 {true}",
        "after each start of the server, look at which model is loaded (docs/servers.md, section 2)",
        "服务器每次启动后，检查加载的是哪个模型（docs/servers.md 第 2 节）",
    ),
    "context.ok": Wording(
        "ok",
        "{context} tokens; the prompt with a long ticket needs about {needed}",
        "{context} 个 token；提示词加一份长工单约需 {needed} 个",
    ),
    "context.small": Wording(
        "warning",
        "{context} tokens; the prompt with a long ticket needs about {needed}",
        "{context} 个 token；提示词加一份长工单约需 {needed} 个",
        "start the server with a window of {needed} tokens or more (docs/servers.md, sections 1 and 2)",
        "启动服务器时把窗口设为 {needed} 个 token 以上（docs/servers.md 第 1、2 节）",
    ),
    "context.unknown": Wording(
        "warning",
        "the server does not say how many tokens fit",
        "服务器没有说明能容纳多少 token",
        "write context = the model's window, in tokens, under [backends.NAME]",
        "在 [backends.NAME] 下写 context = 模型窗口的 token 数",
    ),
    "json.schema": Wording("ok", "a schema is kept to, with Chinese names too", "遵守 JSON schema，中文名称也遵守"),
    "json.chinese": Wording(
        "warning",
        "a schema is kept to, but not with Chinese names",
        "遵守 JSON schema，但对中文名称不遵守",
        "give categories ids in Latin letters, and their Chinese names as name",
        "类别的 id 用拉丁字母，中文名写在 name 里",
    ),
    "json.object": Wording(
        "warning",
        "a schema is {schema}; that the answer is a JSON object is kept to",
        "JSON schema：{schema}；“必须是 JSON 对象”被遵守",
        'write json = "object" under [backends.NAME]',
        '在 [backends.NAME] 下写 json = "object"',
    ),
    "json.prompt": Wording(
        "warning",
        "a schema is {schema}, object mode is {object}; asked for in the prompt, JSON came",
        "JSON schema：{schema}，对象模式：{object}；只在提示词中要求时得到了 JSON",
        'write json = "prompt" under [backends.NAME]',
        '在 [backends.NAME] 下写 json = "prompt"',
    ),
    "json.none": Wording(
        "missing",
        "a schema is {schema}, object mode is {object}, and in the prompt alone it is {prompt}",
        "JSON schema：{schema}，对象模式：{object}，只在提示词中要求：{prompt}",
        "choose another model, or a server that keeps to a schema (docs/servers.md, section 1)",
        "换一个模型，或换一个遵守 JSON schema 的服务器（docs/servers.md 第 1 节）",
    ),
    "thinking.none": Wording("ok", "none seen, with and without the switch", "无论是否发送开关，都没有看到思考"),
    "thinking.off": Wording(
        "ok",
        "turned off by thinking = {switch}; without it the model thinks",
        "thinking = {switch} 关闭了思考；不发送时模型会思考",
    ),
    "thinking.unclear": Wording(
        "ok",
        "none seen with thinking = {switch}; without it no answer came",
        "发送 thinking = {switch} 时没有看到思考；不发送时没有得到回答",
    ),
    "thinking.other": Wording(
        "warning",
        "the model thinks or refuses with thinking = {switch}, and does not think with {works}",
        "thinking = {switch} 时模型会思考或拒绝请求；{works} 时不思考",
        "write thinking = {works} under [backends.NAME]",
        "在 [backends.NAME] 下写 thinking = {works}",
    ),
    "thinking.on": Wording(
        "missing",
        "the model thinks whatever switch is sent: slower and dearer",
        "无论发送哪个开关，模型都会思考：更慢也更贵",
        "choose a model that does not think, or turn it off where the server is started (docs/servers.md)",
        "换一个不思考的模型，或在启动服务器时关闭思考（docs/servers.md）",
    ),
    "thinking.unknown": Wording(
        "warning",
        "no answer came that tells",
        "没有得到能说明问题的回答",
        "give it more time with --timeout",
        "用 --timeout 给更多时间",
    ),
    "logprobs.ok": Wording(
        "ok",
        "{most} a token; both labels listed, with {mass} of the probability; by token id: {ids}",
        "每个 token 列出 {most} 个；两个标签都在其中，占概率 {mass}；按 token id 查询：{ids}",
    ),
    "logprobs.labels": Wording(
        "missing",
        "{most} a token, but not both labels of a question with two are among them",
        "每个 token 列出 {most} 个，但两选一问题的两个标签没有都列出",
        "choose a server that lists more, or a model that answers with the label at once (docs/servers.md, section 1)",
        "换一个列出更多的服务器，或换一个直接回答标签的模型（docs/servers.md 第 1 节）",
    ),
    "logprobs.thinking": Wording(
        "missing",
        "{most} a token, but the first token is a thought, not an answer",
        "每个 token 列出 {most} 个，但第一个 token 是思考而不是回答",
        "turn thinking off first",
        "先关闭思考",
    ),
    "logprobs.refused": Wording(
        "missing",
        "refused when asked for",
        "请求时被拒绝",
        "choose a server that gives them, such as vLLM or llama.cpp (docs/servers.md, section 1)",
        "换一个提供对数概率的服务器，如 vLLM 或 llama.cpp（docs/servers.md 第 1 节）",
    ),
    "logprobs.silent": Wording(
        "missing",
        "taken without an error, but the field is {state}",
        "请求被接受且没有报错，但字段：{state}",
        "choose a server that gives them, such as vLLM or llama.cpp (docs/servers.md, section 1)",
        "换一个提供对数概率的服务器，如 vLLM 或 llama.cpp（docs/servers.md 第 1 节）",
    ),
    "logprobs.unknown": Wording(
        "warning", "no answer came that tells", "没有得到能说明问题的回答", "run doctor again", "再运行一次 doctor"
    ),
    "reading.token": Wording(
        "ok",
        "a run reads one token: {codes}, listed {lists}, at most {most} categories a question; {mass} of the probability lies on codes",
        "运行时读取一个 token：{codes}，{lists}，每次最多问 {most} 个类别；{mass} 的概率落在代码上",
    ),
    "reading.json-token": Wording(
        "warning",
        "a run reads the code's token inside JSON, at most {most} categories a question; not by one token: {why}",
        "运行时读取 JSON 中代码所在的 token，每次最多问 {most} 个类别；不能只读一个 token：{why}",
        "see docs/readings.md for what one token needs",
        "只读一个 token 需要什么，见 docs/readings.md",
    ),
    "reading.votes": Wording(
        "warning",
        "a run takes {reading} a ticket, because there is no other way to a probability: {why}",
        "运行时每张工单取 {reading}，因为没有其他办法得到概率：{why}",
        "choose a server that gives log-probabilities, or take one answer without probabilities with --reading json",
        "换一个提供对数概率的服务器，或用 --reading json 只取一个没有概率的回答",
    ),
    "reading.json": Wording(
        "ok",
        "a run reads one answer in JSON, as it is set: there are no probabilities",
        "按设置，运行时读取一个 JSON 回答：没有概率",
    ),
    "front.whole": Wording(
        "ok", "a prompt of {tested} tokens, the longest tried, was read whole", "试过的最长提示词（{tested} 个 token）被完整读取"
    ),
    "front.refused": Wording(
        "ok",
        "a prompt of {refused} tokens was refused with an error, none was cut; the longest tried had {tested}",
        "{refused} 个 token 的提示词被报错拒绝，没有被截断；试过的最长提示词有 {tested} 个 token",
    ),
    "front.cut": Wording(
        "missing",
        "a prompt of {tested} tokens was cut without an error: {read} were read",
        "{tested} 个 token 的提示词被截断且没有报错：只读取了 {read} 个",
        "give the server a window of {tested} tokens or more, for Ollama with OLLAMA_CONTEXT_LENGTH (docs/servers.md, section 2)",
        "把服务器的窗口设为 {tested} 个 token 以上，Ollama 用 OLLAMA_CONTEXT_LENGTH（docs/servers.md 第 2 节）",
    ),
    "front.unknown": Wording(
        "warning",
        "up to {tested} tokens were sent; the server does not count them, and its answers do not tell whether it read all",
        "最多发送了 {tested} 个 token；服务器不报告数量，回答也看不出是否全部读取",
        "write context = the model's window, in tokens, under [backends.NAME]",
        "在 [backends.NAME] 下写 context = 模型窗口的 token 数",
    ),
    "decisions.ok": Wording(
        "ok",
        "{url} answers as {dialect}, model {model}; {leaves} categories",
        "{url} 以 {dialect} 形式应答，模型 {model}；{leaves} 个类别",
    ),
    "decisions.silent": Wording(
        "missing",
        "{dialect}: {answered} of 4 questions got probabilities",
        "{dialect}：4 个问题中 {answered} 个得到了概率",
        "choose another model of this server (docs/backends.md)",
        "换用该服务器的另一个模型（docs/backends.md）",
    ),
    "probabilities.ok": Wording(
        "ok", "{values} seen; their sums are within {off} of 1", "共 {values} 个；其和与 1 相差不超过 {off}"
    ),
    "probabilities.rounded": Wording(
        "warning",
        "rounded to 0.01; {certain} of {values} are exactly 0 or 1",
        "四舍五入到 0.01；{values} 个中有 {certain} 个恰好为 0 或 1",
        "keep floor = 0.005, half a step, under [backends.NAME]",
        "在 [backends.NAME] 下保持 floor = 0.005，即半个步长",
    ),
    "probabilities.off": Wording(
        "warning",
        "the sums of {values} are up to {off} from 1",
        "{values} 个概率之和与 1 最多相差 {off}",
        "ask whoever runs the server; llmtriage makes them sum to 1",
        "请询问服务器的维护者；llmtriage 会将其归一化",
    ),
    "answers.ok": Wording(
        "ok", "all {asked} sample tickets got an answer that can be used", "{asked} 份示例工单都得到了可用的回答"
    ),
    "answers.some": Wording(
        "warning",
        "{answered} of {asked} sample tickets got an answer that can be used; else: {failed}",
        "{asked} 份示例工单中 {answered} 份得到了可用的回答；其余：{failed}",
        "take the table below, and look at single tickets with llmtriage ask --debug",
        "采用下面的配置，并用 llmtriage ask --debug 查看单份工单",
    ),
    "answers.none": Wording(
        "missing",
        "none of {asked} sample tickets got an answer that can be used: {failed}",
        "{asked} 份示例工单都没有得到可用的回答：{failed}",
        "choose another model or server (docs/servers.md)",
        "换一个模型或服务器（docs/servers.md）",
    ),
    "alone.ok": Wording(
        "ok", "{count} tickets: median {median} s, longest {worst} s", "{count} 份工单：中位数 {median} 秒，最长 {worst} 秒"
    ),
    "alone.slow": Wording(
        "warning",
        "{count} tickets: median {median} s, longest {worst} s",
        "{count} 份工单：中位数 {median} 秒，最长 {worst} 秒",
        "choose a smaller model or a faster machine; for files, many at once help",
        "换用更小的模型或更快的机器；处理文件时可提高并发",
    ),
    "at_once.ok": Wording(
        "ok",
        "{count}: {speed} tickets a second, median {median} s, longest {worst} s",
        "{count} 份：每秒 {speed} 份，中位数 {median} 秒，最长 {worst} 秒",
    ),
    "at_once.failures": Wording(
        "warning",
        "{count}: {failed} failed; {speed} tickets a second, median {median} s, longest {worst} s",
        "{count} 份：{failed} 份失败；每秒 {speed} 份，中位数 {median} 秒，最长 {worst} 秒",
        "write concurrency = 8 under [backends.NAME]",
        "在 [backends.NAME] 下写 concurrency = 8",
    ),
    "tokens.ok": Wording(
        "ok",
        "a ticket: prompt {prompt} (cached {cached}), answer {output}; by our estimate: {ratios}",
        "每份工单：提示词 {prompt}（缓存 {cached}），回答 {output}；与估计之比：{ratios}",
    ),
    "tokens.none": Wording(
        "warning",
        "the server does not count them, so a prompt that is cut cannot be noticed",
        "服务器不报告 token 数，因此提示词被截断也发现不了",
        "set limits with --timeout and attempts rather than tokens, or choose a server that sends usage",
        "用 --timeout 和 attempts 而不是 token 来限制，或换一个报告 usage 的服务器",
    ),
    "repeat.same": Wording(
        "ok", "{asked} answers to the same two tickets, all equal; {moved}", "同样两份工单的 {asked} 个回答完全相同；{moved}"
    ),
    "repeat.moves": Wording(
        "warning",
        "{equal} of {asked} answers to the same two tickets were equal, {beside} among others at once; {moved}",
        "同样两份工单的 {asked} 个回答中 {equal} 相同，并发时 {beside} 相同；{moved}",
        "{mend}",
        "{mend}",
    ),
    "repeat.unknown": Wording(
        "warning",
        "too few answers could be read to compare them",
        "可读的回答太少，无法比较",
        "mend what stands above first, or give --repeat 2 or more",
        "先解决上面的问题，或使用 --repeat 2 以上",
    ),
}

VALUES: Mapping[str, Mapping[str, str]] = {
    "zh": {
        "honoured": "遵守",
        "ignored": "被忽略",
        "refused": "被拒绝",
        "unknown": "未知",
        "absent": "不存在",
        "null": "为 null",
        "empty": "为空列表",
        "yes": "可以",
        "no": "不可以",
        "unnamed": "类型未知",
        "letters": "字母",
        "random": "随机代码",
        "words": "类别的 id",
        "by_ids": "按 token 编号列出",
        "by_openai": "列出最可能的几个",
        "by_integer": "列出最可能的几个（整数形式）",
        "temperature": "在 [backends.NAME] 下写 temperature = 0",
        "margin": "选择阈值时留出这么大的余量",
        "nothing": "没有给出数值",
        "spread": "模型自报的数值最多相差 {}",
        "change": "概率最多相差 {}",
    },
    "en": {
        "absent": "absent",
        "null": "null",
        "empty": "an empty list",
        "unknown": "not known",
        "unnamed": "kind not told",
        "random": "random codes",
        "words": "ids of categories",
        "by_ids": "by token number",
        "by_openai": "among the most probable",
        "by_integer": "among the most probable (integer form)",
        "temperature": "write temperature = 0 under [backends.NAME]",
        "margin": "leave a margin of that size when you choose a threshold",
        "nothing": "no number was given",
        "spread": "the model's own number moved by up to {}",
        "change": "a probability moved by up to {}",
    },
}


def in_words(value: object, language: str) -> str:
    """A value of a finding as it is read."""
    text = value[1:] if isinstance(value, str) and value.startswith("=") else None
    if text is not None:
        key, _, number = text.partition(" ")
        return VALUES[language].get(key, key).format(number)
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return str(value)
