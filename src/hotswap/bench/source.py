"""Where this very package lies, for the children to import it from there."""

from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
