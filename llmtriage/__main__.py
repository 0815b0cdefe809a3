"""`python -m llmtriage`."""

from llmtriage.cli import main

if __name__ == "__main__":
    main()
