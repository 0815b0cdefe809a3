"""Cleaning a ticket: each step by itself, and the laws of all together."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage.errors import UnknownNameError
from llmtriage.prepare import STEP_NAMES, Preparation, prepare
from llmtriage.prepare.characters import invisible, unicode, whitespace
from llmtriage.prepare.html import html_text
from llmtriage.prepare.mail import quotes, reply_prefixes
from llmtriage.prepare.signature import signature
from llmtriage.tickets import Ticket

ALL = Preparation.default()


def clean(content: str, title: str = "") -> str:
    """The text after all steps."""
    return prepare(Ticket(content=content, title=title), ALL).text


def tidy(text: str) -> str:
    """The text of HTML without needless white space."""
    return whitespace(html_text(text))


# -- the whole -----------------------------------------------------------------------------------


def test_all_steps_run_by_default_in_a_fixed_order() -> None:
    """Steps given in another order are the same preparation."""
    assert ALL.steps == STEP_NAMES == ("unicode", "invisible", "html", "quotes", "signature", "whitespace", "redact")
    assert Preparation(("whitespace", "html", "html")) == Preparation(("html", "whitespace"))


def test_an_unknown_step_is_refused() -> None:
    """With the nearest that exists."""
    with pytest.raises(UnknownNameError, match="did you mean 'html'"):
        Preparation(("htm",))


def test_the_fingerprint_names_steps_and_version() -> None:
    """Two preparations that may give different texts have different fingerprints."""
    assert ALL.fingerprint() == {
        "steps": "unicode invisible html quotes signature whitespace redact",
        "version": "2",
        "hidden": "email url cn_id iban bank_card phone plate address name",
    }
    assert Preparation(("html",)).fingerprint() != ALL.fingerprint()


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        pytest.param("unicode", "ＡＢ", "AB", id="unicode"),
        pytest.param("invisible", "a\u200bb", "ab", id="invisible"),
        pytest.param("html", "<b>a</b>", "a", id="html"),
        pytest.param("quotes", "I want my money back\n> old\n> older", "I want my money back\n\n", id="quotes"),
        pytest.param("signature", "I want my money back\n-- \nBob", "I want my money back", id="signature"),
        pytest.param("whitespace", "a  b", "a b", id="whitespace"),
        pytest.param("redact", "mail bob@example.com", "mail [EMAIL_1]", id="redact"),
    ],
)
def test_each_step_can_be_switched(step: str, text: str, expected: str) -> None:
    """A step alone does its work, all others leave it, and the result says which changed something."""
    done = prepare(Ticket(content=text), Preparation((step,)))
    assert (done.text, done.steps_that_changed_something) == (expected, (step,))
    others = Preparation(tuple(name for name in STEP_NAMES if name not in (step, "whitespace")))
    assert prepare(Ticket(content=text), others).text == text
    assert prepare(Ticket(content=text), Preparation(())).text == text


@pytest.mark.parametrize(
    ("title", "content", "expected"),
    [
        pytest.param("Lost parcel", "Where is it?", "Lost parcel\n\nWhere is it?", id="both"),
        pytest.param("", "Where is it?", "Where is it?", id="no title"),
        pytest.param("Lost parcel", "", "Lost parcel", id="no content"),
        pytest.param("Re: AW: 回复：[2] x", "y", "[2] x\n\ny", id="prefixes"),
        pytest.param("RE[3]: 转发： 退款", "我要退款", "退款\n\n我要退款", id="Chinese prefixes"),
        pytest.param("Re:", "y", "y", id="prefix alone"),
        pytest.param("Where is it?", "Where is it? I wait.", "Where is it? I wait.", id="beginning of the content"),
        pytest.param("WHERE is i...", "Where is it? I wait.", "Where is it? I wait.", id="cut title"),
        pytest.param("two\nlines", "y", "two lines\n\ny", id="lines in a title"),
        pytest.param("<b>退款</b>", "y", "退款\n\ny", id="markup in a title"),
        pytest.param("Order > 3 days", "-- \nok", "Order > 3 days\n\n--\nok", id="no mail in a title"),
    ],
)
def test_title_and_content_become_one_text(title: str, content: str, expected: str) -> None:
    """Cleaned apart, with an empty line between."""
    assert clean(content, title) == expected


def test_only_reply_prefixes_go() -> None:
    """A colon alone makes none."""
    for title in ("Refund: order 12", "Return: lamp", "react: error", "回复我：为什么"):
        assert reply_prefixes(title) == title


def test_markup_hidden_in_other_disguises_is_found() -> None:
    """Steps that make work for another run again."""
    assert clean("Hi <b\u200b>there</b>") == "Hi there"
    assert clean("＆lt; <ｂ>there</b>&#8203;!") == "＆lt; there!"


def test_markup_disguised_again_and_again_ends() -> None:
    """However deep it is, the result is stable."""
    text = "&lt;b>退款"
    for _ in range(9):
        text = text.replace("&", "&#38;&#65283;38;")
    once = clean(text)
    assert clean(once) == once
    assert once.endswith("b>退款")


def test_a_mail_in_both_languages() -> None:
    """All steps together."""
    english = (
        "<html><body><div>Hello,</div><p>My&nbsp;order <b>4711</b> is late.</p><p>Please&#8203; refund me.</p>"
        "<div>Best regards,<br>Bob Smith</div><div>On Mon, May 4, 2026 at 10:12 AM Shop &lt;help@shop.example&gt; wrote:</div>"
        "<blockquote>Dear Bob<br>we are sorry</blockquote></body></html>"
    )
    assert clean(english, "Re: Your order") == "Your order\n\nHello,\n\nMy order 4711 is late.\n\nPlease refund me."
    chinese = (
        "您好，\r\n我的订单　４７１１ 还没有到，请退款。\r\n\r\n\r\n此致\r\n敬礼\r\n张三\r\n\r\n"
        "发件人：客服\r\n发送时间：5月4日\r\n主题：订单\r\n\r\n抱歉"
    )
    assert clean(chinese, "答复: 订单") == "订单\n\n您好，\n我的订单 4711 还没有到，请退款。"


# -- unicode, invisible, whitespace --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ＡＢ－１２３ ａ＠ｂ．ｃｎ", "AB-123 a@b.cn", id="full-width letters and digits"),
        pytest.param("你好，退款！（急）：？；～", "你好，退款！（急）：？；～", id="Chinese punctuation stays"),
        pytest.param("①退款 10㎡ 5℃ x² №3 ½", "①退款 10㎡ 5℃ x² №3 ½", id="symbols stay"),
        pytest.param("＜b＞＆amp；", "＜b＞＆amp；", id="no markup is made"),
        pytest.param("reﬁll oﬀer", "refill offer", id="ligatures"),
        pytest.param("⼀⼆", "一二", id="Kangxi radicals"),
        pytest.param("𝐫𝐞𝐟𝐮𝐧𝐝 𝟏𝟐", "refund 12", id="mathematical letters"),
        pytest.param("Cafe\u0301", "Café", id="composition"),
        pytest.param("a\ud800b", "a\ufffdb", id="half a surrogate pair"),
        pytest.param("plain", "plain", id="ASCII"),
    ],
)
def test_unicode(text: str, expected: str) -> None:
    """Letters have one form; what means something else stays."""
    assert unicode(text) == expected


def test_a_character_has_at_most_thirty_marks() -> None:
    """More would take quadratic time to sort, and nobody writes so."""
    text = unicode("a" + "\u0316\u0301" * 1000 + "b")
    assert sum(1 for c in text if unicodedata.combining(c)) <= 30
    assert text[0] in "aá"
    assert text[-1] == "b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("re\u200bfund\ufeff \u00adx\u2060", "refund x", id="zero width"),
        pytest.param("\u202eabc\u2066d\u2069", "abcd", id="direction"),
        pytest.param("hi" + "".join(chr(0xE0000 + ord(c)) for c in "ignore"), "hi", id="tags"),
        pytest.param("退\u200b款\x00\x1b\x7f\x9f", "退款", id="control characters"),
        pytest.param("a\tb\nc\r\nd\re\u2028f\x0bg", "a\tb\nc\nd\ne\nf\ng", id="line ends"),
        pytest.param("👨\u200d👩\u200d👧 ❤\ufe0f", "👨\u200d👩\u200d👧 ❤\ufe0f", id="emoji"),
        pytest.param("می\u200cخواهم क्\u200dष", "می\u200cخواهم क्\u200dष", id="joiners of scripts"),
        pytest.param("a\u200db \u200d退\u200c款\u200d", "ab 退款", id="loose joiners"),
        pytest.param("x\ufe01\ufe02\ufe03", "x\ufe01", id="runs of variation selectors"),
        pytest.param("\ufe0f \ufe0f", " ", id="variations of nothing"),
        pytest.param("plain 中文 text", "plain 中文 text", id="nothing"),
    ],
)
def test_invisible(text: str, expected: str) -> None:
    """What nobody sees goes; what shapes something visible stays."""
    assert invisible(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("  a \t b\u00a0\u3000c  ", "a b c", id="blanks"),
        pytest.param("a  \n  b\n \n\t\n\n\nc\n", "a\nb\n\nc", id="lines"),
        pytest.param("　退款　　谢谢", "退款 谢谢", id="full-width space"),
        pytest.param("a b\n\nc", "a b\n\nc", id="tidy"),
    ],
)
def test_whitespace(text: str, expected: str) -> None:
    """Single spaces, at most one empty line, nothing around."""
    assert whitespace(text) == expected


# -- html ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "I <3 you",
        "List<String> x = new Map<a, b>();",
        "write to <bob@shop.example> or <https://shop.example/a?b=1&c=2>",
        "x<y && y>z; AT&T, R&D; ?a=1&lt=2&copy=3",
        "价格<100元，数量>5",
        "I typed <your-name> and <address> there",
        "<<<>>> -> <- <-- <=>",
        "<",
        "&",
    ],
)
def test_text_with_angles_is_no_html(text: str) -> None:
    """It stays as it is."""
    assert html_text(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("<p>Hello<br/>there</p><P class=x>退款</P>", "Hello\nthere\n\n退款", id="lines"),
        pytest.param("<div>a</div><div><div>b</div></div>c", "a\nb\nc", id="blocks"),
        pytest.param("<ul><li>a<li>b</ul>", "a\nb", id="list"),
        pytest.param("<table><tr><td>a</td><td>b</td></tr><tr><th>c</th></tr></table>", "a b\nc", id="table"),
        pytest.param("a<b>b</b>c <i>d</i>", "abc d", id="inline"),
        pytest.param("<p>a\nb</p>", "a b", id="line ends of the source"),
        pytest.param("line one\nline <b>two</b>", "line one\nline two", id="line ends of text"),
        pytest.param("<pre>a\nb</pre><br>", "a\nb", id="pre"),
        pytest.param("Tom &amp; Jerry&nbsp;&#39;x&#x27; &AMP; &EURO;", "Tom & Jerry 'x' & €", id="entities alone"),
        pytest.param("&lt;p&gt;退款&lt;/p&gt;", "退款", id="escaped"),
        pytest.param("<p>1 &lt; 2</p>", "1 < 2", id="less than"),
        pytest.param("&amp;amp;amp;amp;amp;lt;b&gt;", "amp;amp;lt;b>", id="escaped too often"),
        pytest.param("&amp;amp;amp;x", "&x", id="escaped three times"),
        pytest.param("&buml;&uuml;", "buml;ü", id="unknown entity"),
        pytest.param("<script>if (a<b) alert('<p>x</p>')</script>a<style>p{}</style>", "a", id="script and style"),
        pytest.param("<html><head><title>t</title><body>a</body></html>", "a", id="head without an end"),
        pytest.param("a<!-- ignore <b>all</b> -->b<!DOCTYPE html><?xml a?><![if x]>c<![endif]>", "abc", id="comments"),
        pytest.param('a<img alt="x > y" src="data:image/png;base64,AAAA">b', "ab", id="greater than in an attribute"),
        pytest.param("<o:p>a</o:p> <mailto:x> List<String>", "a <mailto:x> List<String>", id="unknown names"),
        pytest.param("<p>a &#" + "1" * 5000 + ";</p>", "a \ufffd", id="endless number"),
        pytest.param("<blockquote>old<br>older</blockquote>new", "> old\n> older\n\nnew", id="block quote"),
    ],
)
def test_html_becomes_text(text: str, expected: str) -> None:
    """Lines as a reader sees them."""
    assert tidy(text) == expected


@pytest.mark.parametrize(
    "hidden",
    [
        '<div style="display:none">ignore <p>all</p> this</div>',
        "<span STYLE='color:red; Display : None !important'>ignore</span>",
        "<span style=display:none>ignore</span>",
        '<span style="dis/* x */play:none">ignore</span>',
        '<span style="display&#58;none">ignore</span>',
        '<p style="font-size:0">ignore</p>',
        '<p style="font-size: 1px">ignore</p>',
        '<p style="visibility:hidden">ignore</p>',
        '<p style="opacity:0">ignore</p>',
        '<p style="max-height:0;overflow:hidden">ignore</p>',
        '<p style="mso-hide:all">ignore</p>',
        "<div hidden>ignore</div>",
        "<template>ignore</template>",
    ],
)
def test_what_no_reader_sees_is_dropped(hidden: str) -> None:
    """It is where instructions to a model are hidden."""
    assert tidy(f"<div>before {hidden} after</div>").split() == ["before", "after"]


@pytest.mark.parametrize(
    "shown",
    [
        '<td style="font-size:0px"><div style="font-size:13px">seen</div></td>',
        '<div style="visibility:hidden"><b style="visibility:visible">seen</b></div>',
        '<p style="font-size:0.9em; line-height:0; opacity:0.5">seen</p>',
        '<p alt="the hidden cost" data-hidden="1">seen</p>',
        '<p aria-hidden="true" style="">seen</p>',
        '<div style="display:none"><p>x</div>seen',
        '<p style="display:none">x<p>seen',
    ],
)
def test_what_a_reader_sees_stays(shown: str) -> None:
    """Newsletters set a size of 0 around text that has its own."""
    assert tidy(f"<table>{shown}</table>") == "seen"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("the page shows <script> and then stops", "the page shows and then stops", id="script"),
        pytest.param("a <!-- b <br> c", "a b\nc", id="comment"),
        pytest.param("<p>a <b c", "a <b c", id="tag"),
        pytest.param("<p title='x>a</p>", "a", id="quote"),
        pytest.param("</div></p>a</b>", "a", id="ends alone"),
        pytest.param("<p><b><i>a</p></b>b", "a\n\nb", id="crossed"),
    ],
)
def test_malformed_html_loses_no_text(text: str, expected: str) -> None:
    """What never ends is dropped without what follows it."""
    assert tidy(text) == expected


# -- quotes --------------------------------------------------------------------------------------

OWN = {"en": "I want my money back, order 4711", "zh": "我要退款，订单号 4711"}
OLD = "We are sorry to hear that\n抱歉"
BEGINNINGS = {
    "gmail": "On Mon, May 4, 2026 at 10:12 AM Shop <help@shop.example> wrote:",
    "gmail over two lines": "On Mon, May 4, 2026 at 10:12 AM Shop\n<help@shop.example> wrote:",
    "thunderbird": "On 5/4/26 10:12, Shop wrote:",
    "netease": 'At 2026-05-04 10:12:33, "Shop" <help@shop.example> wrote:',
    "gmail zh": "客服 <help@shop.example> 于2026年5月4日周一 10:12写道：",
    "apple zh": "在 2026年5月4日，上午10:12，客服 <help@shop.example> 写道：",
    "german": "Am 04.05.26 um 10:12 schrieb Shop <help@shop.example>:",
    "french": "Le lun. 4 mai 2026 à 10:12, Shop <help@shop.example> a écrit :",
    "outlook": "-----Original Message-----\nFrom: Shop\nSent: Monday\nTo: Bob\nSubject: order",
    "outlook block": "From: Shop <help@shop.example>\nSent: Monday\nTo: Bob\nSubject: order",
    "outlook bold": "*From:* Shop\n*Sent:* Monday\n*To:* Bob\n*Subject:* order",
    "outlook zh": "发件人: 客服\n发送时间: 2026年5月4日 10:12\n收件人: 张三\n主题: 订单",
    "outlook de": "Von: Shop\nGesendet: Montag\nAn: Bob\nBetreff: Bestellung",
    "qq": "------------------ 原始邮件 ------------------\n发件人: 客服\n主题: 订单",
}


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
@pytest.mark.parametrize("begins", BEGINNINGS.values(), ids=BEGINNINGS)
def test_everything_behind_the_beginning_of_a_quoted_mail_goes(own: str, begins: str) -> None:
    """With and without > before its lines."""
    assert quotes(f"{own}\n\n{begins}\n{OLD}").strip() == own
    quoted = "\n".join(f"> {line}" for line in OLD.split("\n"))
    assert quotes(f"{own}\n\n{begins}\n\n{quoted}").strip() == own


@pytest.mark.parametrize(
    "intro", ["", "FYI", "see below", "见下", "Hi team,\nplease see below what the customer wrote", "转发客户的邮件，请处理一下"]
)
@pytest.mark.parametrize("begins", BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_mail_that_is_all_quote_stays(intro: str, begins: str) -> None:
    """Somebody sent the customer's mail on: it is the message."""
    text = f"{intro}\n{begins}\n{OLD}"
    assert quotes(text) == text


def test_a_reply_with_nothing_but_a_signature_stays() -> None:
    """A signature says nothing, however long."""
    text = f"Best regards,\nBob Smith\nHead of Purchasing\nSent from my iPhone\n\n{BEGINNINGS['outlook block']}\n{OLD}"
    assert quotes(text) == text


def test_answers_below_and_between_quoted_lines_stay() -> None:
    """Only the quoted lines go, with the line that says who wrote them."""
    below = f"{BEGINNINGS['thunderbird']}\n> what is the number?\n\nThe number is 4711."
    assert whitespace(quotes(below)) == "The number is 4711."
    between = "> which order?\n订单号是4711\n> and when?\n上周一买的"
    assert whitespace(quotes(between)) == "订单号是4711\n\n上周一买的"


@pytest.mark.parametrize(
    "text",
    [
        "My parcel is late\n> 3 days late\nPlease help",
        "Nothing works here at all\n>_<\n再见",
        "From: Berlin\nTo: Munich\nDate: 3 May\nI want to change this ticket to 4 May",
        "我寄了一个包裹还没有到\n发件人：张三\n收件人：李四\n日期：5月4日\n请帮忙查询一下",
        "My order never came.\nOn Monday your agent wrote:\nyou will get it tomorrow",
        f"My order never came.\nOn {'my way ' * 100}at 10:12 the driver wrote:\nsorry",
        "My order never came.\nOn the box somebody wrote: fragile\nand it broke",
        "Steps that I took:\n1. restart\n2. reset: no change",
        "---------- Forwarded message ---------\nFrom: Bob\nmy parcel is lost, where is it now",
    ],
)
def test_what_only_looks_like_a_quote_stays(text: str) -> None:
    """A lost sentence is worse than a kept quote."""
    assert quotes(text) == text


# -- signature -----------------------------------------------------------------------------------


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
@pytest.mark.parametrize(
    "end",
    [
        "-- \nBob Smith\nACME Ltd.\nOrder our newsletter",
        "--\n张三\n电话 13800138000",
        "Sent from my iPhone",
        "Sent from Mail for Windows 10",
        "Get Outlook for iOS<https://aka.example/x>",
        "Von meinem iPhone gesendet",
        "发自我的iPhone",
        "发自我的华为手机",
        "从我的手机发送",
        "Best regards,\nBob Smith\nHead of Purchasing\nTel: +49 30 123456\nbob@acme.example\nwww.acme.example",
        "Thanks,\nBob",
        "Many thanks!",
        "Mit freundlichen Grüßen\nHans von der Heide",
        "此致\n敬礼\n张三\n电话：13800138000",
        "谢谢！\n李女士",
        "顺祝商祺",
        "This e-mail and any attachments are confidential and intended\nonly for the addressee.",
        "CONFIDENTIALITY NOTICE: do not read this",
        "本邮件及其附件含有保密信息，仅限于发送给上述收件人。",
        "Kind regards\nBob\n\n--\nACME\n\nSent from my iPad",
    ],
)
def test_signatures_go(own: str, end: str) -> None:
    """Whoever wrote them: a person, a device or a legal department."""
    assert signature(f"{own}\n\n{end}").strip() == own
    assert clean(f"{own}\n\n{end}\n\n") == own


@pytest.mark.parametrize(
    "text",
    [
        "Where is my parcel, please?\n\nThanks\nMy order number is 12345",
        "Where is my parcel, please?\n\nThanks\nAB-12345",
        "Where is my parcel, please?\n\n谢谢\n请尽快处理",
        "Where is my parcel, please?\n\nBest regards\nBob\nP.S. it was order 4711",
        "Call me back about the lamp\n+49 30 123456",
        "The first order is wrong\n--\nThe second one too\n--\nRefund both",
        "The first order is wrong\n--\nCan I send it back?",
        "The list is this:\n-----\nlamp\nbulb",
        "Sent from my house to yours, the parcel\nnever came",
        "来自我的家人的订单有问题\n请帮忙处理一下退款",
        "Best regards to your driver\nhe was very kind to me",
        "The text is this\nThanks\n" + "long " * 30,
        "Thanks,\nBob",
        "-- \nBob",
        "Sent from my iPhone\n发自我的iPhone",
        "This e-mail is confidential\nI want to report a theft",
    ],
)
def test_what_is_not_clearly_a_signature_stays(text: str) -> None:
    """Above all numbers, questions, and the only content there is."""
    assert signature(text) == text


def test_a_long_message_says_enough() -> None:
    """Also one of short lines alone."""
    text = "a\n" * 300
    assert quotes(f"{text}> old\n> older") == text + "\n"


def test_a_note_of_a_device_goes_wherever_it_stands() -> None:
    """What follows it stays."""
    assert signature("I want my money back\nSent from my iPhone\nP.S. order 4711") == "I want my money back\n\nP.S. order 4711"


# -- laws ----------------------------------------------------------------------------------------

PIECES = [
    *(line for begins in BEGINNINGS.values() for line in begins.split("\n")),
    *(
        "> quoted",
        "> 3 days",
        ">",
        "-- ",
        "--",
        "Sent from my iPhone",
        "发自我的iPhone",
        "Best regards",
        "Thanks,",
        "Bob Smith",
        "张三",
    ),
    *(
        "敬礼",
        "This e-mail is confidential",
        "Please refund me my money",
        "我要退款请尽快处理",
        "Hi team,",
        "see below",
        "wrote:",
        "?",
    ),
    *(
        "<p>",
        "</p>",
        "<br>",
        "<div style='display:none'>",
        "</div>",
        "<b",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        "<pre>",
        "<",
        "&",
    ),
    *(
        "&amp;",
        "amp;",
        "&lt;",
        "lt;",
        "&#8203;",
        "&#65308;",
        "&nbsp;",
        "<blockquote>",
        "</blockquote>",
        "<td>",
        '"',
        "'",
        "=",
        "＜",
    ),
    *(
        "\u200b",
        "\u200d",
        "\ufe0f",
        "👨",
        "\u0301",
        "\u0316",
        "e",
        "Ａ",
        "；",
        "\u3000",
        " ",
        "\t",
        "\n\n",
        "\r\n",
        "\x00",
        "\ud800",
    ),
]
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES), max_size=12).map("\n".join),
    st.lists(st.one_of(st.sampled_from(PIECES), st.just("\n"), st.text(max_size=3)), max_size=20).map("".join),
)
FUNCTIONS = [unicode, invisible, html_text, quotes, signature, whitespace, reply_prefixes]


@pytest.mark.slow
@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_prepared_text_changes_no_more(text: str) -> None:
    """Preparing is idempotent and never fails, as a whole and step by step."""
    once = clean(text)
    assert clean(once) == once
    for step in FUNCTIONS:
        assert step(step(text)) == step(text), step.__name__


@given(TEXTS, TEXTS)
@settings(max_examples=100, deadline=None)
def test_prepared_text_is_clean(title: str, content: str) -> None:
    """It encodes as UTF-8, has no blanks to spare and nothing invisible, and tells whether anything changed."""
    done = prepare(Ticket(title=title, content=content), ALL)
    done.text.encode()
    assert done.text == whitespace(done.text)
    assert "\u200b" not in done.text
    assert set(done.steps_that_changed_something) <= set(STEP_NAMES)
    if not done.steps_that_changed_something:
        assert done.text in (content, title, f"{title}\n\n{content}")


@given(st.text(st.sampled_from("abc xyz123,.我要退款订单")).map(str.split).map(" ".join))
def test_plain_text_is_left_alone(text: str) -> None:
    """A chat message comes out as it went in."""
    done = prepare(Ticket(content=text), ALL)
    assert (done.text, done.steps_that_changed_something) == (text, ())


ADVERSARIES = {
    "less than": "<",
    "greater than": ">\n",
    "on": "On ",
    "on lines": "On x\n",
    "attributions": "On 10:12 wrote:\n",
    "spaces": " ",
    "empty lines": "\n \n",
    "open tags": "<b ",
    "open quotes": "<a b='\"",
    "open comments": "<!--",
    "scripts": "<script>",
    "elements": "<div>",
    "comments in a style": "<p style='/* a'>",
    "ampersands": "&amp;",
    "marks": "\u0301\u0316",
    "joiners": "\u200d",
    "headers": "From: a@b\nTo: x\n",
    "dashes": "--\n",
    "closings": "Thanks\nBest regards\n",
    "devices": "Sent from my iPhone\n",
    "prefixes": "Re: ",
    "nothing said": "...\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("unit", ADVERSARIES.values(), ids=ADVERSARIES)
def test_time_is_linear_in_the_text(unit: str) -> None:
    """Sixteen times the text takes far less than the 256 times of a quadratic algorithm."""

    def seconds(size: int, repeats: int) -> float:
        ticket = Ticket(content=unit * (size // len(unit)), title=unit * (size // len(unit)))
        taken = []
        for _ in range(repeats):
            begin = time.process_time()
            prepare(ticket, ALL)
            taken.append(time.process_time() - begin)
        return min(taken)

    assert seconds(64_000, 3) < 80 * max(seconds(4_000, 5), 1e-4)
