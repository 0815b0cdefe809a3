"""Names of people, which have no format: only behind a cue word, or with a title. "Zhang San says ..." stays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from llmtriage.prepare.personal.words import either, holds_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmtriage.prepare.personal import Found

# -- Chinese -------------------------------------------------------------------------------------

_TWO: Final = either(
    "欧阳 歐陽 司马 司馬 上官 诸葛 諸葛 东方 東方 皇甫 尉迟 公孙 慕容 令狐 司徒 夏侯 端木 南宫 独孤 宇文 长孙 西门"
)
"""Surnames of two characters."""
_ONE: Final = (
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏窦章苏潘葛奚范彭郎鲁韦昌马苗凤方俞任袁柳鲍史唐费廉"
    "岑薛雷贺倪汤滕殷罗毕郝邬安乐傅皮卞齐康伍余元卜顾孟黄穆萧尹姚邵湛汪祁毛禹狄米贝明臧戴谈宋庞熊纪舒屈项祝董梁杜阮蓝闵季贾路娄江"
    "童颜郭梅盛林钟徐邱骆高夏蔡田樊胡凌霍虞万柯管卢莫房解应宗丁宣邓郁单杭洪包左石崔吉龚程邢裴陆荣翁荀羊甄封储靳段焦巴牧车侯全班秋"
    "仲宫宁仇甘厉戎祖武符刘景詹龙叶司黎白蒲赖卓屠蒙池乔胥苍闻党翟谭劳姬申扶冉郦雍桑尚农温柴瞿阎充习艾鱼容向古易廖步耿满匡国文寇广"
    "东欧沃蔚隆师巩聂敖冷辛阚简饶空曾沙丰关查荆红游权盖益桓于仝肖涂闫佟麦练楼官候覃岳海燕占付代凡兰巫缪成佘趙錢孫鄭馮陳衛蔣瀋韓楊"
    "許呂張嚴謝鄒竇蘇範魯韋馬鳳費賀湯羅畢鄔樂齊顧黃蕭談龐紀項藍閔賈婁顏鐘駱萬盧應鄧單龔陸榮儲車寧劉葉龍賴喬蒼聞黨譚勞農溫閻習魚滿"
    "鞏聶簡饒豐關"
)
_SURNAME: Final = f"(?:{_TWO}|[{_ONE}])"
_NO_NAME: Final = "的了是在我你您他她它们們这這那吗嗎呢吧啊哦呀么麼就都也不没沒很太"
_NO_END: Final = (
    _NO_NAME
    + "想要有能会會可还還已及和与與或从從到去给給让讓把被请請说說问問电電手身订訂买買退换換货貨单單收寄送付打查用住地先女人号號码碼个個上下点點"
)
_GIVEN: Final = f"(?![{_NO_NAME}])[\u4e00-\u9fff](?:(?![{_NO_END}])[\u4e00-\u9fff])?"
_TITLE: Final = "(?:先生|女士|小姐|太太)"
_WORDS: Final = either(
    "安装 安裝 安全 安排 安徽 方便 方面 方式 方法 任何 任务 高级 高級 高端 高兴 于是 时间 时候 全部 全新 全家 全国 白色 "
    "黄色 红色 蓝色 黑色 金色 黄金 白金 谢谢 感谢 成功 成员 包裹 包装 平台 江苏 江西 许多 何时 何种 马上 常用 程序 温度 "
    "万一 路由 路上 明天 明白 明明 强制 应该 解决 解释 经理 凭证 宣布 相关 项目 单独 单位 曾经 曾多 曾于 曾於 小白 小米 "
    "小时 小程 小区 老师 老家 充电 充值 空调 空白 车主 车间 管家 管理 公司 国内 国外 文件 海外 海南 广东 广西 广州 广告 "
    "东西 东北 代理 代收 代购 代表 官方 官网 楼下 楼上 国际 周一 周二 周三 周四 周五 周六 周日 周末 师傅 师父 练习 麦克 "
    "查询 简单 简直 易购 容易 尚未 农村 农民 司机 班长 全职 左右 武汉 宁波 宁夏 杭州 荣耀 元旦 元宝 柏林 米家 龙头 党员 "
    "古董 向您 向你 温馨 温州 宣传 满意 满减 丰巢 费用 费了 单身 关于 关注 关系 申请 申通 余额 贝壳 石油 应届 卫生 东莞 "
    "封号 吉林 盛夏 步骤 景区 景东 季度 祖国 夏天 夏季 秋天 秋季 冷冻 冷静 花呗 顺丰 项链 贺卡 明细 钱包 钱款 金额 金融 "
    "金卡 雷达 章程 童装 童车 米粉 毛巾 毛衣 皮鞋 皮带 石头 汤姆 乐高 康复 江边 江北 江南 巴西 沙发 辛苦 游客 游戏"
)
"""Words that begin like a name."""
_HAN: Final = (
    rf"(?!{_WORDS})((?:{_SURNAME}{_GIVEN}|[小老阿][{_ONE}]|[\u4e00-\u9fff]{{1,6}}(?:·[\u4e00-\u9fff]{{1,8}}){{1,3}}){_TITLE}?)"
)
_LATIN: Final = r"[A-ZÀ-ÖØ-Þ][A-Za-zÀ-ÖØ-öø-ÿ'’-]{0,30}"
_ANY: Final = rf"(?:{_HAN}|({_LATIN}(?: {_LATIN}){{0,3}}))"
_NOUNS: Final = (
    "收件人 收货人 收貨人 联系人 聯絡人 聯繫人 寄件人 发件人 姓名 户名 戶名 持卡人 开户人 签收人 名字 称呼 申请人 投保人 "
    "被保险人 车主 乘客 乘车人 入住人 预订人 预定人 取件人 提货人 下单人 付款人 购买人 报修人 代办人 受理人 使用人 机主 "
    "号主 投诉人 当事人 负责人 经办人 署名 落款 大名 全名 法人 业主 租客 患者 客户名"
)
_NOUN: Final = either(_NOUNS)
_LINK: Final = r"(?: ?(?:是|为|為|叫做?|写的是?|填的是?|改[为成到]|换成|[:=]) ?)"
_BEHIND: Final = either(
    "电话 電話 手机 手機 身份证 先生 女士 小姐 地址 住 的 在 来自 要 想 有 下单 订 买 购 说 和 与 打 之前 昨天 今天 因为 "
    "发现 收到 账号"
)
_BOUND: Final = rf"(?=\s|[^\w]|\d|\Z|{_BEHIND})"
"""What may follow a name that no colon announces."""
_KIN: Final = either(
    "妈妈? 爸爸? 老公 老婆 先生 太太 儿子 女儿 朋友 同事 爱人 妻子 丈夫 父亲 母亲 姐姐? 哥哥? 弟弟? 妹妹? 客服 师傅 快递员 "
    "顾客 客户 代表"
)
_NAMED: Final = re.compile(rf"{_NOUN}(?:姓名)?(?:{_LINK}|[ (（【「\[]){{1,2}}{_ANY}|{_NOUN}{_HAN}{_BOUND}")
_CALLED: Final = re.compile(rf"(?:我叫做?|我的名字叫做?|名叫|本人叫|俺叫|我的?(?:中文|英文)?名字?(?:是|叫)|我係){_LINK}? ?{_ANY}")
_WHO: Final = re.compile(
    rf"(?<![\u4e00-\u9fff])(?:我是(?:客户|用户|买家)?|本人|这里是|我?{_KIN}(?![小老阿]))(?:叫|名叫|是)? ?"
    rf"(?:{_HAN}{_BOUND}|([A-Z][a-z]{{1,20}}(?: [A-Z][a-z]{{1,20}})?)(?=[,，。.!！\n]|\Z))"
)
_SURNAMED: Final = re.compile(rf"(?:我姓|免贵姓|贵姓|本人姓)({_SURNAME}(?:{_GIVEN}{_BOUND})?)")
_TITLED: Final = re.compile(rf"({_SURNAME}(?:(?![{_NO_NAME}])[\u4e00-\u9fff]){{0,2}}(?<!这位)(?<!各位){_TITLE})")

# -- English -------------------------------------------------------------------------------------

_NO_CAPITALS: Final = either(
    "The My I I'm We Please Order It This That You Your Dear Hello Hi Our Team Support Customer Service In On At For And "
    "But Not No Yes A An Any As If So Sent Looking Best Kind Regards Thanks Thank Again Everyone All Re Waiting Still Very "
    "Sorry Just What When Why How Where Is Are Do Can Could Would Phone Email Address Tel Unknown None Amazon Apple Google "
    "Prime Premium Gold German American British Chinese French Spanish Indian"
)
_NO_SMALL: Final = either(
    "and but not wrong misspelled misspelt spelled spelt missing incorrect on in at is it the a an still listed also "
    "correct written shown different no being displayed now already please i im my we from with for to of order so or here "
    "there printed too never nowhere same changed ok fine what why can as"
)
_WORD: Final = rf"(?!{_NO_CAPITALS}\b){_LATIN}"
_TOKEN: Final = rf"(?!{_NO_CAPITALS}\b)(?:[A-Z]\.|{_LATIN})"
_FULL: Final = rf"{_TOKEN}(?: (?:(?:de|van|von|der|den|da|di|bin|al|la|le|del|ter) ){{0,2}}{_TOKEN}){{0,3}}"
_SMALL_WORD: Final = rf"(?!{_NO_SMALL}\b)[a-z'’-]{{2,20}}"
_THINGS: Final = ("product", "item", "file", "model", "company", "brand", "store", "shop", "user")
_OF_A_PERSON: Final = "".join(f"(?<!{thing} )" for thing in _THINGS)
_PERSON: Final = either("customer client patient guest buyer sender receiver driver passengers?")
# Each cue begins with one of the letters in the class: to ask for these first takes half the time.
_FIELD: Final = re.compile(
    rf"\b(?i:(?=[abcdfgilmnoprsu])(?:my (?:full |real |legal )?name(?:'s| is)|{_OF_A_PERSON}(?:full |first |last |account )?name(?: is| was)?:"
    r"|name on (?:the |my )?\w{4,8}(?: is|:)|(?:i am|i'm) called|recipient(?: name)?(?: is)?:?|addressee:?"
    r"|(?:card|account) ?holder(?:'s name)?(?: name)?(?: is)?:?|contact(?: person| name)?(?: is)?:|attn\.?:?|attention:|signed(?: by)?:?"
    rf"|{_PERSON}(?:'s)?(?: name)?(?: is)?:|beneficiary:?|consignee:?|(?:registered|booked|ordered|placed|filed)(?: (?:to|by)| under)"
    r"|under the name(?: of)?|in the name of|(?:ship|deliver|deliver it|send|bill|sold) to:|on behalf of|care of|c/o))"
    rf" ?(?:the name (?:of )?)?({_FULL})"
)
_SMALL: Final = re.compile(rf"\bmy (?:full )?name(?:'s| is) ({_SMALL_WORD}(?: {_SMALL_WORD})?)")
_SAYS_WHO: Final = re.compile(
    rf"\b(?=[ITti])(?:I'm|I am|I’m|[Tt]his is|[Ii]t's) (?:({_WORD} {_WORD}(?: {_WORD})?)"
    rf"(?=[,.;!]| (?:from|here|and|speaking|writing|calling|again|with)\b|\s*(?:\n|\Z))|({_WORD})(?= (?:from|here|speaking|calling)\b))"
)
_SIGNED: Final = re.compile(
    r"\b(?i:(?=[bcfmrsty])(?:regards|sincerely|cheers|thanks|thank you|yours|best|best wishes|faithfully|truly|cordially|many thanks))"
    r"[,!.]?\s{1,3}[-–—]?\s?"
    rf"({_TOKEN}(?: {_TOKEN}){{0,3}})(?=[.]?\s*(?:\n|\Z)|, )"
)
_MISTER: Final = re.compile(rf"(?<![A-Za-z])((?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof)\.? {_FULL})")

# -- both ----------------------------------------------------------------------------------------


class _Cued(NamedTuple):
    """A pattern with words of which it needs one, as they are written, or in any case, or in any case and with a colon behind."""

    pattern: re.Pattern[str]
    exact: tuple[str, ...] = ()
    any_case: tuple[str, ...] = ()
    with_colon: tuple[str, ...] = ()

    def may_stand_in(self, text: str, small: str) -> bool:
        """Whether it is worth looking, which takes ten times as long as this; `small` is the text in small letters."""
        if holds_one(text, self.exact) or holds_one(small, self.any_case):
            return True
        return bool(self.with_colon) and ":" in text and holds_one(small, self.with_colon)


# fmt: off
_BARE_FIELDS: Final = (
    "name's", "name is", "name on", "the name", "called", "recipient", "addressee", "holder", "attn", "signed", "beneficiary", "consignee",
    "registered ", "booked ", "ordered ", "placed ", "filed ", "on behalf", "care of", "c/o",
)
_COLON_FIELDS: Final = (
    "name", "contact", "attention:", "customer", "client", "patient", "guest", "buyer", "sender", "receiver", "driver", "passenger", "to:"
)
_FAREWELLS: Final = ("regards", "sincerely", "cheers", "thank", "yours", "best", "faithfully", "truly", "cordially")
# fmt: on
_LATIN_CUES: Final = (
    _Cued(_FIELD, any_case=_BARE_FIELDS, with_colon=_COLON_FIELDS),
    _Cued(_SMALL, exact=("my name", "my full name")),
    _Cued(_SAYS_WHO, exact=("I'm ", "I am ", "I’m ", "his is ", "It's ", "it's ")),
    _Cued(_SIGNED, any_case=_FAREWELLS),
    _Cued(_MISTER, exact=("Mr", "Ms", "Miss", "Mx", "Dr", "Prof")),
)
_KIN_HINTS: Final = "妈 爸 老公 老婆 先生 太太 儿 朋友 同事 爱人 妻 丈夫 亲 姐 哥 弟 妹 客 师傅 快递员 代表"
_CUES: Final = (
    _Cued(_NAMED, exact=tuple(_NOUNS.split())),
    _Cued(_CALLED, exact=("叫", "名", "我係")),
    _Cued(_WHO, exact=("是", "本人", *_KIN_HINTS.split())),
    _Cued(_SURNAMED, exact=("姓",)),
    _Cued(_TITLED, exact=("先生", "女士", "小姐", "太太")),
    *_LATIN_CUES,
)


def names(text: str) -> Iterator[Found]:
    """Names behind cue words such as 收件人 or "my name is", and with a title such as 女士 or Mrs."""
    small = text.lower()
    for cue in _LATIN_CUES if text.isascii() else _CUES:
        if cue.may_stand_in(text, small):
            for match in cue.pattern.finditer(text):
                yield match.span(match.lastindex or 0)
