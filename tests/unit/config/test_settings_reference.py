from pathlib import Path

from gateway.config import load_settings
from gateway.config.reference import settings_reference

DOCS = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_settings_reference_is_up_to_date():
    assert DOCS.read_text(encoding="utf-8") == settings_reference(), "run: python -m gateway.config"


def test_every_setting_says_what_it_means():
    rows = [line for line in settings_reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if not row.rstrip(" |").split("|")[-1].strip()] == []


def test_the_example_in_the_reference_works():
    example = settings_reference().split("```yaml\n")[1].split("```")[0]
    assert load_settings("settings.md", example).sip.trunks[0].name == "local"
