"""Tickets that doctor sends: invented, harmless, half English and half Chinese; never those of a user."""

from __future__ import annotations

_EN = (
    "Order {n}: the parcel was due last week and has not arrived. Where is it?",
    "I was charged twice for order {n}. Please send one of the two payments back.",
    "The lamp of order {n} went dark after two days. I tried another socket, and it stays dark.",
    "I cannot sign in since yesterday. The reset mail for account {n} never comes.",
)
_ZH = (
    "订单 {n} 上周就该到了，到现在还没收到，请问快递到哪里了？",
    "订单 {n} 被扣了两次款，请把多扣的那一笔退给我。",
    "订单 {n} 的台灯用了两天就不亮了，换了插座也不行，怎么处理？",
    "从昨天起账号 {n} 就登录不了，重置密码的邮件一直收不到。",
)


def samples(count: int, *, first: int = 0) -> list[tuple[str, str]]:
    """So many tickets with their languages, in turn, no two alike.

    Args:
        count: How many.
        first: The number of the first; the same number is always the same ticket.
    """
    return [_sample(number) for number in range(first, first + count)]


def _sample(number: int) -> tuple[str, str]:
    language, texts = ("en", _EN) if number % 2 == 0 else ("zh", _ZH)
    return language, texts[number // 2 % len(texts)].format(n=4700 + number)
