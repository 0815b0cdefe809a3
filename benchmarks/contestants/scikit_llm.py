"""scikit-llm's zero-shot classifier: its own prompt around the same prepared texts, a thread for each request in flight."""

from __future__ import annotations

from collections.abc import Sequence

from contestants.common import Task, clocked


async def ask(task: Task) -> dict[str, float]:
    """`fit` on the names of the categories, `predict` on the texts."""
    from skllm.config import SKLLMConfig
    from skllm.models.gpt.classification.zero_shot import ZeroShotGPTClassifier

    SKLLMConfig.set_gpt_url(task.url.replace("/v1", "/label/v1"))
    classifier = ZeroShotGPTClassifier(model="custom_url::bench", key="none", org="none", default_label="no answer")
    classifier.fit(None, task.categories)

    async def predict(texts: Sequence[str]) -> list[str]:
        return [str(label) for label in classifier.predict(list(texts), num_workers=task.in_flight)]

    return await clocked(task, predict, task.texts)
