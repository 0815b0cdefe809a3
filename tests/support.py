"""What several test files use."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
