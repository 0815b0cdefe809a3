"""A taxonomy of your own, in code: two languages, a team for each category, and a rule that a person always decides."""

from __future__ import annotations

from llmtriage import Accepted, Category, Taxonomy, Ticket, Triage
from llmtriage.lint import lint
from llmtriage.taxonomy import Condition, Rule

HOTEL = Taxonomy(
    name={"en": "Hotel", "zh": "酒店"},
    categories=(
        Category(
            id="booking",
            name={"en": "Booking", "zh": "预订"},
            description={"en": "Reserve, change or cancel a room.", "zh": "预订、修改或取消房间。"},
            examples=("Can I add a night to my reservation?", "我想取消周五的房间"),
            team="front-desk",
        ),
        Category(
            id="lost",
            name={"en": "Lost property", "zh": "失物"},
            description={"en": "Something was left behind.", "zh": "物品遗落在酒店。"},
            examples=("I forgot my charger in room 12", "耳机落在房间了"),
            team="housekeeping",
        ),
        Category(id="other", description={"en": "Anything else.", "zh": "其他。"}, catch_all=True),
    ),
    rules=(Rule(name="police", when=Condition(keywords=("police", "报警")), always_review=True),),
)


def main() -> None:
    """Check the taxonomy, then sort four tickets."""
    for finding in lint(HOTEL):
        print(finding)
    triage = Triage(taxonomy=HOTEL, threshold=0.5)
    texts = ["I left my charger in the room", "想取消房间", "My charger was stolen from my room, I called the police", "?"]
    for text, outcome in zip(texts, triage.classify_many(Ticket(content=text) for text in texts), strict=True):
        if isinstance(outcome, Accepted):
            print(f"{outcome.team}: {text}")
        else:
            print(f"waits ({', '.join(reason.code for reason in outcome.reasons)}): {text}")


if __name__ == "__main__":
    main()
