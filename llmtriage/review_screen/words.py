"""The words of the review screen, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "labelled": "{} labelled",
        "left": "{} wait",
        "suggestion": "suggestion: ",
        "no title": "(no title)",
        "no text": "(no text)",
        "lines": "{}-{} of {}",
        "more": "{} more",
        "inside": "{} inside",
        "saved": "saved: {} (u undoes)",
        "skipped": "skipped; it waits for others",
        "undone": "taken back: {}",
        "nothing to undo": "there is no answer to take back",
        "too soon": "not counted: the key came before the ticket could be read",
        "note kept": "the note is saved with the answer",
        "note": "note: ",
        "blind": "not shown for this ticket: the answer is to be your own",
        "no similar": "no similar confirmed ticket",
        "similar": "Similar tickets that people have decided:",
        "nothing": "Nothing waits for you.",
        "nothing more": "Enter looks again, u takes the last answer back, q ends.",
        "no match": "no category holds that",
        "pick": "choose a category",
    },
    "zh": {
        "labelled": "已标注 {}",
        "left": "待处理 {}",
        "suggestion": "建议：",
        "no title": "（无标题）",
        "no text": "（无正文）",
        "lines": "第 {}-{} 行，共 {} 行",
        "more": "还有 {} 个",
        "inside": "含 {} 个",
        "saved": "已保存：{}（u 撤销）",
        "skipped": "已跳过，留给其他人",
        "undone": "已撤回：{}",
        "nothing to undo": "没有可撤回的答案",
        "too soon": "未计入：工单刚显示就按了键",
        "note kept": "备注将随答案保存",
        "note": "备注：",
        "blind": "此工单不显示：请独立判断",
        "no similar": "没有相似的已确认工单",
        "similar": "人工已确认的相似工单：",
        "nothing": "没有等待您处理的工单。",
        "nothing more": "回车重新查看，u 撤回上一个答案，q 结束。",
        "no match": "没有匹配的类别",
        "pick": "请选择类别",
    },
}

# What the keys do, most needed first: a narrow terminal shows only the beginning.
HINTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "ticket": ("? help", "q quit", "{} choose", "/ search", "s skip", "u undo", "n note", "v similar", "o more"),
        "group": ("Esc back", "{} choose", "/ search", "s skip", "u undo", "n note", "o more", "? help", "q quit"),
        "search": ("Enter choose", "Esc back", "Up Down move"),
        "note": ("Enter keep", "Esc drop"),
        "help": ("Esc back", "q quit"),
        "nothing": ("q quit", "Enter look again", "u undo", "? help"),
    },
    "zh": {
        "ticket": ("? 帮助", "q 退出", "{} 选择", "/ 搜索", "s 跳过", "u 撤销", "n 备注", "v 相似", "o 更多"),
        "group": ("Esc 返回", "{} 选择", "/ 搜索", "s 跳过", "u 撤销", "n 备注", "o 更多", "? 帮助", "q 退出"),
        "search": ("回车 选择", "Esc 返回", "↑↓ 移动"),
        "note": ("回车 保留", "Esc 放弃"),
        "help": ("Esc 返回", "q 退出"),
        "nothing": ("q 退出", "回车 重新查看", "u 撤销", "? 帮助"),
    },
}

HELP: Mapping[str, str] = {
    "en": """\
1-9           choose the category with that number; a group opens
Up, Down      mark a category; Enter chooses what is marked
/ or letters  search all categories by id, name or initials, in any language
Esc           back
s             skip: the ticket waits for others
u             take the last answer back
n             write a note; it is saved with the answer
v             similar tickets that people have decided
o, PageDown   more of the text; PageUp goes back
q, Ctrl-C     quit; every answer is saved already

Letters that are keys (s u n v o q) start a search only behind /.
Nothing is preselected: Enter alone answers nothing.
A ticket without suggestion is to be judged by its text alone.""",
    "zh": """\
1-9           选择该编号的类别；分组会展开
↑ ↓           移动标记；回车选择所标记的类别
/ 或直接输入  按编号、名称、首字母或拼音搜索全部类别，中英文均可
Esc           返回
s             跳过：留给其他人
u             撤回上一个答案
n             写备注，随答案保存
v             人工已确认的相似工单
o、PageDown   继续看正文；PageUp 往回
q、Ctrl-C     退出；每个答案都已保存

作为按键的字母（s u n v o q）要先按 / 才能用于搜索。
没有任何预选：只按回车不会作答。
没有建议的工单请只根据正文判断。""",
}
