"""Rows of the catalogue are kept over an upgrade, so whoever changes their form raises its format."""

from tests.golden.row_forms import forms_now, known_forms


def test_rows_of_another_form_have_another_format() -> None:
    """Raise `FORMAT` where a form changed, so that stores make their rows anew when they are opened.

    `python -m tests.golden.write_missing` writes down the forms of a new format, and that of a new kind.
    """
    assert forms_now() == known_forms()
